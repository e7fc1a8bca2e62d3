// A board without a host around it: no drives, no consoles, a loop that the test turns.
#pragma once

#include <catch2/catch.hpp>
#include <memory>

#include "hw/machine/virt.h"
#include "hw/machine/vm.h"

namespace hv {

class NoBackends final : public Backends {
 public:
  Result<std::unique_ptr<Disk>> claim_drive(const std::string& id) override {
    return fail("drive={}: no such drive", id);
  }
  Result<CharBackend*> claim_chardev(const std::string& id) override {
    return fail("chardev={}: no such chardev", id);
  }
  Result<EventLoop*> io_loop(const std::string&) override { return &loop; }
  Result<std::string> rng_source(const std::string&) override { return "/dev/urandom"; }

  explicit NoBackends(EventLoop& io_loop) : loop(io_loop) {}
  EventLoop& loop;
};

inline VirtConfig board_config() {
  VirtConfig config;
  config.cpu = CpuConfig::parse("rv64").value();
  config.memory_size = 16 << 20;
  return config;
}

struct VirtRig {
  explicit VirtRig(Vm::Options options = {})
      : loop(EventLoop::create("test").value()), backends(*loop), vm(*loop, options) {
    vm.set_on_exit([this] { loop->quit(); });
  }

  Result<> create(const VirtConfig& config) {
    HV_TRY_ASSIGN(auto machine, VirtMachine::create(config, backends, *loop, vm));
    vm.set_machine(std::move(machine));
    return {};
  }
  // Until the guest ends it. A guest that never does fails the test instead of hanging it.
  int run() {
    constexpr int64_t kFarTooLong = 120'000'000'000;
    bool expired = false;
    auto timer = loop->make_timer([&] {
      expired = true;
      loop->quit();
    });
    timer->arm_in(kFarTooLong);
    REQUIRE(vm.launch());
    loop->run();
    REQUIRE_FALSE(expired);
    return vm.exit_status().value();
  }

  std::unique_ptr<EventLoop> loop;
  NoBackends backends;
  Vm vm;
};

}  // namespace hv
