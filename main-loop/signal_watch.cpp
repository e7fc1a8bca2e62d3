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
  SignalWatchImpl(EventLoop& loop, UniqueFd fd, std::function<void(int, int)> callback)
      : fd_(std::move(fd)),
        callback_(std::move(callback)),
        watch_(loop.watch_fd(fd_.get(), EPOLLIN, [this](uint32_t) { read_one(); })) {}

 private:
  // One signal per event: the callback may destroy this object.
  void read_one() {
    signalfd_siginfo info{};
    if (read(fd_.get(), &info, sizeof info) != sizeof info) return;
    callback_(static_cast<int>(info.ssi_signo), static_cast<int>(info.ssi_pid));
  }

  UniqueFd fd_;
  std::function<void(int, int)> callback_;
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
