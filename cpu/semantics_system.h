// Zicsr, privileged instructions and cache-block operations: the seam to cpu/system_ops.h.
//
// `word` is the instruction as fetched, for mtval.
#pragma once

#include <cstdint>

#include "cpu/decoded_op.h"
#include "cpu/hart.h"
#include "cpu/system_ops.h"

namespace hv::semantics {

// csrrs/csrrc with rs1 = x0 and their immediate forms with zimm = 0 do not write; csrrw[i] with
// rd = x0 does not read (chapter 6).
#define HV_CSR(name, access, operand, read, write)                                             \
  inline SysResult name(Hart& h, const DecodedOp& op, uint32_t word) {                         \
    return exec_csr(h, CsrAccess::access, static_cast<unsigned>(op.imm), op.rd, operand, read, \
                    write, word);                                                              \
  }
HV_CSR(csrrw, kReadWrite, h.x[op.rs1], op.rd != kRegSink, true)
HV_CSR(csrrs, kReadSet, h.x[op.rs1], true, op.rs1 != 0)
HV_CSR(csrrc, kReadClear, h.x[op.rs1], true, op.rs1 != 0)
HV_CSR(csrrwi, kReadWrite, op.rs1, op.rd != kRegSink, true)
HV_CSR(csrrsi, kReadSet, op.rs1, true, op.rs1 != 0)
HV_CSR(csrrci, kReadClear, op.rs1, true, op.rs1 != 0)
#undef HV_CSR

inline SysResult fence_i(Hart& h, const DecodedOp&, uint32_t) {
  ++h.code_generation;
  return SysResult::kNext;
}
inline SysResult ecall(Hart& h, const DecodedOp&, uint32_t) {
  return exec_ecall(h);
}
inline SysResult ebreak(Hart& h, const DecodedOp&, uint32_t) {
  return exec_ebreak(h);
}
inline SysResult mret(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_mret(h, word);
}
inline SysResult sret(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_sret(h, word);
}
inline SysResult wfi(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_wfi(h, word);
}
inline SysResult wrs_nto(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_wrs(h, WaitLimit::kNone, word);
}
inline SysResult wrs_sto(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_wrs(h, WaitLimit::kShort, word);
}
inline SysResult sfence_vma(Hart& h, const DecodedOp& op, uint32_t word) {
  return exec_sfence_vma(h, op.rs1, op.rs2, word);
}
inline SysResult sinval_vma(Hart& h, const DecodedOp& op, uint32_t word) {
  return exec_sfence_vma(h, op.rs1, op.rs2, word);
}
inline SysResult sfence_w_inval(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_sfence_order(h, word);
}
inline SysResult sfence_inval_ir(Hart& h, const DecodedOp&, uint32_t word) {
  return exec_sfence_order(h, word);
}

// The engine puts the word into tval when the exception is an illegal instruction.
#define HV_CBO(name, kind)                         \
  inline bool name(Hart& h, const DecodedOp& op) { \
    return exec_cbo(h, Cbo::kind, h.x[op.rs1], 0); \
  }
HV_CBO(cbo_inval, kInval)
HV_CBO(cbo_clean, kClean)
HV_CBO(cbo_flush, kFlush)
HV_CBO(cbo_zero, kZero)
#undef HV_CBO

}  // namespace hv::semantics
