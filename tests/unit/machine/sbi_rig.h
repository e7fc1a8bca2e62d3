// Real harts that execute supervisor calls instead of guest code.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/mmu.h"
#include "cpu/system_ops.h"
#include "cpu/trap.h"
#include "cpu/vcpu.h"
#include "hw/machine/builtin_sbi.h"
#include "tests/unit/hw/fakes.h"

namespace hv::test {

// Runs jobs from other threads where an engine would run instructions.
class JobEngine final : public Engine {
 public:
  using Job = std::function<EngineExit(Hart&)>;

  EngineExit run(Hart& hart) override {
    ++entries;
    while (hart.requests.load() == 0) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        // Requests come without a notification, so the wait is short.
        posted_.wait_for(lock, std::chrono::microseconds(200), [&] { return !jobs_.empty(); });
        if (jobs_.empty()) continue;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      if (job(hart) == EngineExit::kWait) return EngineExit::kWait;
    }
    return EngineExit::kRequest;
  }
  void step(Hart&) override {}
  void fence_i() override { ++fences; }
  void flush_code() override {}

  void post(Job job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    posted_.notify_one();
  }

  std::atomic<unsigned> fences{0}, entries{0};

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Job> jobs_;
};

// What a call left behind.
struct Called {
  SysResult result;
  int64_t error;
  uint64_t value;
  uint64_t pc;
  bool others_kept;  // all registers but a0 and a1
};

class SbiRig {
 public:
  static constexpr uint64_t kRam = 0x80000000, kRamSize = 8 << 20;
  static constexpr uint64_t kEntry = kRam + 0x200000, kTree = kRam + 0x400000;

  explicit SbiRig(unsigned count, const char* cpu = "rv64")
      : config_(CpuConfig::parse(cpu).value()),
        memory(GuestMemory::create(kRam, kRamSize).value()) {
    map_.freeze();
    VcpuSet::Config config{.count = count,
                           .cpu = &config_,
                           .memory = memory.get(),
                           .mmio = &map_,
                           .clock = &clock,
                           .make_engine = [this](Hart&) {
                             auto engine = std::make_unique<JobEngine>();
                             engines.push_back(engine.get());
                             return engine;
                           }};
    harts = VcpuSet::create(config).value();
    sbi = BuiltinSbi::create(*harts, *memory, &console, control);
    harts->set_reset_hook([this](Hart& hart) {
      if (hart.id != 0) return false;
      sbi->enter_supervisor(hart, kEntry, kTree);
      return true;
    });
    harts->reset_all();
    clock.resume();
    harts->resume_all();
  }

  // Runs fn on a started hart's thread between two instructions.
  void on_hart(unsigned id, std::function<void(Hart&)> fn) {
    run_job(id, [&fn](Hart& hart) {
      fn(hart);
      return EngineExit::kRequest;
    });
  }

  // An ecall instruction; a console that is full makes it run again, as an engine would.
  Called ecall(unsigned id, uint64_t extension, uint64_t function,
               std::initializer_list<uint64_t> arguments = {}) {
    Called called{};
    run_job(id, [&](Hart& hart) {
      for (unsigned reg = 1; reg < 32; ++reg) hart.x[reg] = 0x1000 + reg;
      unsigned reg = 10;
      for (const uint64_t argument : arguments) hart.x[reg++] = argument;
      hart.x[16] = function;
      hart.x[17] = extension;
      const auto before = hart.x;
      const uint64_t pc = hart.pc;
      SysResult result;
      do {
        result = exec_ecall(hart);
      } while (result == SysResult::kRedirect && hart.pc == pc);
      if (result == SysResult::kException) take_exception(hart);
      if (result == SysResult::kNext || result == SysResult::kWait) hart.pc += 4;
      bool kept = true;
      for (unsigned i = 0; i < 32; ++i) kept &= i == 10 || i == 11 || hart.x[i] == before[i];
      called = {result, static_cast<int64_t>(hart.x[10]), hart.x[11], hart.pc, kept};
      return result == SysResult::kWait ? EngineExit::kWait : EngineExit::kRequest;
    });
    return called;
  }

  uint64_t csr(unsigned id, unsigned number) {
    uint64_t value = 0;
    on_hart(id, [&](Hart& hart) { debug_read_csr(hart, number, value); });
    return value;
  }
  void write_csr(unsigned id, unsigned number, uint64_t value) {
    on_hart(id, [&](Hart& hart) { debug_write_csr(hart, number, value); });
  }
  uint64_t mip(unsigned id) { return harts->at(id).hart().mip.load(); }

  template <class Condition>
  static void wait_until(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }
  void wait_state(unsigned id, HsmState state) {
    wait_until([&] { return harts->at(id).hsm_state() == state; });
  }
  // Starts hart `id` from hart 0.
  void start(unsigned id) {
    ecall(0, 0x48534d, 0, {id, kEntry, 0});
    wait_state(id, HsmState::kStarted);
  }

 private:
  CpuConfig config_;
  MmioMap map_;

 public:
  std::unique_ptr<GuestMemory> memory;
  GuestClock clock;
  FakeCharBackend console;
  FakeSystemControl control;
  std::vector<JobEngine*> engines;
  std::unique_ptr<BuiltinSbi> sbi;
  std::unique_ptr<VcpuSet> harts;  // its threads end before the SBI goes

 private:
  void run_job(unsigned id, const JobEngine::Job& job) {
    std::atomic<bool> done{false};
    engines.at(id)->post([&](Hart& hart) {
      const EngineExit exit = job(hart);
      done = true;
      done.notify_one();
      return exit;
    });
    done.wait(false);
  }
};

}  // namespace hv::test
