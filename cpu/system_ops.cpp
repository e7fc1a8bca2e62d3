#include "cpu/system_ops.h"

#include <time.h>

#include "cpu/hpm.h"
#include "cpu/mmu.h"
#include "cpu/trap.h"

namespace hv {
namespace {

SysResult illegal(Hart& hart, uint32_t instruction) {
  hart.raise(Cause::kIllegalInstruction, instruction);
  return SysResult::kException;
}

// Copies `saved` of mstatus to `bit` and sets `saved`: the enable stack of xRET (3.1.6.1).
uint64_t unstack_enable(uint64_t mstatus, uint64_t bit, uint64_t saved) {
  mstatus = mstatus & saved ? mstatus | bit : mstatus & ~bit;
  return mstatus | saved;
}

SysResult return_to(Hart& hart, Priv priv, uint64_t mstatus, uint64_t pc) {
  hpm_mode_change(hart, true);
  if (priv != Priv::kMachine) mstatus &= ~kMstatusMprv;
  hart.csr.mstatus = mstatus;
  hart.priv = priv;
  hart.pc = pc;
  hart.mmu->context_changed();
  request_interrupt_check(hart);
  return SysResult::kRedirect;
}

Priv mpp(uint64_t mstatus) {
  return static_cast<Priv>((mstatus & kMstatusMpp) >> 11);
}

// The fields of menvcfg and, in U-mode, of senvcfg too must allow it; M-mode may always.
bool envcfg_allows(const Hart& hart, uint64_t field) {
  if (hart.priv == Priv::kMachine) return true;
  if (!(hart.csr.menvcfg & field)) return false;
  return hart.priv == Priv::kSupervisor || (hart.csr.senvcfg & field);
}

template <class T>
bool still_there(const uint8_t* host, uint64_t value) {
  return __atomic_load_n(reinterpret_cast<const T*>(host), __ATOMIC_RELAXED) ==
         static_cast<T>(value);
}

// Whether wrs.* has nothing to wait for: no reservation, another value where LR looked (a store of
// the same value goes unnoticed, as it does by SC), or an interrupt, enabled or not.
bool wrs_is_done(const Hart& hart) {
  const uint32_t requests = hart.requests.load(std::memory_order_relaxed) & ~kReqStep;
  if (requests != 0 || wakes_from_wfi(hart)) return true;
  const uint8_t* host = hart.memory->host(hart.reservation_address, hart.reservation_size);
  if (!host) return true;
  return !(hart.reservation_size == sizeof(uint64_t)
               ? still_there<uint64_t>(host, hart.reservation_value)
               : still_there<uint32_t>(host, hart.reservation_value));
}

uint64_t enabling_field(Cbo kind) {
  switch (kind) {
    case Cbo::kInval:
      return kEnvcfgCbie;
    case Cbo::kClean:
    case Cbo::kFlush:
      return kEnvcfgCbcfe;
    case Cbo::kZero:
      return kEnvcfgCbze;
  }
  return 0;
}

}  // namespace

SysResult exec_ecall(Hart& hart) {
  if (hart.priv == Priv::kSupervisor && hart.sbi) return hart.sbi->supervisor_ecall(hart);
  hart.raise(static_cast<Cause>(static_cast<unsigned>(Cause::kEcallUser) +
                                static_cast<unsigned>(hart.priv)),
             0);
  return SysResult::kException;
}

SysResult exec_ebreak(Hart& hart) {
  hart.raise(Cause::kBreakpoint, hart.pc);
  return SysResult::kException;
}

SysResult exec_mret(Hart& hart, uint32_t instruction) {
  if (hart.priv != Priv::kMachine) return illegal(hart, instruction);
  uint64_t mstatus = hart.csr.mstatus;
  const Priv target = mpp(mstatus);
  mstatus = unstack_enable(mstatus, kMstatusMie, kMstatusMpie) & ~kMstatusMpp;
  hart.csr.in_machine_trap = false;
  return return_to(hart, target, mstatus, hart.csr.mepc);
}

SysResult exec_sret(Hart& hart, uint32_t instruction) {
  uint64_t mstatus = hart.csr.mstatus;
  if (hart.priv == Priv::kUser || (hart.priv == Priv::kSupervisor && (mstatus & kMstatusTsr)))
    return illegal(hart, instruction);
  const Priv target = mstatus & kMstatusSpp ? Priv::kSupervisor : Priv::kUser;
  mstatus = unstack_enable(mstatus, kMstatusSie, kMstatusSpie) & ~kMstatusSpp;
  hart.csr.in_supervisor_trap = false;
  return return_to(hart, target, mstatus, hart.csr.sepc);
}

SysResult exec_wfi(Hart& hart, uint32_t instruction) {
  // Below M-mode TW, and in U-mode the presence of S-mode, make it illegal unless it completes
  // within a bounded time: that time is 0 here (3.1.6.5, 3.3.3).
  const bool forbidden = hart.priv == Priv::kUser ||
                         (hart.priv == Priv::kSupervisor && (hart.csr.mstatus & kMstatusTw));
  if (forbidden) return illegal(hart, instruction);
  return wakes_from_wfi(hart) ? SysResult::kNext : SysResult::kWait;
}

bool wrs_ends_soon(const Hart& hart, WaitLimit limit) {
  constexpr unsigned kSpins = 200;
  for (unsigned i = 0; i < kSpins; ++i) {
    if (wrs_is_done(hart)) return true;
    __builtin_ia32_pause();
  }
  return limit == WaitLimit::kShort;
}

SysResult exec_wrs(Hart& hart, WaitLimit limit, uint32_t instruction) {
  if (wrs_ends_soon(hart, limit)) return SysResult::kNext;
  // The bounded time after which TW makes it illegal has passed (privileged specification 3.1.6.5).
  if (hart.priv != Priv::kMachine && (hart.csr.mstatus & kMstatusTw))
    return illegal(hart, instruction);
  // Who holds the lock may wait for this host core. Naps rather than a sleep: a store by another
  // hart wakes nobody. Software waits in a loop, and other threads for the end of this instruction,
  // so that it may end without a reason and must not last.
  constexpr unsigned kNaps = 16;
  constexpr timespec kNap{.tv_sec = 0, .tv_nsec = 50'000};
  for (unsigned i = 0; i < kNaps && !wrs_is_done(hart); ++i)
    clock_nanosleep(CLOCK_MONOTONIC, 0, &kNap, nullptr);
  return SysResult::kNext;
}

SysResult exec_sfence_vma(Hart& hart, unsigned rs1, unsigned rs2, uint32_t instruction) {
  if (hart.priv == Priv::kUser ||
      (hart.priv == Priv::kSupervisor && (hart.csr.mstatus & kMstatusTvm)))
    return illegal(hart, instruction);
  std::optional<uint64_t> address, asid;
  if (rs1) address = hart.x[rs1];
  if (rs2) asid = hart.x[rs2] & 0xffff;
  hart.mmu->flush(address, asid);
  return SysResult::kNext;
}

SysResult exec_sfence_order(Hart& hart, uint32_t instruction) {
  // sinval.vma has acted at once, so there is nothing left to order.
  return hart.priv == Priv::kUser ? illegal(hart, instruction) : SysResult::kNext;
}

bool exec_cbo(Hart& hart, Cbo kind, uint64_t address, uint32_t instruction) {
  if (!envcfg_allows(hart, enabling_field(kind)))
    return hart.raise(Cause::kIllegalInstruction, instruction);
  // Memory is coherent: management needs no more than the permission of a load, zeroing that of a
  // store.
  uint8_t* block =
      hart.mmu->cache_block(address, kind == Cbo::kZero ? Access::kStore : Access::kLoad);
  if (!block) return false;
  if (kind == Cbo::kZero)
    for (unsigned i = 0; i < 8; ++i)
      __atomic_store_n(reinterpret_cast<uint64_t*>(block) + i, 0, __ATOMIC_RELAXED);
  return true;
}

}  // namespace hv
