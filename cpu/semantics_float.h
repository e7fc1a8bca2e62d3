// F, D, Zfh and Zfa (unprivileged specification, chapters 20 to 23): the arithmetic is in
// cpu/fpu*.h, here are operands, the checks that make an instruction illegal, and mstatus.FS.
//
// Half- and single-precision values are passed as they stand in a register, NaN box included:
// unboxing is the arithmetic's.
#pragma once

#include <cstdint>

#include "cpu/fpu.h"
#include "cpu/fpu_half.h"
#include "cpu/fpu_zfa.h"
#include "cpu/semantics_memory.h"

namespace hv::semantics {

inline constexpr uint64_t kNanBox = 0xffffffffull << 32;
inline constexpr uint64_t kNanBoxHalf = 0xffffffffffffull << 16;

inline bool illegal_fp(Hart& h) {
  return h.raise(Cause::kIllegalInstruction, 0);
}
inline unsigned rm_of(const DecodedOp& op) {
  return static_cast<unsigned>(op.imm) & 7;
}
// State that FS guards has changed. SD is derived when mstatus is read.
inline void fp_dirty(Hart& h) {
  h.csr.mstatus |= kMstatusFs;
}

// Bodies that store an expression of a, b, c (f sources), i (the integer source) and rm. The
// variants without rounding mode do not look at frm.
#define HV_FP(name, condition, destination, expression)        \
  inline bool name(Hart& h, const DecodedOp& op) {             \
    if (!(condition)) [[unlikely]]                             \
      return illegal_fp(h);                                    \
    [[maybe_unused]] const unsigned rm = rm_of(op);            \
    [[maybe_unused]] const uint64_t a = h.f[op.rs1 & 31];      \
    [[maybe_unused]] const uint64_t b = h.f[op.rs2 & 31];      \
    [[maybe_unused]] const uint64_t c = h.f[op.imm >> 8 & 31]; \
    [[maybe_unused]] const uint64_t i = h.x[op.rs1];           \
    destination = static_cast<uint64_t>(expression);           \
    fp_dirty(h);                                               \
    return true;                                               \
  }
#define HV_ROUNDED (h.fp_enabled && fp::rounding_ok(h, rm_of(op)))
#define HV_EXACT h.fp_enabled
#define HV_F h.f[op.rd & 31]
#define HV_X h.x[op.rd]

#define HV_PRECISION(p)                                               \
  HV_FP(fmadd_##p, HV_ROUNDED, HV_F, fp::fmadd_##p(h, a, b, c, rm))   \
  HV_FP(fmsub_##p, HV_ROUNDED, HV_F, fp::fmsub_##p(h, a, b, c, rm))   \
  HV_FP(fnmsub_##p, HV_ROUNDED, HV_F, fp::fnmsub_##p(h, a, b, c, rm)) \
  HV_FP(fnmadd_##p, HV_ROUNDED, HV_F, fp::fnmadd_##p(h, a, b, c, rm)) \
  HV_FP(fadd_##p, HV_ROUNDED, HV_F, fp::fadd_##p(h, a, b, rm))        \
  HV_FP(fsub_##p, HV_ROUNDED, HV_F, fp::fsub_##p(h, a, b, rm))        \
  HV_FP(fmul_##p, HV_ROUNDED, HV_F, fp::fmul_##p(h, a, b, rm))        \
  HV_FP(fdiv_##p, HV_ROUNDED, HV_F, fp::fdiv_##p(h, a, b, rm))        \
  HV_FP(fsqrt_##p, HV_ROUNDED, HV_F, fp::fsqrt_##p(h, a, rm))         \
  HV_FP(fsgnj_##p, HV_EXACT, HV_F, fp::fsgnj_##p(h, a, b))            \
  HV_FP(fsgnjn_##p, HV_EXACT, HV_F, fp::fsgnjn_##p(h, a, b))          \
  HV_FP(fsgnjx_##p, HV_EXACT, HV_F, fp::fsgnjx_##p(h, a, b))          \
  HV_FP(fmin_##p, HV_EXACT, HV_F, fp::fmin_##p(h, a, b))              \
  HV_FP(fmax_##p, HV_EXACT, HV_F, fp::fmax_##p(h, a, b))              \
  HV_FP(feq_##p, HV_EXACT, HV_X, fp::feq_##p(h, a, b))                \
  HV_FP(flt_##p, HV_EXACT, HV_X, fp::flt_##p(h, a, b))                \
  HV_FP(fle_##p, HV_EXACT, HV_X, fp::fle_##p(h, a, b))                \
  HV_FP(fclass_##p, HV_EXACT, HV_X, fp::fclass_##p(h, a))             \
  HV_FP(fcvt_w_##p, HV_ROUNDED, HV_X, fp::fcvt_w_##p(h, a, rm))       \
  HV_FP(fcvt_wu_##p, HV_ROUNDED, HV_X, fp::fcvt_wu_##p(h, a, rm))     \
  HV_FP(fcvt_l_##p, HV_ROUNDED, HV_X, fp::fcvt_l_##p(h, a, rm))       \
  HV_FP(fcvt_lu_##p, HV_ROUNDED, HV_X, fp::fcvt_lu_##p(h, a, rm))     \
  HV_FP(fcvt_##p##_w, HV_ROUNDED, HV_F, fp::fcvt_##p##_w(h, i, rm))   \
  HV_FP(fcvt_##p##_wu, HV_ROUNDED, HV_F, fp::fcvt_##p##_wu(h, i, rm)) \
  HV_FP(fcvt_##p##_l, HV_ROUNDED, HV_F, fp::fcvt_##p##_l(h, i, rm))   \
  HV_FP(fcvt_##p##_lu, HV_ROUNDED, HV_F, fp::fcvt_##p##_lu(h, i, rm)) \
  HV_FP(fli_##p, HV_EXACT, HV_F, fp::fli_##p(h, op.rs1 & 31))         \
  HV_FP(fminm_##p, HV_EXACT, HV_F, fp::fminm_##p(h, a, b))            \
  HV_FP(fmaxm_##p, HV_EXACT, HV_F, fp::fmaxm_##p(h, a, b))            \
  HV_FP(fround_##p, HV_ROUNDED, HV_F, fp::fround_##p(h, a, rm))       \
  HV_FP(froundnx_##p, HV_ROUNDED, HV_F, fp::froundnx_##p(h, a, rm))   \
  HV_FP(fleq_##p, HV_EXACT, HV_X, fp::fleq_##p(h, a, b))              \
  HV_FP(fltq_##p, HV_EXACT, HV_X, fp::fltq_##p(h, a, b))
HV_PRECISION(h)
HV_PRECISION(s)
HV_PRECISION(d)
HV_FP(fcvt_s_d, HV_ROUNDED, HV_F, fp::fcvt_s_d(h, a, rm))
HV_FP(fcvt_d_s, HV_ROUNDED, HV_F, fp::fcvt_d_s(h, a, rm))
HV_FP(fcvtmod_w_d, HV_EXACT, HV_X, fp::fcvtmod_w_d(h, a))
HV_FP(fcvt_h_s, HV_ROUNDED, HV_F, fp::fcvt_h_s(h, a, rm))
HV_FP(fcvt_h_d, HV_ROUNDED, HV_F, fp::fcvt_h_d(h, a, rm))
HV_FP(fcvt_s_h, HV_ROUNDED, HV_F, fp::fcvt_s_h(h, a, rm))
HV_FP(fcvt_d_h, HV_ROUNDED, HV_F, fp::fcvt_d_h(h, a, rm))

// Moves of bits: no NaN box is checked.
HV_FP(fmv_x_h, HV_EXACT, HV_X, static_cast<int16_t>(a))
HV_FP(fmv_h_x, HV_EXACT, HV_F, i | kNanBoxHalf)
HV_FP(fmv_x_w, HV_EXACT, HV_X, sext32(a))
HV_FP(fmv_w_x, HV_EXACT, HV_F, i | kNanBox)
HV_FP(fmv_x_d, HV_EXACT, HV_X, a)
HV_FP(fmv_d_x, HV_EXACT, HV_F, i)
#undef HV_PRECISION
#undef HV_X
#undef HV_F
#undef HV_EXACT
#undef HV_ROUNDED
#undef HV_FP

template <class T>
[[gnu::always_inline]] inline bool load_to_fd(Hart& h, const DecodedOp& op, uint64_t box) {
  if (!h.fp_enabled) [[unlikely]]
    return illegal_fp(h);
  T value;
  if (!load_memory<T>(h, h.x[op.rs1] + imm64(op), value)) [[unlikely]]
    return false;
  h.f[op.rd] = value | box;
  fp_dirty(h);
  return true;
}
template <class T>
[[gnu::always_inline]] inline bool store_fs2(Hart& h, const DecodedOp& op) {
  if (!h.fp_enabled) [[unlikely]]
    return illegal_fp(h);
  return store_memory<T>(h, h.x[op.rs1] + imm64(op), static_cast<T>(h.f[op.rs2]));
}
inline bool flh(Hart& h, const DecodedOp& op) {
  return load_to_fd<uint16_t>(h, op, kNanBoxHalf);
}
inline bool flw(Hart& h, const DecodedOp& op) {
  return load_to_fd<uint32_t>(h, op, kNanBox);
}
inline bool fld(Hart& h, const DecodedOp& op) {
  return load_to_fd<uint64_t>(h, op, 0);
}
inline bool fsh(Hart& h, const DecodedOp& op) {
  return store_fs2<uint16_t>(h, op);
}
inline bool fsw(Hart& h, const DecodedOp& op) {
  return store_fs2<uint32_t>(h, op);
}
inline bool fsd(Hart& h, const DecodedOp& op) {
  return store_fs2<uint64_t>(h, op);
}

}  // namespace hv::semantics
