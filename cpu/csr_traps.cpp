// CSRs of trap handling and interrupts.
#include "cpu/csr_access.h"
#include "cpu/trap.h"

namespace hv {
namespace {

constexpr uint64_t kSupervisorInterrupts = kMipSsip | kMipStip | kMipSeip;
constexpr uint64_t kBaseInterrupts = kSupervisorInterrupts | kMipMsip | kMipMtip | kMipMeip;

// The counter overflow is an interrupt of both modes.
uint64_t overflow_interrupt(const Hart& hart) {
  return hart.has(Ext::kSscofpmf) ? kMipLcofip : 0;
}

// Exceptions 0-9, 12, 13 and 15. Bit 11 is read-only zero (ecall from M-mode), 10 and 14 reserved.
constexpr uint64_t kDelegable = 0xb3ff;

bool sstc_active(const Hart& hart) {
  return hart.csr.menvcfg & kEnvcfgStce;
}

// WARL: the two legal modes are direct and vectored; a reserved one leaves the register alone.
void write_vector(uint64_t& vector, uint64_t value) {
  if ((value & 3) <= 1) vector = value;
}

// IALIGN is 16 with C, else 32 (3.1.14).
uint64_t pc_mask(const Hart& hart) {
  return hart.has(Ext::kC) ? ~1ull : ~3ull;
}

// Changes the named bits of mip, which other threads change too.
void change_mip(Hart& hart, uint64_t value, uint64_t mask) {
  if (const uint64_t set = value & mask) hart.mip.fetch_or(set);
  if (const uint64_t clear = ~value & mask) hart.mip.fetch_and(~clear);
  request_interrupt_check(hart);
}

}  // namespace

uint64_t read_medeleg(Hart& hart, unsigned) {
  return hart.csr.medeleg;
}
void write_medeleg(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.medeleg = value & kDelegable;
}

uint64_t read_mideleg(Hart& hart, unsigned) {
  return hart.csr.mideleg;
}
void write_mideleg(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.mideleg = value & (kSupervisorInterrupts | overflow_interrupt(hart));
  request_interrupt_check(hart);
}

uint64_t read_mie(Hart& hart, unsigned) {
  return hart.csr.mie;
}
void write_mie(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.mie = value & (kBaseInterrupts | overflow_interrupt(hart));
  request_interrupt_check(hart);
}

// sie and sip show the delegated interrupts only (4.1.3).
uint64_t read_sie(Hart& hart, unsigned) {
  return hart.csr.mie & hart.csr.mideleg;
}
void write_sie(Hart& hart, unsigned, uint64_t value, uint64_t) {
  const uint64_t mask = hart.csr.mideleg;
  hart.csr.mie = (hart.csr.mie & ~mask) | (value & mask);
  request_interrupt_check(hart);
}

uint64_t read_mip(Hart& hart, unsigned) {
  update_timers(hart);
  return hart.mip.load() | hart.csr.software_seip;
}

void write_mip(Hart& hart, unsigned, uint64_t value, uint64_t mask) {
  // M-mode writes its own SEIP bit; the controller's line is not part of read-modify-write (3.1.9),
  // so `value` counts only where the instruction named the bit.
  if (mask & kMipSeip) hart.csr.software_seip = value & kMipSeip;
  uint64_t writable = sstc_active(hart) ? kMipSsip : kMipSsip | kMipStip;
  writable |= overflow_interrupt(hart);
  change_mip(hart, value, mask & writable);
}

uint64_t read_sip(Hart& hart, unsigned csr) {
  return read_mip(hart, csr) & hart.csr.mideleg;
}
void write_sip(Hart& hart, unsigned, uint64_t value, uint64_t mask) {
  change_mip(hart, value, mask & (kMipSsip | overflow_interrupt(hart)) & hart.csr.mideleg);
}

uint64_t read_mtvec(Hart& hart, unsigned) {
  return hart.csr.mtvec;
}
void write_mtvec(Hart& hart, unsigned, uint64_t value, uint64_t) {
  write_vector(hart.csr.mtvec, value);
}
uint64_t read_stvec(Hart& hart, unsigned) {
  return hart.csr.stvec;
}
void write_stvec(Hart& hart, unsigned, uint64_t value, uint64_t) {
  write_vector(hart.csr.stvec, value);
}

uint64_t read_mepc(Hart& hart, unsigned) {
  return hart.csr.mepc;
}
void write_mepc(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.mepc = value & pc_mask(hart);
}
uint64_t read_sepc(Hart& hart, unsigned) {
  return hart.csr.sepc;
}
void write_sepc(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.sepc = value & pc_mask(hart);
}

bool stimecmp_enabled(const Hart& hart, unsigned, Priv priv) {
  // M-mode always; below it menvcfg.STCE and mcounteren.TM (Sstc 2.1).
  constexpr uint64_t kTm = 2;
  return priv == Priv::kMachine || (sstc_active(hart) && (hart.csr.mcounteren & kTm));
}
uint64_t read_stimecmp(Hart& hart, unsigned) {
  return hart.csr.stimecmp;
}
void write_stimecmp(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_stimecmp(hart, value);
}

}  // namespace hv
