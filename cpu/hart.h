// The architectural state of one hart and what its engine needs next to it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "cpu/cpu_config.h"
#include "cpu/tlb.h"
#include "io/guest_clock.h"
#include "io/guest_memory.h"
#include "io/mmio_map.h"

namespace hv {

enum class Priv : uint8_t { kUser = 0, kSupervisor = 1, kMachine = 3 };

// Exception codes (privileged specification, mcause table).
enum class Cause : uint8_t {
  kFetchMisaligned = 0,
  kFetchAccess = 1,
  kIllegalInstruction = 2,
  kBreakpoint = 3,
  kLoadMisaligned = 4,
  kLoadAccess = 5,
  kStoreMisaligned = 6,
  kStoreAccess = 7,
  kEcallUser = 8,
  kEcallSupervisor = 9,
  kEcallMachine = 11,
  kFetchPageFault = 12,
  kLoadPageFault = 13,
  kStorePageFault = 15,
};

// Bits of Hart::requests: why the engine must leave its fast path at the next block boundary.
enum Request : uint32_t {
  kReqInterrupt = 1u << 0,  // an interrupt input or enable changed: look at mip & mie
  kReqTimer = 1u << 1,      // a timer deadline has passed: recompute MTIP and STIP
  kReqMailbox = 1u << 2,    // functions are queued for this hart
  kReqPark = 1u << 3,       // stop the world, or this hart stops: leave run()
  kReqHot = 1u << 30,       // the engine's own: a block is to be compiled
  kReqStep = 1u << 31,      // Engine::step()'s own: set while it runs, nobody else's concern
};

class CodePages;
struct NativeLink;
struct NativePlace;
class Hart;
class Mmu;
class VcpuSet;

enum class SysResult;  // cpu/system_ops.h

// Takes the place of M-mode firmware: called for ecall from S-mode (built-in SBI).
class EnvironmentCalls {
 public:
  // pc is that of the ecall. What exec_ecall() returns: kNext and kWait go on (or sleep, then go
  // on) 4 bytes behind hart.pc, kRedirect at hart.pc (the ecall again if it was left alone),
  // kException takes the exception recorded in the hart at the ecall. Hart thread.
  virtual SysResult supervisor_ecall(Hart& hart) = 0;

 protected:
  ~EnvironmentCalls() = default;
};

// One of the performance counters (cpu/hpm.h).
struct HpmCounter {
  uint64_t event = 0;  // mhpmevent
  uint64_t value = 0;  // when its source stood at `since`
  uint64_t since = 0;
};
inline constexpr unsigned kHpmCount = 16;

// A debug trigger (cpu/triggers.h). Begins as a disarmed mcontrol.
struct Trigger {
  uint64_t tdata1 = 2ull << 60, tdata2 = 0;
};

// CSRs that hold state of their own; the rest are views (cpu/csr.cpp). Reset values per the
// privileged specification 3.4.
struct CsrState {
  uint64_t mstatus = 0;  // without UXL, SXL and SD, which reads add
  uint64_t medeleg = 0, mideleg = 0;
  uint64_t mie = 0;
  uint64_t mtvec = 0, stvec = 0;
  uint64_t mepc = 0, sepc = 0;
  uint64_t mcause = 0, scause = 0;
  uint64_t mtval = 0, stval = 0;
  uint64_t mscratch = 0, sscratch = 0;
  uint64_t mcounteren = 0, scounteren = 0;
  uint64_t menvcfg = 0, senvcfg = 0;
  std::array<uint64_t, 4> mstateen{};
  uint64_t mcountinhibit = 0;
  uint64_t satp = 0;
  // STIP is (now >= stimecmp) with Sstc switched on in menvcfg, and always where Hart::sbi is set:
  // the built-in SBI's set_timer writes it whether the guest has Sstc or not. Use set_stimecmp().
  uint64_t stimecmp = ~0ull;
  uint64_t software_seip = 0;  // mip.SEIP as M-mode wrote it; ORed to the controller's line
  std::array<HpmCounter, kHpmCount> hpm{};
  // Bits of `hpm`: those that count something, and those of them that some mode stops.
  uint32_t hpm_active = 0, hpm_filtered = 0;
  uint64_t instret_offset = 0, cycle_offset = 0;  // CSR value = Hart::instret + offset
  std::array<Trigger, 2> triggers{};
  unsigned tselect = 0;
  // Some trigger matches loads or stores; execution.
  bool watch_armed = false, break_armed = false;
  // A trap to M-mode, to S-mode, has not returned yet: only for triggers.
  bool in_machine_trap = false, in_supervisor_trap = false;
  uint64_t mseccfg = 0;
  std::array<uint8_t, 64> pmpcfg{};
  std::array<uint64_t, 64> pmpaddr{};
};

// Owned by one hart thread; only the members marked "any thread" may be touched by others. Plain
// data on purpose: engines, CSR rows and traps work on it directly.
class Hart {
 public:
  // --- hot: looked at by every block -------------------------------------------------------------
  // x[0] stays 0; x[kRegSink] takes writes to x0.
  std::array<uint64_t, 33> x{};
  uint64_t pc = 0;
  // Any thread sets bits (fetch_or, release); the hart clears them before it acts.
  alignas(64) std::atomic<uint32_t> requests{0};
  // TLB of the current data context (privilege, MPRV, SUM, MXR, satp); Mmu switches it.
  TlbEntry* data_tlb = nullptr;
  std::array<uint64_t, 32> f{};  // single-precision values are NaN-boxed
  uint8_t fflags = 0;            // exact only after fp::collect_flags() (sticky host flags)
  uint8_t frm = 0;
  bool fp_enabled = false;  // mstatus.FS != Off, kept by whoever writes mstatus
  Priv priv = Priv::kMachine;
  uint64_t instret = 0;  // instructions retired since reset; exact at block boundaries
  // Counted up by fence.i: code decoded before is compared with memory before it runs again.
  uint64_t code_generation = 2;
  // Differs between fetch contexts (privilege, satp) and changes when any fetch translation may
  // have been dropped; engines tag virtual-pc caches with it. Returning to a context whose
  // translations still stand gives its former number. Written by Mmu alone.
  uint64_t fetch_generation = 1;

  // Compiled code's own: the page of the virtual address where it runs.
  uint64_t native_page = 0;
  NativePlace* native_places = nullptr;
  // Where calls want to come back: a ring, the latest at native_returned (an offset in bytes).
  struct NativeReturn {
    uint64_t pc = 1, context = 0;
    const NativeLink* link = nullptr;  // leads to `pc`
    uint64_t unused = 0;
  };
  std::array<NativeReturn, 16> native_returns{};
  uint32_t native_returned = 0;
  // Where the running path has found guest memory (cpu/jit/probe_groups.h).
  std::array<uint64_t, 8> native_addresses{};
  // Of the loop that runs: what a register holds at the end of the strip, rounds until the next one
  // may begin.
  uint64_t native_strip_end = 0;
  uint32_t native_patience = 0;

  // LR/SC: the reservation is the physical address and the value that LR saw.
  uint64_t reservation_address = ~0ull;
  uint64_t reservation_value = 0;
  uint8_t reservation_size = 0;

  // The exception that an operation which returned false has raised.
  Cause exception_cause{};
  uint64_t exception_tval = 0;

  // Accesses that went the slow way since reset.
  struct TlbMisses {
    uint64_t load = 0, store = 0, fetch = 0;
  } tlb_misses;

  // --- cold --------------------------------------------------------------------------------------
  CsrState csr;
  unsigned id = 0;
  const CpuConfig* config = nullptr;
  GuestMemory* memory = nullptr;
  const MmioMap* mmio = nullptr;
  const GuestClock* clock = nullptr;
  Mmu* mmu = nullptr;
  CodePages* code_pages = nullptr;  // nullptr: no page is watched
  EnvironmentCalls* sbi = nullptr;  // nullptr: M-mode firmware runs in the guest

  // Interrupt inputs by mip bit; any thread sets and clears (then kReqInterrupt). STIP and MTIP are
  // recomputed by the hart from stimecmp / mtimecmp.
  std::atomic<uint64_t> mip{0};
  // ACLINT mtimecmp; any thread stores, then kReqTimer.
  std::atomic<uint64_t> mtimecmp{~0ull};

  bool has(Ext ext) const { return config->extensions.has(ext); }

  // Records an exception; returns false so that operations can `return raise(...)`.
  bool raise(Cause cause, uint64_t tval) {
    exception_cause = cause;
    exception_tval = tval;
    return false;
  }
};

// mip and mie bits.
inline constexpr uint64_t kMipSsip = 1ull << 1, kMipMsip = 1ull << 3, kMipStip = 1ull << 5,
                          kMipMtip = 1ull << 7, kMipSeip = 1ull << 9, kMipMeip = 1ull << 11,
                          kMipLcofip = 1ull << 13;

// menvcfg and senvcfg fields.
inline constexpr uint64_t kEnvcfgFiom = 1ull << 0, kEnvcfgCbie = 3ull << 4,
                          kEnvcfgCbcfe = 1ull << 6, kEnvcfgCbze = 1ull << 7,
                          kEnvcfgAdue = 1ull << 61, kEnvcfgPbmte = 1ull << 62,
                          kEnvcfgStce = 1ull << 63;

// mstateen fields: SE in each of the four, the rest in mstateen0.
inline constexpr uint64_t kStateenSe = 1ull << 63, kStateenEnvcfg = 1ull << 62;

// mseccfg fields of Smepmp.
inline constexpr uint64_t kMseccfgMml = 1 << 0, kMseccfgMmwp = 1 << 1, kMseccfgRlb = 1 << 2;

// mstatus fields.
inline constexpr uint64_t kMstatusSie = 1ull << 1, kMstatusMie = 1ull << 3,
                          kMstatusSpie = 1ull << 5, kMstatusMpie = 1ull << 7,
                          kMstatusSpp = 1ull << 8, kMstatusMpp = 3ull << 11,
                          kMstatusFs = 3ull << 13, kMstatusMprv = 1ull << 17,
                          kMstatusSum = 1ull << 18, kMstatusMxr = 1ull << 19,
                          kMstatusTvm = 1ull << 20, kMstatusTw = 1ull << 21,
                          kMstatusTsr = 1ull << 22, kMstatusUxl = 2ull << 32,
                          kMstatusSxl = 2ull << 34, kMstatusSd = 1ull << 63;

}  // namespace hv
