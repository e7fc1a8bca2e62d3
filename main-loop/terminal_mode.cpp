#include "main-loop/terminal_mode.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace hv {
namespace {

// Written before `active` goes up and not while it is up: signal handlers read them.
int terminal_fd = -1;
termios mode_before;
termios raw_mode;
std::atomic<bool> active{false};

constexpr int kEndingSignals[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE, SIGABRT, SIGTRAP,
                                  SIGSYS,  SIGQUIT, SIGTERM, SIGINT, SIGHUP};

// SA_RESETHAND has restored the default action, which ends the process.
void restore_and_end(int signal) {
  leave_raw_mode();
  raise(signal);
}

void enter_again(int) {
  const int error = errno;
  if (active.load()) tcsetattr(terminal_fd, TCSANOW, &raw_mode);
  errno = error;
}

// Leaves alone what something else handles or ignores.
void handle_if_default(int signal, void (*handler)(int), int flags) {
  struct sigaction current{};
  if (sigaction(signal, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) return;
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

// SA_RESETHAND has restored the default action: raise() comes back when the process goes on.
void stop_in_earlier_mode(int signal) {
  const int error = errno;
  if (active.load()) tcsetattr(terminal_fd, TCSANOW, &mode_before);
  raise(signal);
  handle_if_default(signal, stop_in_earlier_mode, SA_RESETHAND | SA_NODEFER | SA_RESTART);
  errno = error;
  // In a process group that nobody can continue the signal does nothing, and no SIGCONT comes.
  enter_again(SIGCONT);
}

void install_handlers() {
  [[maybe_unused]] static const int at_exit = std::atexit(leave_raw_mode);
  for (const int signal : kEndingSignals)
    handle_if_default(signal, restore_and_end, SA_RESETHAND | SA_NODEFER);
  handle_if_default(SIGTSTP, stop_in_earlier_mode, SA_RESETHAND | SA_NODEFER | SA_RESTART);
  handle_if_default(SIGCONT, enter_again, SA_RESTART);
}

}  // namespace

void enter_raw_mode(int fd, bool signals) {
  termios mode;
  if (tcgetattr(fd, &mode) != 0) return;
  leave_raw_mode();
  terminal_fd = fd;
  mode_before = mode;
  mode.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  mode.c_oflag |= OPOST;
  mode.c_cflag &= ~(CSIZE | PARENB);
  mode.c_cflag |= CS8;
  mode.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
  if (!signals) mode.c_lflag &= ~ISIG;
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  raw_mode = mode;
  install_handlers();
  active.store(true);
  tcsetattr(fd, TCSANOW, &raw_mode);
}

void leave_raw_mode() {
  if (active.exchange(false)) tcsetattr(terminal_fd, TCSANOW, &mode_before);
}

}  // namespace hv
