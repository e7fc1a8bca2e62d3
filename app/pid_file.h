// -pidfile
#pragma once

#include <memory>
#include <string>

#include "io/result.h"
#include "io/unique_fd.h"

namespace hv {

// A file with our process id, locked while we run and removed at the end.
class PidFile {
 public:
  // Fails when another running process holds it.
  static Result<std::unique_ptr<PidFile>> create(const std::string& path);
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

 private:
  PidFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;  // absolute
  UniqueFd fd_;
};

}  // namespace hv
