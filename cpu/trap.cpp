#include "cpu/trap.h"

#include <algorithm>

#include "cpu/hpm.h"
#include "cpu/mmu.h"
#include "io/log.h"

namespace hv {
namespace {

constexpr uint64_t kInterruptFlag = 1ull << 63;

// Machine interrupts before supervisor ones; in each: external, software, timer (3.1.9). Last the
// counter overflow of Sscofpmf.
constexpr unsigned kInterruptOrder[] = {11, 3, 7, 9, 1, 5, 13};

uint64_t pending_enabled(const Hart& hart) {
  return (hart.mip.load() | hart.csr.software_seip) & hart.csr.mie;
}

// The interrupts to take in the present state, all of one destination privilege (3.1.6.1, 3.1.9).
uint64_t takeable(const Hart& hart) {
  const uint64_t pending = pending_enabled(hart);
  if (!pending) return 0;
  const CsrState& csr = hart.csr;
  if (hart.priv != Priv::kMachine || (csr.mstatus & kMstatusMie))
    if (const uint64_t machine = pending & ~csr.mideleg) return machine;
  if (hart.priv == Priv::kUser || (hart.priv == Priv::kSupervisor && (csr.mstatus & kMstatusSie)))
    return pending & csr.mideleg;
  return 0;
}

// Copies `bit` of mstatus to `saved` and clears it.
uint64_t stack_enable(uint64_t mstatus, uint64_t bit, uint64_t saved) {
  mstatus = mstatus & bit ? mstatus | saved : mstatus & ~saved;
  return mstatus & ~bit;
}

uint64_t vector_address(uint64_t vector, bool interrupt, uint64_t code) {
  const uint64_t base = vector & ~3ull;
  return interrupt && (vector & 3) == 1 ? base + 4 * code : base;
}

void enter(Hart& hart, bool delegated, bool interrupt, uint64_t code, uint64_t tval) {
  hpm_mode_change(hart, false);
  CsrState& csr = hart.csr;
  const uint64_t cause = code | (interrupt ? kInterruptFlag : 0);
  log(kLogInt, "hart {}: {} {} at {:#x}, tval {:#x}, from {} to {}", hart.id,
      interrupt ? "interrupt" : "exception", code, hart.pc, tval,
      "USHM"[static_cast<unsigned>(hart.priv)], delegated ? 'S' : 'M');
  uint64_t mstatus = csr.mstatus;
  if (delegated) {
    csr.scause = cause;
    csr.sepc = hart.pc;
    csr.stval = tval;
    mstatus = stack_enable(mstatus, kMstatusSie, kMstatusSpie);
    mstatus &= ~kMstatusSpp;
    if (hart.priv == Priv::kSupervisor) mstatus |= kMstatusSpp;
    csr.in_supervisor_trap = true;
    hart.priv = Priv::kSupervisor;
    hart.pc = vector_address(csr.stvec, interrupt, code);
  } else {
    csr.mcause = cause;
    csr.mepc = hart.pc;
    csr.mtval = tval;
    mstatus = stack_enable(mstatus, kMstatusMie, kMstatusMpie);
    mstatus = (mstatus & ~kMstatusMpp) | static_cast<uint64_t>(hart.priv) << 11;
    csr.in_machine_trap = true;
    hart.priv = Priv::kMachine;
    hart.pc = vector_address(csr.mtvec, interrupt, code);
  }
  csr.mstatus = mstatus;
  hart.mmu->context_changed();
}

// STIP follows stimecmp: by menvcfg.STCE, or as the built-in SBI's timer.
bool supervisor_timer_active(const Hart& hart) {
  return (hart.csr.menvcfg & kEnvcfgStce) || hart.sbi;
}

void set_mip(Hart& hart, uint64_t bit, bool level) {
  if (((hart.mip.load(std::memory_order_relaxed) & bit) != 0) == level) return;
  if (level)
    hart.mip.fetch_or(bit);
  else
    hart.mip.fetch_and(~bit);
}

}  // namespace

void take_exception(Hart& hart) {
  const auto code = static_cast<uint64_t>(hart.exception_cause);
  const bool delegated = hart.priv != Priv::kMachine && (hart.csr.medeleg >> code & 1);
  enter(hart, delegated, false, code, hart.exception_tval);
}

bool take_interrupt(Hart& hart) {
  const uint64_t candidates = takeable(hart);
  if (!candidates) return false;
  for (const unsigned code : kInterruptOrder) {
    if (!(candidates >> code & 1)) continue;
    enter(hart, hart.csr.mideleg >> code & 1, true, code, 0);
    return true;
  }
  return false;
}

bool interrupt_ready(const Hart& hart) {
  return takeable(hart) != 0;
}

void request_interrupt_check(Hart& hart) {
  if (takeable(hart)) hart.requests.fetch_or(kReqInterrupt, std::memory_order_release);
}

bool wakes_from_wfi(const Hart& hart) {
  return pending_enabled(hart) != 0;
}

uint64_t update_timers(Hart& hart) {
  const uint64_t now = hart.clock->now();
  uint64_t next = ~0ull;
  auto compare = [&](uint64_t deadline, uint64_t bit) {
    set_mip(hart, bit, deadline <= now);
    if (deadline > now) next = std::min(next, deadline);
  };
  compare(hart.mtimecmp.load(), kMipMtip);
  if (supervisor_timer_active(hart)) compare(hart.csr.stimecmp, kMipStip);
  return next;
}

void set_stimecmp(Hart& hart, uint64_t deadline_ticks) {
  hart.csr.stimecmp = deadline_ticks;
  update_timers(hart);
  hart.requests.fetch_or(kReqTimer, std::memory_order_release);
}

void reset_hart(Hart& hart, uint64_t reset_pc) {
  hart.x.fill(0);
  hart.f.fill(0);
  hart.pc = reset_pc;
  hart.priv = Priv::kMachine;
  hart.fflags = hart.frm = 0;
  hart.instret = 0;
  hart.tlb_misses = {};
  hart.reservation_address = ~0ull;
  hart.reservation_size = 0;
  hart.csr = CsrState{};
  // A device tree that names Svadu without Svade promises S-mode that hardware updates A and D from
  // the start; one that names both, that it does not until asked to. So ADUE, whose reset value the
  // specification leaves open, begins set for the first. PBMTE likewise lets S-mode use what the
  // ISA string names. QEMU's rv64 resets menvcfg to the same.
  if (hart.has(Ext::kSvadu) && !hart.has(Ext::kSvade)) hart.csr.menvcfg |= kEnvcfgAdue;
  if (hart.has(Ext::kSvpbmt)) hart.csr.menvcfg |= kEnvcfgPbmte;
  hart.mip.store(0);
  hart.mtimecmp.store(~0ull);
  hart.mmu->flush_all();
  state_changed(hart);
}

void state_changed(Hart& hart) {
  hart.fp_enabled = hart.csr.mstatus & kMstatusFs;
  hart.mmu->context_changed();
}

}  // namespace hv
