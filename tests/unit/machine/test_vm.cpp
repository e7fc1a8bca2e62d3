// Expected states and events are what QEMU 10 answers over QMP to the same commands.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "hw/machine/vm.h"

namespace hv {
namespace {

// Writes what is done to the machine, and what observers hear, into one log.
using Log = std::vector<std::string>;

class FakeMachine final : public VirtMachine {
 public:
  explicit FakeMachine(Log& log) : log_(log) {}
  Result<> reset() override {
    log_.push_back("reset");
    if (failing) return fail("no more memory");
    return {};
  }
  void resume() override { log_.push_back("resume"); }
  void pause() override { log_.push_back("pause"); }
  VcpuSet& vcpus() override { std::abort(); }
  GuestMemory& memory() override { std::abort(); }
  const std::vector<uint8_t>& device_tree() const override { std::abort(); }
  std::vector<DeviceInfo> devices() const override { return {}; }
  bool failing = false;

 private:
  Log& log_;
};

class Recorder final : public VmObserver {
 public:
  explicit Recorder(Log& log) : log_(log) {}
  void on_stop() override { log_.push_back("STOP"); }
  void on_resume() override { log_.push_back("RESUME"); }
  void on_reset(bool by_guest) override { log_.push_back(by_guest ? "RESET guest" : "RESET"); }
  void on_powerdown() override { log_.push_back("POWERDOWN"); }
  void on_balloon(uint64_t bytes) override { log_.push_back("BALLOON " + std::to_string(bytes)); }
  void on_serial_port(const std::string& id, bool open) override {
    log_.push_back("PORT " + id + (open ? " open" : " closed"));
  }
  void on_disk_error(const DiskError& error) override {
    log_.push_back("BLOCK_IO_ERROR " + error.drive);
  }
  void on_shutdown(ShutdownCause cause) override {
    log_.push_back("SHUTDOWN " + std::to_string(static_cast<int>(cause)));
  }

 private:
  Log& log_;
};

std::string shutdown_event(ShutdownCause cause) {
  return "SHUTDOWN " + std::to_string(static_cast<int>(cause));
}

struct Fixture {
  explicit Fixture(Vm::Options options = {})
      : loop(EventLoop::create("test").value()), vm(*loop, options), recorder(log) {
    auto fake = std::make_unique<FakeMachine>(log);
    machine = fake.get();
    vm.set_machine(std::move(fake));
    vm.add_observer(recorder);
    vm.set_on_exit([this] { log.push_back("exit"); });
    REQUIRE(vm.launch());
  }
  Log take() { return std::exchange(log, {}); }
  void run_posted() {
    while (loop->run_once(0)) {
    }
  }

  Log log;
  std::unique_ptr<EventLoop> loop;
  Vm vm;
  Recorder recorder;
  FakeMachine* machine;
};

TEST_CASE("Vm: launch resets and runs; -S stays in prelaunch until cont") {
  Fixture running;
  CHECK(running.take() == Log{"reset", "resume", "RESUME"});
  CHECK(run_state_name(running.vm.state()) == "running");

  Fixture waiting({.start_paused = true});
  CHECK(waiting.take() == Log{"reset"});
  CHECK(run_state_name(waiting.vm.state()) == "prelaunch");
  waiting.vm.stop();
  CHECK(run_state_name(waiting.vm.state()) == "prelaunch");
  REQUIRE(waiting.vm.cont());
  CHECK(waiting.take() == Log{"resume", "RESUME"});
  CHECK(run_state_name(waiting.vm.state()) == "running");
}

TEST_CASE("Vm: stop and cont act once") {
  Fixture f;
  f.take();
  f.vm.stop();
  f.vm.stop();
  CHECK(f.take() == Log{"pause", "STOP"});
  CHECK(run_state_name(f.vm.state()) == "paused");
  REQUIRE(f.vm.cont());
  REQUIRE(f.vm.cont());
  CHECK(f.take() == Log{"resume", "RESUME"});
}

TEST_CASE("Vm: of what changes often observers hear the latest once a second") {
  Fixture f;
  f.take();
  const auto begun = std::chrono::steady_clock::now();
  f.vm.report_balloon(1);
  f.vm.report_serial_port("a", true);
  f.vm.report_serial_port("b", true);
  for (uint64_t bytes = 2; bytes < 10; ++bytes) f.vm.report_balloon(bytes);
  f.loop->run_once(0);
  for (int i = 0; i < 5; ++i) f.vm.report_serial_port("a", i % 2);
  f.vm.report_balloon(10);
  f.loop->run_once(0);
  CHECK(f.take() == Log{"BALLOON 9", "PORT a open", "PORT b open"});
  Log later;
  while (later.size() < 2) {
    f.loop->run_once(3'000'000'000);
    for (std::string& entry : f.take()) later.push_back(std::move(entry));
  }
  std::ranges::sort(later);
  CHECK(later == Log{"BALLOON 10", "PORT a closed"});
  CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::seconds(1));
}

TEST_CASE("Vm: a disk error is told, and stops the machine if it should") {
  Fixture f;
  f.take();
  f.vm.report_disk_error({"hd0", true, EIO, DiskError::Action::kReport});
  f.run_posted();
  CHECK(f.take() == Log{"BLOCK_IO_ERROR hd0"});
  f.vm.report_disk_error({"hd0", true, ENOSPC, DiskError::Action::kStop});
  f.vm.report_disk_error({"hd1", true, ENOSPC, DiskError::Action::kStop});
  f.run_posted();
  CHECK(f.take() == Log{"BLOCK_IO_ERROR hd0", "pause", "STOP", "BLOCK_IO_ERROR hd1"});
  CHECK(run_state_name(f.vm.state()) == "io-error");
  REQUIRE(f.vm.cont());
  CHECK(f.take() == Log{"resume", "RESUME"});
}

TEST_CASE("Vm: a reset stops the world around it; a stopped machine goes to prelaunch") {
  Fixture f;
  f.take();
  REQUIRE(f.vm.system_reset());
  CHECK(f.take() == Log{"pause", "reset", "RESET", "resume"});
  CHECK(run_state_name(f.vm.state()) == "running");
  f.vm.stop();
  f.take();
  REQUIRE(f.vm.system_reset());
  CHECK(f.take() == Log{"reset", "RESET"});
  CHECK(run_state_name(f.vm.state()) == "prelaunch");
}

TEST_CASE("Vm: requests of several harts for one reset are one reset") {
  Fixture f;
  f.take();
  {
    std::jthread a([&] { f.vm.request_reset(true); });
    std::jthread b([&] { f.vm.request_reset(true); });
  }
  CHECK(f.take().empty());
  f.run_posted();
  CHECK(f.take() == Log{"pause", "reset", "RESET guest", "resume"});
  // And the next one is not lost.
  f.vm.request_reset(true);
  f.run_posted();
  CHECK(f.take() == Log{"pause", "reset", "RESET guest", "resume"});
}

TEST_CASE("Vm: -no-reboot turns a reset into the end with status 0") {
  Fixture f({.no_reboot = true});
  f.take();
  f.vm.request_reset(true);
  f.run_posted();
  CHECK(f.take() == Log{"pause", shutdown_event(ShutdownCause::kGuestReset), "exit"});
  CHECK(f.vm.exit_status() == 0);

  Fixture by_host({.no_reboot = true});
  by_host.take();
  REQUIRE(by_host.vm.system_reset());
  CHECK(by_host.take() == Log{"pause", shutdown_event(ShutdownCause::kHostReset), "exit"});
}

TEST_CASE("Vm: the first shutdown decides the exit status") {
  Fixture f;
  f.take();
  f.vm.request_shutdown(ShutdownCause::kGuestPanic, 3);
  f.vm.request_shutdown(ShutdownCause::kGuestShutdown, 0);
  f.vm.request_reset(true);
  f.run_posted();
  CHECK(f.take() == Log{"pause", shutdown_event(ShutdownCause::kGuestPanic), "exit"});
  CHECK(f.vm.exit_status() == 3);
  REQUIRE(!f.vm.cont());
}

TEST_CASE("Vm: -no-shutdown keeps a machine that has powered off until a reset or quit") {
  Fixture f({.no_shutdown = true});
  f.take();
  f.vm.request_shutdown(ShutdownCause::kGuestShutdown, 0);
  f.vm.request_shutdown(ShutdownCause::kGuestShutdown, 0);
  f.run_posted();
  CHECK(f.take() == Log{"pause", shutdown_event(ShutdownCause::kGuestShutdown), "STOP"});
  CHECK(run_state_name(f.vm.state()) == "shutdown");
  CHECK(!f.vm.exit_status());
  auto refused = f.vm.cont();
  REQUIRE(!refused);
  CHECK(refused.error().message == "Resetting the Virtual Machine is required");

  REQUIRE(f.vm.system_reset());
  CHECK(run_state_name(f.vm.state()) == "prelaunch");
  REQUIRE(f.vm.cont());
  f.take();
  f.vm.quit(ShutdownCause::kHostQuit, 0);
  CHECK(f.take() == Log{"pause", shutdown_event(ShutdownCause::kHostQuit), "exit"});
  CHECK(f.vm.exit_status() == 0);
}

TEST_CASE("Vm: -no-shutdown does not keep what a person, a signal or QMP ends") {
  for (const auto cause :
       {ShutdownCause::kHostUi, ShutdownCause::kHostSignal, ShutdownCause::kHostQuit}) {
    Fixture f({.no_shutdown = true});
    f.take();
    f.vm.request_shutdown(cause, 0);
    f.run_posted();
    CHECK(f.take() == Log{"pause", shutdown_event(cause), "exit"});
    CHECK(f.vm.exit_status() == 0);
  }
}

TEST_CASE("Vm: powerdown is an event and changes nothing") {
  Fixture f;
  f.take();
  f.vm.system_powerdown();
  CHECK(f.take() == Log{"POWERDOWN"});
  CHECK(run_state_name(f.vm.state()) == "running");
}

TEST_CASE("Vm: a guest's reset that fails leaves the machine in internal-error") {
  Fixture f;
  f.take();
  f.machine->failing = true;
  f.vm.request_reset(true);
  f.run_posted();
  CHECK(f.take() == Log{"pause", "reset", "STOP"});
  CHECK(run_state_name(f.vm.state()) == "internal-error");
  CHECK(!f.vm.cont());
  f.machine->failing = false;
  REQUIRE(f.vm.system_reset());
  CHECK(run_state_name(f.vm.state()) == "prelaunch");
}

TEST_CASE("Vm: an observer may leave while it is told something") {
  Fixture f;
  struct Leaver final : VmObserver {
    explicit Leaver(Vm& vm) : vm_(vm) {}
    void on_stop() override {
      vm_.remove_observer(*this);
      ++stops;
    }
    Vm& vm_;
    int stops = 0;
  } leaver(f.vm);
  f.vm.add_observer(leaver);
  f.vm.stop();
  REQUIRE(f.vm.cont());
  f.vm.stop();
  CHECK(leaver.stops == 1);
}

}  // namespace
}  // namespace hv
