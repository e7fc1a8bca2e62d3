// Harts whose engine is a function of the test: for tests of threads, sleep and requests.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "cpu/mmu.h"
#include "cpu/trap.h"
#include "cpu/vcpu.h"
#include "io/guest_clock.h"
#include "io/guest_memory.h"
#include "io/mmio_map.h"

namespace hv::test {

// Each "block" is one call of the test's function, which says whether the hart then waits (WFI).
class ScriptedEngine final : public Engine {
 public:
  using Block = std::function<bool(Hart&)>;
  ScriptedEngine(Block block, std::function<void(Hart&)> on_fence_i, Hart& hart)
      : block_(std::move(block)), on_fence_i_(std::move(on_fence_i)), hart_(hart) {}

  EngineExit run(Hart& hart) override {
    while (hart.requests.load() == 0)
      if (block_(hart)) return EngineExit::kWait;
    return EngineExit::kRequest;
  }
  void step(Hart& hart) override { block_(hart); }
  void fence_i() override {
    if (on_fence_i_) on_fence_i_(hart_);
  }
  void flush_code() override {}

 private:
  Block block_;
  std::function<void(Hart&)> on_fence_i_;
  Hart& hart_;
};

// Created paused, all harts set to run at resume; start() resumes clock and harts.
struct ScriptedHarts {
  ScriptedHarts(unsigned count, ScriptedEngine::Block block,
                std::function<void(Hart&)> on_fence_i = nullptr)
      : config(CpuConfig::parse("rv64").value()),
        memory(GuestMemory::create(0x8000'0000, 1 << 20).value()) {
    mmio.freeze();
    set = VcpuSet::create({.count = count,
                           .cpu = &config,
                           .memory = memory.get(),
                           .mmio = &mmio,
                           .clock = &clock,
                           .make_engine = [=](Hart& hart) -> std::unique_ptr<Engine> {
                             return std::make_unique<ScriptedEngine>(block, on_fence_i, hart);
                           }})
              .value();
  }
  void start() {
    set->reset_all();
    clock.resume();
    set->resume_all();
  }

  CpuConfig config;
  std::unique_ptr<GuestMemory> memory;
  MmioMap mmio;
  GuestClock clock;
  std::unique_ptr<VcpuSet> set;
};

// Counts up to a goal; the main thread waits for it.
class Goal {
 public:
  explicit Goal(uint32_t goal) : goal_(goal) {}
  // True once the goal is reached.
  bool add(uint32_t n = 1) {
    const uint32_t now = count_.fetch_add(n) + n;
    if (now >= goal_) count_.notify_all();
    return now >= goal_;
  }
  bool reached() const { return count_.load() >= goal_; }
  void wait() const {
    for (uint32_t now = count_.load(); now < goal_; now = count_.load()) count_.wait(now);
  }

 private:
  const uint32_t goal_;
  std::atomic<uint32_t> count_{0};
};

}  // namespace hv::test
