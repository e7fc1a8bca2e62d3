// Zfa: additional floating-point instructions (unprivileged specification, chapter 23), as
// cpu/fpu.h does F and D. Integers do all of it; flags go to Hart::fflags at once.
#pragma once

#include <cstdint>

#include "cpu/fpu.h"

namespace hv::fp {

namespace detail {

// Number `index` of cpu/isa/fli.h.
template <class T>
uint64_t load_immediate(unsigned index);
// As min_max(), but a NaN makes the result NaN.
template <class T>
uint64_t min_max_nan(Hart& hart, uint64_t a, uint64_t b, bool want_max);
// To an integer in the same format. kInexact only if `inexact`.
template <class T>
uint64_t round_to_integral(Hart& hart, uint64_t a, unsigned rm, bool inexact);

}  // namespace detail

#define HV_FP_PRECISION(T, s)                                         \
  inline uint64_t fli_##s(Hart&, unsigned index) {                    \
    return detail::load_immediate<T>(index);                          \
  }                                                                   \
  inline uint64_t fminm_##s(Hart& hart, uint64_t a, uint64_t b) {     \
    return detail::min_max_nan<T>(hart, a, b, false);                 \
  }                                                                   \
  inline uint64_t fmaxm_##s(Hart& hart, uint64_t a, uint64_t b) {     \
    return detail::min_max_nan<T>(hart, a, b, true);                  \
  }                                                                   \
  inline uint64_t fround_##s(Hart& hart, uint64_t a, unsigned rm) {   \
    return detail::round_to_integral<T>(hart, a, rm, false);          \
  }                                                                   \
  inline uint64_t froundnx_##s(Hart& hart, uint64_t a, unsigned rm) { \
    return detail::round_to_integral<T>(hart, a, rm, true);           \
  }                                                                   \
  inline uint64_t fleq_##s(Hart& hart, uint64_t a, uint64_t b) {      \
    return detail::compare<T>(hart, a, b, true) <= 0;                 \
  }                                                                   \
  inline uint64_t fltq_##s(Hart& hart, uint64_t a, uint64_t b) {      \
    return detail::compare<T>(hart, a, b, true) < 0;                  \
  }
HV_FP_PRECISION(Half, h)
HV_FP_PRECISION(float, s)
HV_FP_PRECISION(double, d)
#undef HV_FP_PRECISION

// The integer modulo 2^32, sign-extended; flags as fcvt_w_d with kTowardZero.
uint64_t fcvtmod_w_d(Hart& hart, uint64_t a);

}  // namespace hv::fp
