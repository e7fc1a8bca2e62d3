#include "app/daemonize.h"

#include <fcntl.h>
#include <unistd.h>

namespace hv {
namespace {

// The parent: waits for the child's word.
[[noreturn]] void wait_and_exit(UniqueFd from_child) {
  char word = 0;
  ssize_t count = 0;
  do {
    count = ::read(from_child.get(), &word, 1);
  } while (count < 0 && errno == EINTR);
  ::_exit(count == 1 ? 0 : 1);
}

}  // namespace

Result<Daemon> Daemon::start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return fail_errno(errno, "-daemonize: no pipe");
  UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "-daemonize: cannot fork");
  if (child > 0) {
    to_parent.reset();
    wait_and_exit(std::move(from_child));
  }
  if (::setsid() < 0) return fail_errno(errno, "-daemonize: no session");
  return Daemon(std::move(to_parent));
}

Result<> Daemon::finish() {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return fail_errno(errno, "-daemonize: /dev/null");
  if (::chdir("/") < 0) return fail_errno(errno, "-daemonize: chdir /");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::dup2(null.get(), fd) < 0) return fail_errno(errno, "-daemonize: standard streams");
  if (::write(to_parent_.get(), "", 1) != 1) return fail_errno(errno, "-daemonize: parent is gone");
  to_parent_.reset();
  return {};
}

}  // namespace hv
