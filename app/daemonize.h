// -daemonize: into the background, but only once everything is set up.
#pragma once

#include "io/result.h"
#include "io/unique_fd.h"

namespace hv {

// The background half of the process. The parent stays in start() until finish() or the end of this
// process, and exits with 0 or 1 accordingly.
class Daemon {
 public:
  // Forks; returns in the child only. Before any thread exists.
  static Result<Daemon> start();

  // Standard input, output and error become /dev/null, the working directory the root, and the
  // parent exits with 0.
  Result<> finish();

 private:
  explicit Daemon(UniqueFd to_parent) : to_parent_(std::move(to_parent)) {}
  UniqueFd to_parent_;
};

}  // namespace hv
