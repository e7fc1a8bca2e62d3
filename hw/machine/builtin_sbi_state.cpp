// The machine state that firmware leaves for S-mode.
#include "cpu/system_ops.h"
#include "cpu/trap.h"
#include "hw/machine/builtin_sbi.h"
#include "hw/machine/sbi_pmu.h"

namespace hv {
namespace {

// Privileged specification, CSR listing (chapter 2).
enum CsrNumber : unsigned {
  kScounteren = 0x106,
  kMedeleg = 0x302,
  kMideleg = 0x303,
  kMcounteren = 0x306,
  kMenvcfg = 0x30a,
  kMstateen0 = 0x30c,
  kMcountinhibit = 0x320,
  kPmpcfg0 = 0x3a0,
  kPmpaddr0 = 0x3b0,
};

// Everything that S-mode or U-mode can raise but the supervisor call itself: there is no M-mode
// code to take it. (OpenSBI keeps some and hands them back to S-mode.)
constexpr uint64_t kDelegatedExceptions = ~(1ull << static_cast<unsigned>(Cause::kEcallSupervisor) |
                                            1ull << static_cast<unsigned>(Cause::kEcallMachine));
constexpr uint64_t kDelegatedInterrupts =
    1ull << static_cast<unsigned>(HartIrq::kSupervisorSoftware) |
    1ull << static_cast<unsigned>(HartIrq::kSupervisorTimer) |
    1ull << static_cast<unsigned>(HartIrq::kSupervisorExternal) | kMipLcofip;

// menvcfg: CBIE = invalidate, CBCFE, CBZE, ADUE, PBMTE, STCE. Fields of extensions that the hart
// lacks are read-only 0. Where the device tree names Svade next to Svadu, S-mode expects ADUE
// clear.
constexpr uint64_t kEnvironment =
    kEnvcfgCbie | kEnvcfgCbcfe | kEnvcfgCbze | kEnvcfgAdue | kEnvcfgPbmte | kEnvcfgStce;

constexpr uint64_t kBaseCounters = 7;    // cycle, time, instret
constexpr uint64_t kPmpNapotRwx = 0x1f;  // with pmpaddr of all ones: the whole address space

constexpr uint64_t kFsInitial = 1ull << 13;

}  // namespace

void BuiltinSbi::resume_supervisor(Hart& hart, uint64_t address, uint64_t opaque) {
  hart.csr.satp = 0;
  hart.csr.mstatus &= ~kMstatusSie;
  hart.priv = Priv::kSupervisor;
  hart.x[10] = hart.id;
  hart.x[11] = opaque;
  hart.pc = address;
  hart.reservation_address = ~0ull;
  state_changed(hart);
}

void BuiltinSbi::leave_to_supervisor(Hart& hart, uint64_t address, uint64_t opaque) {
  // Through the CSRs' own write rules, so that what the hart lacks stays read-only.
  debug_write_csr(hart, kMedeleg, kDelegatedExceptions);
  debug_write_csr(hart, kMideleg, kDelegatedInterrupts);
  debug_write_csr(hart, kMcounteren, ~0ull);
  debug_write_csr(hart, kMcountinhibit, 0);
  if (hart.has(Ext::kZihpm)) sbi_pmu_reset(hart);
  debug_write_csr(hart, kScounteren, kBaseCounters);
  debug_write_csr(hart, kMenvcfg,
                  hart.has(Ext::kSvade) ? kEnvironment & ~kEnvcfgAdue : kEnvironment);
  for (unsigned i = 0; i < 4; ++i) debug_write_csr(hart, kMstateen0 + i, ~0ull);
  debug_write_csr(hart, kPmpaddr0, ~0ull);
  debug_write_csr(hart, kPmpcfg0, kPmpNapotRwx);

  uint64_t& mstatus = hart.csr.mstatus;
  mstatus &=
      ~(kMstatusMie | kMstatusMpie | kMstatusSpie | kMstatusMpp | kMstatusSpp | kMstatusMprv |
        kMstatusSum | kMstatusMxr | kMstatusTvm | kMstatusTw | kMstatusTsr | kMstatusFs);
  if (hart.has(Ext::kF)) mstatus |= kFsInitial;
  hart.csr.mie = 0;
  hart.csr.stimecmp = ~0ull;
  hart.requests.fetch_or(kReqTimer, std::memory_order_release);
  resume_supervisor(hart, address, opaque);
}

}  // namespace hv
