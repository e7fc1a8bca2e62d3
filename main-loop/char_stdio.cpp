// The process's own terminal, or whatever its standard input and output are.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "main-loop/char_backends.h"
#include "main-loop/char_stream.h"
#include "main-loop/terminal_mode.h"

namespace hv {
namespace {

std::atomic<bool> stdio_taken{false};

// A descriptor of our own for what `fd` is. Terminals and pipes are opened anew, so that
// O_NONBLOCK is ours alone: set on `fd` itself it would hit every process that shares it, such as
// the shell that gets the terminal back.
UniqueFd open_again(int fd, int access) {
  struct stat info{};
  if (fstat(fd, &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode))) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    UniqueFd own(open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own.valid()) return own;
  }
  return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

std::atomic<EventNotifier*> size_notifier{nullptr};

void on_sigwinch(int) {
  const int error = errno;
  if (EventNotifier* notifier = size_notifier.load()) notifier->set();
  errno = error;
}

class StdioChar final : public CharStream {
 public:
  StdioChar(const CharContext& context, int input_fd, bool signals)
      : CharStream(context.loop, context.escapes) {
    enter_raw_mode(input_fd, signals);
    if (isatty(input_fd)) terminal_ = UniqueFd(fcntl(input_fd, F_DUPFD_CLOEXEC, 3));
  }
  ~StdioChar() override {
    if (terminal_.valid()) {
      sigaction(SIGWINCH, &before_, nullptr);
      size_notifier.store(nullptr);
    }
    stop([this] {
      if (terminal_.valid()) loop().detach(size_changed_);
    });
    leave_raw_mode();
    stdio_taken.store(false);
  }

  void start(UniqueFd input, UniqueFd output) {
    loop().run_on_loop([&] {
      open_stream(std::move(input), std::move(output));
      if (!terminal_.valid()) return;
      loop().attach(size_changed_, [this] { look_at_size(); });
      look_at_size();
    });
    if (!terminal_.valid()) return;
    size_notifier.store(&size_changed_);
    // A handler, for signalfd would need the signal blocked in every thread.
    struct sigaction action{};
    action.sa_handler = on_sigwinch;
    action.sa_flags = SA_RESTART;
    sigaction(SIGWINCH, &action, &before_);
  }

  void drain(int timeout_ms) override {
    CharStream::drain(timeout_ms);
    leave_raw_mode();
  }

 private:
  bool on_output_error(int error) override { return tell_output_error("standard output", error); }

  void look_at_size() {
    winsize size{};
    if (ioctl(terminal_.get(), TIOCGWINSZ, &size) == 0)
      set_size({.columns = size.ws_col, .rows = size.ws_row});
  }

  UniqueFd terminal_;  // none when stdin is something else
  EventNotifier size_changed_;
  struct sigaction before_{};
};

}  // namespace

CharResult create_stdio(const CharContext& context, KeyValues& options, int input_fd,
                        int output_fd) {
  HV_TRY_ASSIGN(const auto signals, options.take_bool("signal"));
  if (stdio_taken.exchange(true))
    return fail("stdio is in use already; it can be used by one character device");
  UniqueFd input = open_again(input_fd, O_RDONLY);
  UniqueFd output = open_again(output_fd, O_WRONLY);
  auto backend = std::make_unique<StdioChar>(context, input_fd, signals.value_or(true));
  backend->start(std::move(input), std::move(output));
  return backend;
}

}  // namespace hv
