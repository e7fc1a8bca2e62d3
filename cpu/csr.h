// The CSRs as rows (cpu/isa/csr.inc). Instructions reach them by cpu/system_ops.h.
#pragma once

#include <cstdint>
#include <string>

#include "cpu/hart.h"

namespace hv {

inline constexpr unsigned kFflags = 1, kFrm = 2, kFcsr = 3, kSstatus = 0x100;

// Of sstatus: what is a view of CsrState::mstatus and writable, FS if there is F.
inline constexpr uint64_t kSstatusWritable =
    kMstatusSie | kMstatusSpie | kMstatusSpp | kMstatusSum | kMstatusMxr;
inline constexpr uint64_t kSstatusStored = kSstatusWritable | kMstatusFs;

struct CsrRow {
  uint16_t number;
  const char* name;
  int16_t name_index;  // of a range ("pmpaddr" + 3); -1: none
  // This hart has the CSR.
  bool (*exists)(const Hart& hart, unsigned csr);
  // `priv` may use it in the hart's present state; the number's own privilege is checked elsewhere.
  bool (*guard)(const Hart& hart, unsigned csr, Priv priv);
  uint64_t (*read)(Hart& hart, unsigned csr);
  // `mask`: the bits that the instruction names (csrrs, csrrc), or all: what may change behind the
  // hart's back is altered there only. `value` is right in the other bits as of the read.
  void (*write)(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
};

// nullptr: no such CSR on any hart. Thread-safe.
const CsrRow* find_csr(unsigned number);

// "mstatus", "pmpaddr3"; "0x7c0" for a number without a row. Thread-safe.
std::string csr_name(unsigned number);

}  // namespace hv
