// How devices and firmware ask for the whole machine to stop or start anew.
#pragma once

#include <cstdint>
#include <string>

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

// A disk request that the host failed, and what became of it.
struct DiskError {
  enum class Action { kIgnore, kReport, kStop };  // QEMU's werror= and rerror=
  std::string drive;                              // id of the -drive or -blockdev
  bool write = false;                             // or flush, discard
  int error = 0;                                  // errno
  Action action = Action::kReport;
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
  // Told to whom controls the machine; with kStop the machine stops, and the device repeats the
  // request when it goes on.
  virtual void report_disk_error(const DiskError& error) = 0;
  // The guest has changed its balloon and has `bytes` of memory now.
  virtual void report_balloon(uint64_t bytes) {}
  // A program in the guest has opened or closed the serial port of the device `id`.
  virtual void report_serial_port(const std::string& id, bool open) {}

 protected:
  ~SystemControl() = default;
};

}  // namespace hv
