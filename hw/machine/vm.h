// The run state of the machine and the only place that changes it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "hw/machine/virt.h"
#include "io/system_control.h"
#include "io/thread_safety.h"
#include "main-loop/event_loop.h"

namespace hv {

// QEMU's names: "prelaunch" (-S, never started), "running", "paused" (stop), "io-error" (a disk
// with werror=stop failed), "shutdown" (guest has powered off and -no-shutdown keeps the process),
// "internal-error".
enum class RunState { kPrelaunch, kRunning, kPaused, kIoError, kShutdown, kInternalError };
std::string_view run_state_name(RunState state);

// What QMP turns into events. Called on the main thread after the change.
class VmObserver {
 public:
  virtual void on_stop() {}
  virtual void on_resume() {}
  virtual void on_reset(bool by_guest) {}
  virtual void on_powerdown() {}
  virtual void on_shutdown(ShutdownCause cause) {}
  virtual void on_balloon(uint64_t bytes) {}
  virtual void on_serial_port(const std::string& id, bool open) {}
  virtual void on_disk_error(const DiskError& error) {}

 protected:
  ~VmObserver() = default;
};

// Main thread only, but for SystemControl (any thread: posts to the main loop).
//
//   prelaunch --start--> running <--stop/cont--> paused
//   running --reset--> running; paused or shutdown --reset--> prelaunch, as in QEMU
//   any --shutdown--> exit, or with -no-shutdown "shutdown" (quit, C-a x and signals always exit)
//
// Stop the world: harts park at a block boundary, then devices quiesce, then the caller acts;
// resuming is the reverse.
class Vm final : public SystemControl {
 public:
  struct Options {
    bool start_paused = false;  // -S
    bool no_reboot = false;     // -no-reboot: a reset is a shutdown with status 0
    bool no_shutdown = false;   // -no-shutdown
  };
  Vm(EventLoop& main_loop, Options options);
  ~Vm();

  void set_machine(std::unique_ptr<VirtMachine> machine);
  VirtMachine& machine() { return *machine_; }
  void add_observer(VmObserver& observer);
  void remove_observer(VmObserver& observer);

  // First start: resets and runs, or stays in prelaunch with -S. Fails as VirtMachine::reset().
  Result<> launch();
  RunState state() const { return state_; }
  void stop();  // no effect unless running
  // Fails in the states "shutdown" and "internal-error", which only a reset leaves.
  Result<> cont();
  Result<> system_reset();
  // Tells the guest to power off (ACPI/GPIO key where there is one; none on this board yet: the
  // event is emitted as QEMU's virt does without GED).
  void system_powerdown();
  void quit(ShutdownCause cause, int exit_status);

  // Set once the process should end; main() leaves its loop.
  std::optional<int> exit_status() const { return exit_status_; }
  void set_on_exit(std::function<void()> on_exit) { on_exit_ = std::move(on_exit); }

  // SystemControl. Any thread; the Vm outlives what it posts to the main loop.
  void request_shutdown(ShutdownCause cause, int exit_status) override;
  void request_reset(bool by_guest) override;
  // Observers hear of each of these at most once a second, the latest state, as from QEMU.
  void report_balloon(uint64_t bytes) override;
  void report_serial_port(const std::string& id, bool open) override;
  void report_disk_error(const DiskError& error) override;

 private:
  void run();
  struct Throttle {
    std::unique_ptr<Timer> timer;  // armed: observers have just heard
    std::function<void()> untold;
  };
  // Any thread: one post at a time for each `what`, whose latest report is told.
  void report(const std::string& what, std::function<void()> tell) HV_EXCLUDES(reports_mutex_);
  void tell_throttled(const std::string& what, std::function<void()> tell);
  void tell(Throttle& throttle);
  void stop_as(RunState state);
  void shut_down(ShutdownCause cause, int exit_status);
  Result<> reset_now(bool by_guest);
  // The machine cannot go on; a reset may cure it.
  void fail_machine(const Error& error);
  template <class... Args>
  void notify(void (VmObserver::*event)(Args...), std::type_identity_t<Args>... args);

  EventLoop& main_loop_;
  Options options_;
  std::unique_ptr<VirtMachine> machine_;
  std::vector<VmObserver*> observers_;
  RunState state_ = RunState::kPrelaunch;
  // Merges the requests of several harts; any thread.
  std::atomic<bool> reset_requested_{false};
  Mutex reports_mutex_;
  std::map<std::string, std::function<void()>> reports_ HV_GUARDED_BY(reports_mutex_);
  std::map<std::string, Throttle> throttles_;
  std::optional<int> exit_status_;
  std::function<void()> on_exit_;
};

}  // namespace hv
