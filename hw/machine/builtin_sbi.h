// The built-in SBI: supervisor calls served natively, with no M-mode code in the guest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "cpu/vcpu.h"
#include "io/char_backend.h"
#include "io/guest_memory.h"
#include "io/system_control.h"

namespace hv {

// Extensions BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU and the legacy calls 0-8, per SBI v2.0,
// and DBTR of v3.0 (sbi_dbtr.h); all others are probed as absent. Implementation id 0x6876 ("hv",
// assigned to nobody). Calls arrive on the hart threads, several at once.
//
// SRST: shutdown is a guest shutdown with status 0, or a guest panic with status 1 when the reason
// is a system failure; cold and warm reboot both reset the machine. HSM suspend is a WFI; the
// default non-retentive one resumes at its address. A hart mask is checked whole before anything is
// done. Remote hypervisor fences are not supported.
class BuiltinSbi : public EnvironmentCalls {
 public:
  // `console` may be nullptr (DBCN writes vanish, reads give nothing); it is written with
  // CharBackend::write and, when full, waited for without holding anything.
  // It installs itself on the harts: environment calls and HSM start hook.
  static std::unique_ptr<BuiltinSbi> create(VcpuSet& harts, GuestMemory& memory,
                                            CharBackend* console, SystemControl& control);
  virtual ~BuiltinSbi() = default;

  // Where DBCN read and the legacy getchar take bytes from: fills the span without waiting, returns
  // how many (Uart16550::take_input of the console's port). Before harts start; hart threads call.
  using ConsoleInput = std::function<size_t(std::span<uint8_t> bytes)>;
  virtual void set_console_input(ConsoleInput input) = 0;

  // What firmware leaves for S-mode: delegation, counters, envcfg, one PMP entry over everything,
  // no debug triggers; then a0 = hart id, a1 = opaque, pc = address, S-mode with paging off (SBI
  // HSM hart_start). On the hart's thread, or while it is parked.
  virtual void enter_supervisor(Hart& hart, uint64_t address, uint64_t opaque) = 0;
  // Only what hart_start and a non-retentive resume set in S-mode: satp = 0, sstatus.SIE = 0,
  // a0 = hart id, a1 = opaque, pc = address.
  static void resume_supervisor(Hart& hart, uint64_t address, uint64_t opaque);

 protected:
  // enter_supervisor for what lies in the hart.
  static void leave_to_supervisor(Hart& hart, uint64_t address, uint64_t opaque);
};

}  // namespace hv
