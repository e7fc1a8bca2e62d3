#include "hw/machine/vm.h"

#include <algorithm>

#include "io/log.h"

namespace hv {

std::string_view run_state_name(RunState state) {
  switch (state) {
    case RunState::kPrelaunch:
      return "prelaunch";
    case RunState::kRunning:
      return "running";
    case RunState::kPaused:
      return "paused";
    case RunState::kIoError:
      return "io-error";
    case RunState::kShutdown:
      return "shutdown";
    case RunState::kInternalError:
      return "internal-error";
  }
  return "internal-error";
}

Vm::Vm(EventLoop& main_loop, Options options) : main_loop_(main_loop), options_(options) {}

Vm::~Vm() = default;

void Vm::set_machine(std::unique_ptr<VirtMachine> machine) {
  machine_ = std::move(machine);
}

void Vm::add_observer(VmObserver& observer) {
  observers_.push_back(&observer);
}

void Vm::remove_observer(VmObserver& observer) {
  std::erase(observers_, &observer);
}

template <class... Args>
void Vm::notify(void (VmObserver::*event)(Args...), std::type_identity_t<Args>... args) {
  // An observer may remove itself or another one.
  for (VmObserver* observer : std::vector(observers_))
    if (std::ranges::find(observers_, observer) != observers_.end()) (observer->*event)(args...);
}

Result<> Vm::launch() {
  HV_TRY(machine_->reset());
  if (!options_.start_paused) run();
  return {};
}

void Vm::run() {
  state_ = RunState::kRunning;
  machine_->resume();
  notify(&VmObserver::on_resume);
}

void Vm::stop() {
  stop_as(RunState::kPaused);
}

void Vm::stop_as(RunState state) {
  if (state_ != RunState::kRunning) return;
  machine_->pause();
  state_ = state;
  notify(&VmObserver::on_stop);
}

void Vm::report_balloon(uint64_t bytes) {
  report("balloon", [this, bytes] { notify(&VmObserver::on_balloon, bytes); });
}

void Vm::report_serial_port(const std::string& id, bool open) {
  report("port " + id, [this, id, open] {
    notify<const std::string&, bool>(&VmObserver::on_serial_port, id, open);
  });
}

void Vm::report(const std::string& what, std::function<void()> tell_observers) {
  {
    MutexLock lock(reports_mutex_);
    if (!reports_.insert_or_assign(what, std::move(tell_observers)).second) return;
  }
  main_loop_.post([this, what] {
    std::function<void()> latest;
    {
      MutexLock lock(reports_mutex_);
      latest = std::move(reports_.extract(what).mapped());
    }
    tell_throttled(what, std::move(latest));
  });
}

void Vm::tell_throttled(const std::string& what, std::function<void()> tell_observers) {
  Throttle& throttle = throttles_[what];
  if (!throttle.timer)
    throttle.timer = main_loop_.make_timer([this, &throttle] { tell(throttle); });
  throttle.untold = std::move(tell_observers);
  if (!throttle.timer->armed()) tell(throttle);
}

void Vm::tell(Throttle& throttle) {
  constexpr int64_t kPauseNs = 1'000'000'000;
  if (!throttle.untold) return;
  throttle.timer->arm_in(kPauseNs);
  std::exchange(throttle.untold, nullptr)();
}

void Vm::report_disk_error(const DiskError& error) {
  main_loop_.post([this, error] {
    notify<const DiskError&>(&VmObserver::on_disk_error, error);
    if (error.action == DiskError::Action::kStop) stop_as(RunState::kIoError);
  });
}

Result<> Vm::cont() {
  if (state_ == RunState::kShutdown || state_ == RunState::kInternalError)
    return fail("Resetting the Virtual Machine is required");
  if (state_ != RunState::kRunning && !exit_status_) run();
  return {};
}

Result<> Vm::system_reset() {
  return reset_now(false);
}

void Vm::system_powerdown() {
  notify(&VmObserver::on_powerdown);
}

void Vm::quit(ShutdownCause cause, int exit_status) {
  shut_down(cause, exit_status);
}

void Vm::request_shutdown(ShutdownCause cause, int exit_status) {
  main_loop_.post([this, cause, exit_status] { shut_down(cause, exit_status); });
}

void Vm::request_reset(bool by_guest) {
  // Harts run on until they are stopped: what they ask meanwhile is the same reset.
  if (reset_requested_.exchange(true, std::memory_order_acq_rel)) return;
  main_loop_.post([this, by_guest] {
    if (auto result = reset_now(by_guest); !result) fail_machine(result.error());
  });
}

void Vm::shut_down(ShutdownCause cause, int exit_status) {
  if (exit_status_) return;
  const bool by_host = cause == ShutdownCause::kHostQuit || cause == ShutdownCause::kHostSignal ||
                       cause == ShutdownCause::kHostUi;
  const bool keep_process = options_.no_shutdown && !by_host;
  if (keep_process && state_ == RunState::kShutdown) return;

  const bool was_running = state_ == RunState::kRunning;
  if (was_running) machine_->pause();
  notify(&VmObserver::on_shutdown, cause);
  if (keep_process) {
    state_ = RunState::kShutdown;
    if (was_running) notify(&VmObserver::on_stop);
    return;
  }
  state_ = RunState::kShutdown;
  exit_status_ = exit_status;
  if (on_exit_) on_exit_();
}

Result<> Vm::reset_now(bool by_guest) {
  if (exit_status_) return {};
  if (options_.no_reboot) {
    shut_down(by_guest ? ShutdownCause::kGuestReset : ShutdownCause::kHostReset, 0);
    return {};
  }
  const bool was_running = state_ == RunState::kRunning;
  if (was_running) machine_->pause();
  reset_requested_.store(false, std::memory_order_release);
  HV_TRY(machine_->reset());
  notify(&VmObserver::on_reset, by_guest);
  if (was_running)
    machine_->resume();
  else
    state_ = RunState::kPrelaunch;
  return {};
}

void Vm::fail_machine(const Error& error) {
  warn(error.message);
  state_ = RunState::kInternalError;
  notify(&VmObserver::on_stop);
}

}  // namespace hv
