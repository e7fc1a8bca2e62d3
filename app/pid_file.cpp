#include "app/pid_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

namespace hv {

Result<std::unique_ptr<PidFile>> PidFile::create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return fail_errno(errno, "-pidfile {}: cannot be written", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0)
    return fail("-pidfile {}: in use by another running process", path);
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) < 0 ||
      ::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "-pidfile {}: cannot be written", path);
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return std::unique_ptr<PidFile>(new PidFile(error ? path : absolute.string(), std::move(fd)));
}

PidFile::~PidFile() {
  ::unlink(path_.c_str());
}

}  // namespace hv
