// Core-local interrupts: machine timer and software interrupts (CLINT), supervisor software
// interrupts (ACLINT SSWI).
#pragma once

#include <span>
#include <vector>

#include "hw/device.h"
#include "io/guest_clock.h"
#include "io/hart_port.h"
#include "io/mmio_device.h"
#include "io/thread_safety.h"

namespace hv {

// SiFive's CLINT window: one MSIP word per hart at 0, one 64-bit MTIMECMP per hart at 0x4000, MTIME
// at 0xbff8. Registers of harts that do not exist read as 0 and ignore writes.
//
// MTIME is the GuestClock, which is one time base for the time CSR, mtimecmp and stimecmp. A store
// to it sets them all (privileged specification 3.2.1: a read-write register), a reset to 0.
//
// Registers: any hart thread. Each hart's pair has a mutex of its own: it keeps the halves of a
// 32-bit MTIMECMP update together and drives MSIP in the order of the stores.
class Clint final : public Device, public MmioDevice {
 public:
  static constexpr uint64_t kWindowSize = 0x10000;
  static constexpr unsigned kMinAccess = 4, kMaxAccess = 8;

  // `harts[i]` belongs to hart id i; at most 64. The ports and the clock outlive the device.
  Clint(std::vector<HartPort*> harts, GuestClock& clock);

  std::string_view type_name() const override { return "riscv.sifive.clint"; }
  void reset() override;
  // "compatible" and "interrupts-extended"; intc_phandles[i] is hart i's interrupt controller.
  void describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const;
  // The same registers as the ACLINT specification names them, in two nodes of 0x4000 and 0x8000
  // bytes: MSWI at the window's start, MTIMER behind it.
  void describe_mswi(FdtNode& node, std::span<const uint32_t> intc_phandles) const;
  void describe_mtimer(FdtNode& node, std::span<const uint32_t> intc_phandles) const;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  uint32_t read_word(uint64_t offset);
  uint64_t read_double(uint64_t offset) const;
  void write_msip(uint64_t index, uint32_t value);
  void set_time(uint64_t ticks);

  struct PerHart {
    HartPort* port = nullptr;
    Mutex mutex;
    bool msip HV_GUARDED_BY(mutex) = false;
  };
  std::vector<PerHart> harts_;
  GuestClock& clock_;
};

// ACLINT SSWI: one SETSSIP word per hart; storing a value with bit 0 set makes the hart's
// supervisor software interrupt pending, which only that hart clears (in sip). Reads give 0. Any
// hart thread.
class AclintSswi final : public Device, public MmioDevice {
 public:
  static constexpr uint64_t kWindowSize = 0x4000;
  static constexpr unsigned kMinAccess = 4, kMaxAccess = 4;

  explicit AclintSswi(std::vector<HartPort*> harts) : harts_(std::move(harts)) {}

  std::string_view type_name() const override { return "riscv.aclint.swi"; }
  void reset() override {}
  void describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  std::vector<HartPort*> harts_;
};

}  // namespace hv
