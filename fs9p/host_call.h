// System calls of a share that glibc lacks or that need care.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace hv {

// openat2() of a path that stays below `directory` and follows no link of any kind. A last
// component that is a link is opened as such with O_PATH | O_NOFOLLOW.
inline int open_beneath(int directory, const char* path, int flags, mode_t mode = 0) {
  open_how how{};
  how.flags =
      static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW | (flags & O_PATH ? 0 : O_NOCTTY));
  how.mode = flags & O_CREAT ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  for (;;) {
    const long fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    // A rename elsewhere can make the kernel unsure that the path stayed below.
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return static_cast<int>(fd);
  }
}

// The name by which calls that take only a path reach what a descriptor, O_PATH ones included,
// stands for. The last step is the kernel's own: no link in the share is followed.
inline std::string descriptor_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

}  // namespace hv
