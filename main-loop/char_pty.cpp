// A pseudo-terminal that another program opens.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "main-loop/char_backends.h"
#include "main-loop/char_stream.h"

namespace hv {
namespace {

// The master side reports a hang-up while nobody has the terminal open, and nothing tells when that
// changes; nor is the master told when the terminal's size changes. So both are looked at every so
// often.
constexpr int64_t kLookAgainNs = 250'000'000;

class PtyChar final : public CharStream {
 public:
  PtyChar(const CharContext& context, UniqueFd master)
      : CharStream(context.loop, context.escapes), master_(std::move(master)) {}
  ~PtyChar() override {
    stop([this] { timer_.reset(); });
  }

  void start() {
    loop().run_on_loop([this] {
      timer_ = loop().make_timer([this] { look(); });
      look();
    });
  }

 private:
  void look() {
    if (!is_open()) look_for_peer();
    winsize size{};
    if (is_open() && ioctl(master_.get(), TIOCGWINSZ, &size) == 0)
      set_size({.columns = size.ws_col, .rows = size.ws_row});
    timer_->arm_in(kLookAgainNs);
  }

  void look_for_peer() {
    pollfd terminal{.fd = master_.get(), .events = POLLIN, .revents = 0};
    poll(&terminal, 1, 0);
    const bool present = !(terminal.revents & POLLHUP) || (terminal.revents & POLLIN);
    UniqueFd stream(present ? fcntl(master_.get(), F_DUPFD_CLOEXEC, 3) : -1);
    if (stream.valid()) open_stream(std::move(stream));
  }

  UniqueFd master_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace

CharResult create_pty(const CharContext& context, KeyValues&) {
  UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  std::array<char, 128> path;
  if (!master.valid() || grantpt(master.get()) != 0 || unlockpt(master.get()) != 0 ||
      ptsname_r(master.get(), path.data(), path.size()) != 0)
    return fail_errno(errno, "cannot create a pseudo-terminal");

  // Raw from the start: no echo of what the guest prints before a program opens it.
  UniqueFd terminal(open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios mode{};
  if (!terminal.valid() || tcgetattr(terminal.get(), &mode) != 0)
    return fail_errno(errno, "cannot open {}", path.data());
  cfmakeraw(&mode);
  tcsetattr(terminal.get(), TCSAFLUSH, &mode);
  terminal.reset();

  std::printf("char device redirected to %s (label %s)\n", path.data(), context.label.c_str());
  std::fflush(stdout);
  auto backend = std::make_unique<PtyChar>(context, std::move(master));
  backend->start();
  return backend;
}

}  // namespace hv
