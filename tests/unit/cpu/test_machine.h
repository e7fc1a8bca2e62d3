// A hart with memory and an engine and nothing else, for tests of cpu.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "cpu/code_pages.h"
#include "cpu/engine.h"
#include "cpu/hart.h"
#include "cpu/interp/interpreter.h"
#include "cpu/mmu.h"
#include "cpu/system_ops.h"
#include "cpu/trap.h"
#include "io/guest_clock.h"
#include "io/guest_memory.h"
#include "io/mmio_map.h"

namespace hv::test {

// Machine mode, paging off, FS dirty, pc at the start of RAM; mtvec points at a wfi in the last
// page, so that a trap ends run() with kWait and mcause, mepc and mtval say what happened. The
// hart's parts are plain members: tests change what they need.
struct TestMachine {
  static constexpr uint64_t kRam = 0x8000'0000;

  // `prepare` may add windows to the map before it is frozen.
  template <class Prepare>
  TestMachine(std::string_view cpu, uint64_t ram_size, Prepare prepare)
      : config(CpuConfig::parse(cpu).value()),
        memory(GuestMemory::create(kRam, ram_size).value()),
        code_pages(std::make_shared<CodePages>(*memory)),
        trap_vector(kRam + ram_size - GuestMemory::kPageSize) {
    prepare(mmio);
    mmio.freeze();
    put(trap_vector, {kWfi});
    start();
  }
  explicit TestMachine(std::string_view cpu = "rv64", uint64_t ram_size = 16 << 20)
      : TestMachine(cpu, ram_size, [](MmioMap&) {}) {}
  // A second hart on the memory of `other`, with its own register windows (none).
  explicit TestMachine(const TestMachine& other)
      : config(other.config),
        memory(other.memory),
        code_pages(other.code_pages),
        trap_vector(other.trap_vector) {
    hart.id = other.hart.id + 1;
    mmio.freeze();
    start();
  }

  static constexpr uint32_t kWfi = 0x10500073;

  void start() {
    hart.config = &config;
    hart.memory = memory.get();
    hart.code_pages = code_pages.get();
    hart.mmio = &mmio;
    hart.clock = &clock;
    mmu = std::make_unique<Mmu>(hart);
    hart.mmu = mmu.get();
    reset_hart(hart, kRam);
    hart.csr.mstatus |= kMstatusFs;
    hart.csr.mtvec = trap_vector;
    state_changed(hart);
    // The same tests with everything compiled that can be: HV_ENGINE=jit before it first runs,
    // HV_ENGINE=jit-paths along the paths that it takes.
    const std::string_view name = std::getenv("HV_ENGINE") ? std::getenv("HV_ENGINE") : "";
    std::unique_ptr<Jit> jit;
    if (name == "jit") jit = Jit::create(hart, {.threshold = 0});
    if (name == "jit-paths") jit = Jit::create(hart, {.threshold = 1});
    engine = std::make_unique<Interpreter>(hart, std::move(jit));
  }

  void put(uint64_t address, std::initializer_list<uint32_t> words) {
    for (const uint32_t word : words) {
      if (!memory->write(address, &word, 4)) throw std::out_of_range("put: not RAM");
      address += 4;
    }
  }
  template <class T>
  void poke(uint64_t address, T value) {
    if (!memory->write(address, &value, sizeof(T))) throw std::out_of_range("poke: not RAM");
  }
  template <class T>
  T peek(uint64_t address) const {
    T value;
    if (!memory->read(address, &value, sizeof(T))) throw std::out_of_range("peek: not RAM");
    return value;
  }

  // Runs from `pc` until a wfi or a request.
  EngineExit run(uint64_t pc) {
    hart.pc = pc;
    return engine->run(hart);
  }
  // What the last run() ended with: true when it was a trap.
  bool trapped() const { return hart.pc == trap_vector + 4; }

  CpuConfig config;
  std::shared_ptr<GuestMemory> memory;
  std::shared_ptr<CodePages> code_pages;
  MmioMap mmio;
  GuestClock clock;
  uint64_t trap_vector;
  Hart hart;
  std::unique_ptr<Mmu> mmu;
  std::unique_ptr<Interpreter> engine;
};

}  // namespace hv::test
