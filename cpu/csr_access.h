// Readers, writers and rules that the CSR rows name; private to cpu/csr*.cpp.
#pragma once

#include <cstdint>

#include "cpu/csr.h"
#include "cpu/hart.h"
#include "cpu/pmp.h"
#include "cpu/triggers.h"

namespace hv {

// --- which harts have a CSR
inline bool always(const Hart&, unsigned) {
  return true;
}
inline bool has_f(const Hart& hart, unsigned) {
  return hart.has(Ext::kF);
}
inline bool has_zicntr(const Hart& hart, unsigned) {
  return hart.has(Ext::kZicntr);
}
inline bool has_zihpm(const Hart& hart, unsigned) {
  return hart.has(Ext::kZihpm);
}
inline bool has_sscofpmf(const Hart& hart, unsigned) {
  return hart.has(Ext::kSscofpmf);
}
inline bool has_smstateen(const Hart& hart, unsigned) {
  return hart.has(Ext::kSmstateen);
}
inline bool has_smepmp(const Hart& hart, unsigned) {
  return hart.has(Ext::kSmepmp);
}
inline bool has_triggers(const Hart& hart, unsigned) {
  return hart.config->debug_triggers;
}
inline bool has_sstc(const Hart& hart, unsigned) {
  return hart.has(Ext::kSstc);
}
bool has_pmpcfg(const Hart& hart, unsigned csr);
bool has_pmpaddr(const Hart& hart, unsigned csr);

// --- who may use it now
inline bool no_guard(const Hart&, unsigned, Priv) {
  return true;
}
inline bool float_on(const Hart& hart, unsigned, Priv) {
  return hart.fp_enabled;
}
bool counter_enabled(const Hart& hart, unsigned csr, Priv priv);
bool stimecmp_enabled(const Hart& hart, unsigned csr, Priv priv);
bool senvcfg_allowed(const Hart& hart, unsigned csr, Priv priv);
bool sstateen_allowed(const Hart& hart, unsigned csr, Priv priv);
bool satp_allowed(const Hart& hart, unsigned csr, Priv priv);

inline uint64_t read_zero(Hart&, unsigned) {
  return 0;
}
inline void ignore_write(Hart&, unsigned, uint64_t, uint64_t) {}

#define HV_CSR_READER(name) uint64_t read_##name(Hart& hart, unsigned csr);
#define HV_CSR_WRITER(name) \
  void write_##name(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
#define HV_CSR_ACCESS(name) HV_CSR_READER(name) HV_CSR_WRITER(name)

// csr_counters.cpp
HV_CSR_ACCESS(fflags)
HV_CSR_ACCESS(frm)
HV_CSR_ACCESS(fcsr)
HV_CSR_READER(cycle)
HV_CSR_READER(time)
HV_CSR_READER(instret)
HV_CSR_WRITER(mcycle)
HV_CSR_WRITER(minstret)
HV_CSR_ACCESS(mcountinhibit)
HV_CSR_ACCESS(mcounteren)
HV_CSR_ACCESS(scounteren)
HV_CSR_READER(hpmcounter)
HV_CSR_WRITER(mhpmcounter)
HV_CSR_ACCESS(mhpmevent)
HV_CSR_READER(scountovf)

// csr_status.cpp
HV_CSR_READER(misa)
HV_CSR_READER(mvendorid)
HV_CSR_READER(marchid)
HV_CSR_READER(mimpid)
HV_CSR_READER(mhartid)
HV_CSR_ACCESS(mstatus)
HV_CSR_ACCESS(sstatus)
HV_CSR_ACCESS(menvcfg)
HV_CSR_ACCESS(senvcfg)
HV_CSR_ACCESS(mstateen)
HV_CSR_ACCESS(satp)

// csr_traps.cpp
HV_CSR_ACCESS(medeleg)
HV_CSR_ACCESS(mideleg)
HV_CSR_ACCESS(mie)
HV_CSR_ACCESS(sie)
HV_CSR_ACCESS(mip)
HV_CSR_ACCESS(sip)
HV_CSR_ACCESS(mtvec)
HV_CSR_ACCESS(stvec)
HV_CSR_ACCESS(mepc)
HV_CSR_ACCESS(sepc)
HV_CSR_ACCESS(stimecmp)

#undef HV_CSR_ACCESS
#undef HV_CSR_WRITER
#undef HV_CSR_READER

}  // namespace hv
