// Counters, time and the floating-point CSRs.
#include "cpu/csr_access.h"
#include "cpu/fpu.h"
#include "cpu/hpm.h"

namespace hv {
namespace {

constexpr uint64_t kInhibitCycle = 1, kInhibitInstret = 4;
constexpr unsigned kFirstCounter = 0xc00, kFirstMhpmevent = 0x320;
constexpr uint64_t kBaseCounters = 7;  // CY, TM, IR

// A running counter is instret + offset, an inhibited one stands still in its offset. One cycle
// passes per instruction.
uint64_t counter(const Hart& hart, uint64_t offset, uint64_t inhibit) {
  return hart.csr.mcountinhibit & inhibit ? offset : hart.instret + offset;
}

// The value shows from the next instruction on, so the writing one must not count (3.1.11).
void set_counter(Hart& hart, uint64_t& offset, uint64_t inhibit, uint64_t value) {
  offset = hart.csr.mcountinhibit & inhibit ? value : value - (hart.instret + 1);
}

uint64_t hpm_bits(const Hart& hart) {
  return hart.has(Ext::kZihpm) ? kHpmBits : 0;
}

void set_fs_dirty(Hart& hart) {
  hart.csr.mstatus |= kMstatusFs;
}

void set_fflags(Hart& hart, uint64_t value) {
  fp::collect_flags(hart);  // drops what the host has gathered
  hart.fflags = value & 31;
  set_fs_dirty(hart);
}

void set_frm(Hart& hart, uint64_t value) {
  hart.frm = value & 7;
  fp::frm_changed(hart);
  set_fs_dirty(hart);
}

}  // namespace

bool has_pmpcfg(const Hart& hart, unsigned csr) {
  return (csr - 0x3a0) * 4 < hart.config->pmp_regions;
}
bool has_pmpaddr(const Hart& hart, unsigned csr) {
  // Entries come in groups of 0, 16 or 64; those not implemented read as zero (3.7.1).
  const unsigned regions = hart.config->pmp_regions;
  return csr - 0x3b0 < (regions == 0 ? 0u : regions <= 16 ? 16u : 64u);
}

bool counter_enabled(const Hart& hart, unsigned csr, Priv priv) {
  const uint64_t bit = 1ull << (csr - kFirstCounter);
  if (priv == Priv::kMachine) return true;
  if (!(hart.csr.mcounteren & bit)) return false;
  return priv == Priv::kSupervisor || (hart.csr.scounteren & bit);
}

uint64_t read_cycle(Hart& hart, unsigned) {
  return counter(hart, hart.csr.cycle_offset, kInhibitCycle);
}
uint64_t read_instret(Hart& hart, unsigned) {
  return counter(hart, hart.csr.instret_offset, kInhibitInstret);
}
uint64_t read_time(Hart& hart, unsigned) {
  return hart.clock->now();
}
void write_mcycle(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_counter(hart, hart.csr.cycle_offset, kInhibitCycle, value);
}
void write_minstret(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_counter(hart, hart.csr.instret_offset, kInhibitInstret, value);
}

uint64_t read_mcountinhibit(Hart& hart, unsigned) {
  return hart.csr.mcountinhibit;
}
void write_mcountinhibit(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  const uint64_t cycle = read_cycle(hart, csr), instret = read_instret(hart, csr);
  hart.csr.mcountinhibit =
      (hart.csr.mcountinhibit & kHpmBits) | (value & (kInhibitCycle | kInhibitInstret));
  // The counts carry over from running to standing still and back.
  hart.csr.cycle_offset = value & kInhibitCycle ? cycle : cycle - hart.instret;
  hart.csr.instret_offset = value & kInhibitInstret ? instret : instret - hart.instret;
  hpm_set_inhibit(hart, value & hpm_bits(hart));
}

uint64_t read_mcounteren(Hart& hart, unsigned) {
  return hart.csr.mcounteren;
}
void write_mcounteren(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.mcounteren = value & (kBaseCounters | hpm_bits(hart));
}
uint64_t read_scounteren(Hart& hart, unsigned) {
  return hart.csr.scounteren;
}
void write_scounteren(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.scounteren = value & (kBaseCounters | hpm_bits(hart));
}

// Also mhpmcounter: both ranges begin at a multiple of 32.
uint64_t read_hpmcounter(Hart& hart, unsigned csr) {
  return hpm_read(hart, csr % 32);
}
void write_mhpmcounter(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  if (hart.has(Ext::kZihpm)) hpm_write(hart, csr % 32, value);
}
uint64_t read_mhpmevent(Hart& hart, unsigned csr) {
  return hpm_event(hart, csr - kFirstMhpmevent);
}
void write_mhpmevent(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  if (hart.has(Ext::kZihpm)) hpm_set_event(hart, csr - kFirstMhpmevent, value);
}

// S-mode sees the bits of the counters that mcounteren gives it (Sscofpmf).
uint64_t read_scountovf(Hart& hart, unsigned) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < kHpmCount; ++i)
    if (hpm_event(hart, kHpmFirst + i) & kHpmOf) bits |= 1ull << (kHpmFirst + i);
  return hart.priv == Priv::kMachine ? bits : bits & hart.csr.mcounteren;
}

uint64_t read_fflags(Hart& hart, unsigned) {
  fp::collect_flags(hart);
  return hart.fflags;
}
uint64_t read_frm(Hart& hart, unsigned) {
  return hart.frm;
}
uint64_t read_fcsr(Hart& hart, unsigned csr) {
  return read_fflags(hart, csr) | uint64_t{hart.frm} << 5;
}
void write_fflags(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_fflags(hart, value);
}
void write_frm(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_frm(hart, value);
}
void write_fcsr(Hart& hart, unsigned, uint64_t value, uint64_t) {
  set_fflags(hart, value);
  set_frm(hart, value >> 5);
}

}  // namespace hv
