// A hart with memory and an Mmu and no engine, for tests of what engines call.
#pragma once

#include <memory>
#include <string_view>

#include "cpu/mmu.h"
#include "cpu/page_table.h"
#include "cpu/pmp.h"
#include "cpu/system_ops.h"
#include "cpu/trap.h"
#include "io/guest_clock.h"
#include "io/mmio_map.h"

namespace hv::test {

// Machine mode after reset. One register window of 4 KiB at kWindow takes 4-byte accesses only.
struct BareHart {
  static constexpr uint64_t kRam = 0x8000'0000, kRamSize = 16 << 20;
  static constexpr uint64_t kWindow = 0x1000'0000;

  explicit BareHart(std::string_view cpu = "rv64")
      : config(CpuConfig::parse(cpu).value()), memory(GuestMemory::create(kRam, kRamSize).value()) {
    (void)mmio.add("window", kWindow, 0x1000, device, 4, 4);
    mmio.freeze();
    hart.config = &config;
    hart.memory = memory.get();
    hart.mmio = &mmio;
    hart.clock = &clock;
    mmu = std::make_unique<Mmu>(hart);
    hart.mmu = mmu.get();
    reset_hart(hart, kRam);
  }

  template <class T>
  void poke(uint64_t address, T value) {
    REQUIRE(memory->write(address, &value, sizeof value));
  }
  template <class T>
  T peek(uint64_t address) const {
    T value{};
    REQUIRE(memory->read(address, &value, sizeof value));
    return value;
  }

  void enter(Priv priv) {
    hart.priv = priv;
    state_changed(hart);
  }
  // PMP entry 0 allows everything to S and U.
  void open_pmp() {
    REQUIRE(debug_write_csr(hart, 0x3b0, ~0ull));
    REQUIRE(debug_write_csr(hart, 0x3a0, kPmpNapot | kPmpAll));
  }
  // What an instruction of the present privilege would do; nullopt: it trapped.
  std::optional<uint64_t> csrr(unsigned csr) {
    if (exec_csr(hart, CsrAccess::kReadSet, csr, 5, 0, true, false, kWord) != SysResult::kNext)
      return std::nullopt;
    return hart.x[5];
  }
  bool csrw(unsigned csr, uint64_t value) {
    return exec_csr(hart, CsrAccess::kReadWrite, csr, kRegSinkNumber, value, false, true, kWord) ==
           SysResult::kNext;
  }
  bool csrs(unsigned csr, uint64_t bits) {
    return exec_csr(hart, CsrAccess::kReadSet, csr, kRegSinkNumber, bits, true, true, kWord) ==
           SysResult::kNext;
  }
  bool csrc(unsigned csr, uint64_t bits) {
    return exec_csr(hart, CsrAccess::kReadClear, csr, kRegSinkNumber, bits, true, true, kWord) ==
           SysResult::kNext;
  }

  struct Device : MmioDevice {
    uint64_t last_offset = ~0ull, last_value = 0;
    uint64_t mmio_read(uint64_t offset, unsigned) override { return 0x1000 + offset; }
    void mmio_write(uint64_t offset, unsigned, uint64_t value) override {
      last_offset = offset;
      last_value = value;
    }
  };

  static constexpr uint32_t kWord = 0xdeadbe73;  // stands for the instruction word in mtval
  static constexpr unsigned kRegSinkNumber = 32;

  CpuConfig config;
  std::unique_ptr<GuestMemory> memory;
  Device device;
  MmioMap mmio;
  GuestClock clock;
  Hart hart;
  std::unique_ptr<Mmu> mmu;
};

}  // namespace hv::test
