// F, D and Zfh arithmetic (unprivileged specification, chapters 20 to 22), bit exact, flags
// included.
//
// The host's SSE unit computes with the guest's rounding mode in MXCSR, and its sticky flags are
// the guest's fflags that are not in Hart::fflags yet. Integer code (cpu/fpu_soft.h) does what SSE
// cannot. IEEE 754 leaves open and both agree on: underflow is detected after rounding, subnormals
// are honoured.
//
// Values pass as they stand in registers: a half or single must be NaN-boxed, else it counts as the
// canonical NaN. Integers are returned sign-extended to 64 bits. rm is a static rounding mode or
// 7 for hart.frm; the caller has refused what rounding_ok() refuses.
//
// Hart thread, inside a Session only. C++ code with floating point of its own that may run inside a
// Session (a device's register access) needs a HostScope.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cpu/fpu_host.h"
#include "cpu/fpu_soft.h"
#include "cpu/hart.h"

namespace hv::fp {

// --- control

// The fflags that MXCSR's sticky flags stand for.
inline constexpr auto kFlagsOfHost = [] {
  std::array<uint8_t, host::kSticky + 1> table{};
  for (size_t mxcsr = 0; mxcsr < table.size(); ++mxcsr) {
    if (mxcsr & 1u << 0) table[mxcsr] |= kInvalid;
    if (mxcsr & 1u << 2) table[mxcsr] |= kDivideByZero;
    if (mxcsr & 1u << 3) table[mxcsr] |= kOverflow;
    if (mxcsr & 1u << 4) table[mxcsr] |= kUnderflow;
    if (mxcsr & 1u << 5) table[mxcsr] |= kInexact;
  }
  return table;
}();

// Moves the host's sticky flags to hart.fflags. CSR accesses do this before they read or write
// fflags, frm or fcsr; what they write to hart.fflags is then the whole truth.
void collect_flags(Hart& hart);
// After a change of hart.frm: loads the host's rounding control, keeps sticky flags.
void frm_changed(Hart& hart);
// When an engine begins and ends running a hart; leave() collects the flags.
void enter(Hart& hart);
void leave(Hart& hart);

class Session {
 public:
  explicit Session(Hart& hart) : hart_(hart) { enter(hart); }
  ~Session() { leave(hart_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  Hart& hart_;
};

// Shields the guest's flags and rounding mode from the program's own floating point.
class HostScope {
 public:
  HostScope() : saved_(host::read_control()) { host::write_control(host::kDefault); }
  ~HostScope() { host::write_control(saved_); }
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;

 private:
  uint32_t saved_;
};

// False: the instruction is illegal (20.2). Static modes 5 and 6 count as well, although decode
// leaves none of them.
inline bool rounding_ok(const Hart& hart, unsigned rm) {
  return (rm == kDynamic ? hart.frm : rm) <= kNearestMaxMagnitude;
}

// --- parts of the functions below

// No host type: nothing here computes with it but cpu/fpu_soft.h.
struct Half {
  uint16_t bits;
};

namespace detail {

template <class T>
struct Traits;
template <>
struct Traits<Half> {
  using Bits = uint16_t;
  static constexpr Bits kInfinity = 0x7c00, kNan = 0x7e00, kQuiet = 0x0200;
  static constexpr Bits kSign = 1u << 15;
  static constexpr const soft::Kind& kKind = soft::kHalf;
};
template <>
struct Traits<float> {
  using Bits = uint32_t;
  static constexpr Bits kInfinity = 0x7f800000, kNan = 0x7fc00000, kQuiet = 0x00400000;
  static constexpr Bits kSign = 1u << 31;
  static constexpr const soft::Kind& kKind = soft::kSingle;
};
template <>
struct Traits<double> {
  using Bits = uint64_t;
  static constexpr Bits kInfinity = 0x7ff0000000000000, kNan = 0x7ff8000000000000,
                        kQuiet = 0x0008000000000000;
  static constexpr Bits kSign = 1ull << 63;
  static constexpr const soft::Kind& kKind = soft::kDouble;
};
template <class T>
using BitsOf = typename Traits<T>::Bits;

// The ones above a value narrower than the register.
template <class T>
inline constexpr uint64_t kBox = ~0ull << (sizeof(T) * 8);

// NaN boxing (21.2).
template <class T>
inline BitsOf<T> unbox_bits(uint64_t reg) {
  if constexpr (sizeof(T) == 8)
    return reg;
  else
    return reg >= kBox<T> ? static_cast<BitsOf<T>>(reg) : Traits<T>::kNan;
}
template <class T>
inline T unbox(uint64_t reg) {
  return std::bit_cast<T>(unbox_bits<T>(reg));
}
template <class T>
inline uint64_t box_bits(BitsOf<T> bits) {
  if constexpr (sizeof(T) == 8)
    return bits;
  else
    return kBox<T> | bits;
}

template <class T>
inline bool is_nan(BitsOf<T> bits) {
  return (bits & ~Traits<T>::kSign) > Traits<T>::kInfinity;
}
template <class T>
inline bool is_signalling(BitsOf<T> bits) {
  return is_nan<T>(bits) && (bits & Traits<T>::kQuiet) == 0;
}

// An arithmetic result: every NaN is the canonical one (20.3).
template <class T>
inline uint64_t result(T value) {
  const auto bits = std::bit_cast<BitsOf<T>>(value);
  return box_bits<T>(is_nan<T>(bits) ? Traits<T>::kNan : bits);
}

inline unsigned resolve(const Hart& hart, unsigned rm) {
  return rm == kDynamic ? hart.frm : rm;
}
inline uint64_t keep(Hart& hart, const soft::Outcome& outcome) {
  hart.fflags |= outcome.flags;
  return outcome.bits;
}
// The result of cpu/fpu_soft.h, whose NaNs are canonical.
template <class T>
inline uint64_t keep_boxed(Hart& hart, const soft::Outcome& outcome) {
  return box_bits<T>(static_cast<BitsOf<T>>(keep(hart, outcome)));
}

// The host's rounding control already holds this mode.
inline bool host_rounds(const Hart& hart, unsigned rm) {
  const unsigned mode = resolve(hart, rm);
  return mode == hart.frm && mode != kNearestMaxMagnitude;
}

enum class Arith { kAdd, kSub, kMul, kDiv, kSqrt, kFma };

// Any rounding mode. Unused operands are 0.
template <class T>
uint64_t arith_slow(Hart& hart, Arith op, T a, T b, T c, unsigned rm);
uint64_t narrow_slow(Hart& hart, double a, unsigned rm);
template <class T>
uint64_t to_integer_slow(Hart& hart, T a, unsigned rm, bool is_signed, unsigned width);
template <class T>
uint64_t from_integer_slow(Hart& hart, bool negative, uint64_t magnitude, unsigned rm);

// The host sees inf * 0 + quiet NaN as a plain NaN, the specification as invalid (20.6).
template <class T>
void fma_nan(Hart& hart, T a, T b);

template <class T>
inline uint64_t fma(Hart& hart, T a, T b, T c, unsigned rm) {
  if (!host_rounds(hart, rm) || !host::kHasFma) [[unlikely]]
    return arith_slow<T>(hart, Arith::kFma, a, b, c, rm);
  const T value = host::fma(a, b, c);
  if (is_nan<T>(std::bit_cast<BitsOf<T>>(value))) [[unlikely]]
    fma_nan(hart, a, b);
  return result(value);
}

// No operation of the host's: it must not see signalling NaNs.
template <class T>
inline T negate(T value) {
  return std::bit_cast<T>(
      static_cast<BitsOf<T>>(std::bit_cast<BitsOf<T>>(value) ^ Traits<T>::kSign));
}

template <class T>
uint64_t min_max(Hart& hart, uint64_t a, uint64_t b, bool want_max);
template <class T>
uint64_t classify(uint64_t a);
// In integers. A signalling NaN is invalid, and with `quiet` false any NaN.
template <class T>
std::partial_ordering compare(Hart& hart, uint64_t a, uint64_t b, bool quiet);

// I: int32_t or int64_t. An out-of-range value has set the host's invalid flag, as it should, and
// only its saturated result is missing; the smallest integer itself takes that way too.
template <class I, class T>
inline uint64_t to_signed(Hart& hart, uint64_t a, unsigned rm) {
  const T value = unbox<T>(a);
  I integer;
  if (rm == kTowardZero)
    integer = host::to_integer<true, I>(value);
  else if (host_rounds(hart, rm))
    integer = host::to_integer<false, I>(value);
  else
    return to_integer_slow<T>(hart, value, rm, true, sizeof(I) * 8);
  if (integer == std::numeric_limits<I>::min()) [[unlikely]]
    return to_integer_slow<T>(hart, value, rm, true, sizeof(I) * 8);
  return static_cast<uint64_t>(static_cast<int64_t>(integer));
}

// Positive values below 2^30 (2^62) convert as signed ones. Others must not reach the host, which
// would call inexact what is invalid.
template <unsigned kWidth, class T>
inline uint64_t to_unsigned(Hart& hart, uint64_t a, unsigned rm) {
  using I = std::conditional_t<kWidth == 32, int32_t, int64_t>;
  constexpr T kLimit = kWidth == 32 ? static_cast<T>(0x1p30) : static_cast<T>(0x1p62);
  const T value = unbox<T>(a);
  if (std::bit_cast<BitsOf<T>>(value) < std::bit_cast<BitsOf<T>>(kLimit)) [[likely]] {
    if (rm == kTowardZero) return host::to_integer<true, I>(value);
    if (host_rounds(hart, rm)) return host::to_integer<false, I>(value);
  }
  return to_integer_slow<T>(hart, value, rm, false, kWidth);
}

template <class T>
inline uint64_t from_signed(Hart& hart, int64_t a, unsigned rm) {
  if (host_rounds(hart, rm)) [[likely]]
    return result(host::from_integer<T>(a));
  return from_integer_slow<T>(hart, a < 0, a < 0 ? 0 - static_cast<uint64_t>(a) : a, rm);
}
template <class T>
inline uint64_t from_unsigned(Hart& hart, uint64_t a, unsigned rm) {
  if (host_rounds(hart, rm) && static_cast<int64_t>(a) >= 0) [[likely]]
    return result(host::from_integer<T>(static_cast<int64_t>(a)));
  return from_integer_slow<T>(hart, false, a, rm);
}

}  // namespace detail

// --- the instructions

#define HV_FP_BINARY(name, op, arith, T, s)                                     \
  inline uint64_t name##_##s(Hart& hart, uint64_t a, uint64_t b, unsigned rm) { \
    const T x = detail::unbox<T>(a), y = detail::unbox<T>(b);                   \
    if (detail::host_rounds(hart, rm)) [[likely]]                               \
      return detail::result(host::op(x, y));                                    \
    return detail::arith_slow<T>(hart, detail::Arith::arith, x, y, T{}, rm);    \
  }

// `x` and `z` are the signs given to the product and the addend.
#define HV_FP_FMA(name, x, z, T, s)                                                         \
  inline uint64_t name##_##s(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm) { \
    return detail::fma<T>(hart, x(detail::unbox<T>(a)), detail::unbox<T>(b),                \
                          z(detail::unbox<T>(c)), rm);                                      \
  }

// What needs no arithmetic is the same for halves.
#define HV_FP_BITS(T, s)                                                                     \
  inline uint64_t fsgnj_##s(Hart&, uint64_t a, uint64_t b) {                                 \
    constexpr auto kSign = detail::Traits<T>::kSign;                                         \
    const auto x = detail::unbox_bits<T>(a), y = detail::unbox_bits<T>(b);                   \
    return detail::box_bits<T>(static_cast<detail::BitsOf<T>>((x & ~kSign) | (y & kSign)));  \
  }                                                                                          \
  inline uint64_t fsgnjn_##s(Hart&, uint64_t a, uint64_t b) {                                \
    constexpr auto kSign = detail::Traits<T>::kSign;                                         \
    const auto x = detail::unbox_bits<T>(a), y = detail::unbox_bits<T>(b);                   \
    return detail::box_bits<T>(static_cast<detail::BitsOf<T>>((x & ~kSign) | (~y & kSign))); \
  }                                                                                          \
  inline uint64_t fsgnjx_##s(Hart&, uint64_t a, uint64_t b) {                                \
    constexpr auto kSign = detail::Traits<T>::kSign;                                         \
    const auto x = detail::unbox_bits<T>(a), y = detail::unbox_bits<T>(b);                   \
    return detail::box_bits<T>(static_cast<detail::BitsOf<T>>(x ^ (y & kSign)));             \
  }                                                                                          \
  inline uint64_t fmin_##s(Hart& hart, uint64_t a, uint64_t b) {                             \
    return detail::min_max<T>(hart, a, b, false);                                            \
  }                                                                                          \
  inline uint64_t fmax_##s(Hart& hart, uint64_t a, uint64_t b) {                             \
    return detail::min_max<T>(hart, a, b, true);                                             \
  }                                                                                          \
  inline uint64_t fclass_##s(Hart&, uint64_t a) {                                            \
    return detail::classify<T>(a);                                                           \
  }
HV_FP_BITS(Half, h)
HV_FP_BITS(float, s)
HV_FP_BITS(double, d)
#undef HV_FP_BITS

#define HV_FP_PRECISION(T, s)                                                  \
  HV_FP_BINARY(fadd, add, kAdd, T, s)                                          \
  HV_FP_BINARY(fsub, sub, kSub, T, s)                                          \
  HV_FP_BINARY(fmul, mul, kMul, T, s)                                          \
  HV_FP_BINARY(fdiv, div, kDiv, T, s)                                          \
  HV_FP_FMA(fmadd, , , T, s)                                                   \
  HV_FP_FMA(fmsub, , detail::negate, T, s)                                     \
  HV_FP_FMA(fnmsub, detail::negate, , T, s)                                    \
  HV_FP_FMA(fnmadd, detail::negate, detail::negate, T, s)                      \
  inline uint64_t fsqrt_##s(Hart& hart, uint64_t a, unsigned rm) {             \
    const T x = detail::unbox<T>(a);                                           \
    if (detail::host_rounds(hart, rm)) [[likely]]                              \
      return detail::result(host::sqrt(x));                                    \
    return detail::arith_slow<T>(hart, detail::Arith::kSqrt, x, T{}, T{}, rm); \
  }                                                                            \
  inline uint64_t feq_##s(Hart&, uint64_t a, uint64_t b) {                     \
    return host::equal(detail::unbox<T>(a), detail::unbox<T>(b));              \
  }                                                                            \
  inline uint64_t flt_##s(Hart&, uint64_t a, uint64_t b) {                     \
    return host::less(detail::unbox<T>(a), detail::unbox<T>(b));               \
  }                                                                            \
  inline uint64_t fle_##s(Hart&, uint64_t a, uint64_t b) {                     \
    return host::less_equal(detail::unbox<T>(a), detail::unbox<T>(b));         \
  }                                                                            \
  inline uint64_t fcvt_w_##s(Hart& hart, uint64_t a, unsigned rm) {            \
    return detail::to_signed<int32_t, T>(hart, a, rm);                         \
  }                                                                            \
  inline uint64_t fcvt_l_##s(Hart& hart, uint64_t a, unsigned rm) {            \
    return detail::to_signed<int64_t, T>(hart, a, rm);                         \
  }                                                                            \
  inline uint64_t fcvt_wu_##s(Hart& hart, uint64_t a, unsigned rm) {           \
    return detail::to_unsigned<32, T>(hart, a, rm);                            \
  }                                                                            \
  inline uint64_t fcvt_lu_##s(Hart& hart, uint64_t a, unsigned rm) {           \
    return detail::to_unsigned<64, T>(hart, a, rm);                            \
  }                                                                            \
  inline uint64_t fcvt_##s##_w(Hart& hart, uint64_t i, unsigned rm) {          \
    return detail::from_signed<T>(hart, static_cast<int32_t>(i), rm);          \
  }                                                                            \
  inline uint64_t fcvt_##s##_l(Hart& hart, uint64_t i, unsigned rm) {          \
    return detail::from_signed<T>(hart, static_cast<int64_t>(i), rm);          \
  }                                                                            \
  inline uint64_t fcvt_##s##_wu(Hart& hart, uint64_t i, unsigned rm) {         \
    return detail::from_unsigned<T>(hart, static_cast<uint32_t>(i), rm);       \
  }                                                                            \
  inline uint64_t fcvt_##s##_lu(Hart& hart, uint64_t i, unsigned rm) {         \
    return detail::from_unsigned<T>(hart, i, rm);                              \
  }
HV_FP_PRECISION(float, s)
HV_FP_PRECISION(double, d)
#undef HV_FP_PRECISION
#undef HV_FP_FMA
#undef HV_FP_BINARY

inline uint64_t fcvt_s_d(Hart& hart, uint64_t a, unsigned rm) {
  const auto x = detail::unbox<double>(a);
  if (detail::host_rounds(hart, rm)) [[likely]]
    return detail::result(host::narrow(x));
  return detail::narrow_slow(hart, x, rm);
}
inline uint64_t fcvt_d_s(Hart&, uint64_t a, unsigned) {
  return detail::result(host::widen(detail::unbox<float>(a)));
}

}  // namespace hv::fp
