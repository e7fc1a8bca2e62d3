#include "main-loop/signal_watch.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "io/unique_fd.h"

namespace hv {
namespace {

class SignalWatchImpl final : public SignalWatch {
 public:
  // The watch owns the callback: the loop keeps it alive while it runs, even if it destroys this.
  SignalWatchImpl(EventLoop& loop, UniqueFd fd, std::function<void(int, int)> callback)
      : fd_(std::move(fd)),
        watch_(loop.watch_fd(
            fd_.get(), EPOLLIN, [fd = fd_.get(), callback = std::move(callback)](uint32_t) {
              // One signal per event: the descriptor may be closed after it.
              signalfd_siginfo info{};
              if (read(fd, &info, sizeof info) != sizeof info) return;
              callback(static_cast<int>(info.ssi_signo), static_cast<int>(info.ssi_pid));
            })) {}

 private:
  UniqueFd fd_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace

Result<std::unique_ptr<SignalWatch>> SignalWatch::create(
    EventLoop& loop, std::initializer_list<int> signals,
    std::function<void(int signal, int sender_pid)> callback) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr))
    return fail_errno(error, "cannot block signals");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return fail_errno(errno, "cannot create a signalfd");
  return std::make_unique<SignalWatchImpl>(loop, std::move(fd), std::move(callback));
}

}  // namespace hv
