// Raw mode of the process's terminal. Internal to main-loop.
#pragma once

namespace hv {

// Puts the terminal behind `fd` into raw mode: bytes come as they are typed, unechoed; output keeps
// its newline treatment. With `signals` C-c, C-\ and C-z still send signals. Does nothing when `fd`
// is not a terminal. Main thread; one terminal at a time.
//
// The earlier mode comes back in leave_raw_mode(), at exit, and when a signal ends or stops
// (SIGTSTP) the process that nothing else handles; SIGCONT enters raw mode again.
void enter_raw_mode(int fd, bool signals);

// Any thread, also from a signal handler; does nothing when the mode was not entered.
void leave_raw_mode();

}  // namespace hv
