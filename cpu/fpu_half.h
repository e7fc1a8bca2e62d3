// Zfhmin and Zfh: half precision (unprivileged specification, chapter 22), as cpu/fpu.h does single
// and double. SSE has no such arithmetic, so that integers do all of it and flags go to
// Hart::fflags at once. What needs no arithmetic is in cpu/fpu.h.
#pragma once

#include <cstdint>

#include "cpu/fpu.h"

namespace hv::fp {

uint64_t fadd_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm);
uint64_t fsub_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm);
uint64_t fmul_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm);
uint64_t fdiv_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm);
uint64_t fsqrt_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fmadd_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm);
uint64_t fmsub_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm);
uint64_t fnmsub_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm);
uint64_t fnmadd_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm);

inline uint64_t feq_h(Hart& hart, uint64_t a, uint64_t b) {
  return detail::compare<Half>(hart, a, b, true) == 0;
}
inline uint64_t flt_h(Hart& hart, uint64_t a, uint64_t b) {
  return detail::compare<Half>(hart, a, b, false) < 0;
}
inline uint64_t fle_h(Hart& hart, uint64_t a, uint64_t b) {
  return detail::compare<Half>(hart, a, b, false) <= 0;
}

uint64_t fcvt_w_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_wu_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_l_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_lu_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_h_w(Hart& hart, uint64_t i, unsigned rm);
uint64_t fcvt_h_wu(Hart& hart, uint64_t i, unsigned rm);
uint64_t fcvt_h_l(Hart& hart, uint64_t i, unsigned rm);
uint64_t fcvt_h_lu(Hart& hart, uint64_t i, unsigned rm);

uint64_t fcvt_h_s(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_h_d(Hart& hart, uint64_t a, unsigned rm);
// Exact: rm does not matter.
uint64_t fcvt_s_h(Hart& hart, uint64_t a, unsigned rm);
uint64_t fcvt_d_h(Hart& hart, uint64_t a, unsigned rm);

}  // namespace hv::fp
