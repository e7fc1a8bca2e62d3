#include "app/pid_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace hv {

namespace {

bool is_at(int fd, const std::string& path) {
  struct stat ours{}, named{};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &named) == 0 &&
         ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

}  // namespace

Result<std::unique_ptr<PidFile>> PidFile::create(const std::string& path) {
  UniqueFd fd;
  do {
    fd = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) return fail_errno(errno, "-pidfile {}: cannot be written", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0)
      return fail("-pidfile {}: in use by another running process", path);
    // Its last owner may have removed the file between the two calls.
  } while (!is_at(fd.get(), path));
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) < 0 ||
      ::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "-pidfile {}: cannot be written", path);
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return std::unique_ptr<PidFile>(new PidFile(error ? path : absolute.string(), std::move(fd)));
}

PidFile::~PidFile() {
  // Not a device, nor a file that has taken the name meanwhile.
  struct stat named{};
  if (::lstat(path_.c_str(), &named) == 0 && S_ISREG(named.st_mode) && is_at(fd_.get(), path_))
    ::unlink(path_.c_str());
}

}  // namespace hv
