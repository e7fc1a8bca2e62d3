// How devices and firmware ask for the whole machine to stop or start anew.
#pragma once

namespace hv {

// kGuestReset and kHostReset: a reset that -no-reboot turned into the end.
enum class ShutdownCause {
  kGuestShutdown,
  kGuestReset,
  kGuestPanic,
  kHostQuit,
  kHostReset,
  kHostSignal,
  kHostUi
};

// Any thread, never blocks: the request is posted to the main thread, which owns the run state. The
// calling hart goes on until it is stopped; callers that must not execute further (SBI SRST) halt
// their hart themselves.
class SystemControl {
 public:
  // The process ends with `exit_status` (unless -no-shutdown).
  virtual void request_shutdown(ShutdownCause cause, int exit_status) = 0;
  // All devices and harts start from reset (with -no-reboot: shutdown with status 0).
  virtual void request_reset(bool by_guest) = 0;

 protected:
  ~SystemControl() = default;
};

}  // namespace hv
