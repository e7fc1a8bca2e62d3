#include "cpu/fpu.h"

namespace hv::fp {

namespace host {
const bool kHasFma = __builtin_cpu_supports("fma");
}  // namespace host

namespace {

// MXCSR rounding control by frm; nearest even where the host has no such mode.
uint32_t rounding_control(unsigned frm) {
  constexpr uint32_t kNearest = 0, kDownward = 1u << 13, kUpward = 2u << 13, kTruncate = 3u << 13;
  switch (frm) {
    case kTowardZero:
      return kTruncate;
    case kDown:
      return kDownward;
    case kUp:
      return kUpward;
    default:
      return kNearest;
  }
}

uint8_t to_fflags(uint32_t mxcsr) {
  return kFlagsOfHost[mxcsr & host::kSticky];
}

void set_rounding(unsigned mode) {
  host::write_control((host::read_control() & ~host::kRoundingControl) | rounding_control(mode));
}

// A static rounding mode for one operation; sticky flags go on gathering.
class RoundingScope {
 public:
  RoundingScope(const Hart& hart, unsigned mode) : frm_(hart.frm) { set_rounding(mode); }
  ~RoundingScope() { set_rounding(frm_); }

 private:
  unsigned frm_;
};

}  // namespace

void collect_flags(Hart& hart) {
  const uint32_t control = host::read_control();
  if ((control & host::kSticky) == 0) return;
  hart.fflags |= to_fflags(control);
  host::write_control(control & ~host::kSticky);
}

void frm_changed(Hart& hart) {
  set_rounding(hart.frm);
}

void enter(Hart& hart) {
  host::write_control(host::kDefault | rounding_control(hart.frm));
}

void leave(Hart& hart) {
  hart.fflags |= to_fflags(host::read_control());
  host::write_control(host::kDefault);
}

namespace detail {

template <class T>
uint64_t arith_slow(Hart& hart, Arith op, T a, T b, T c, unsigned rm) {
  const unsigned mode = resolve(hart, rm);
  const bool in_integers = mode == kNearestMaxMagnitude || (op == Arith::kFma && !host::kHasFma);
  if (in_integers) {
    const soft::Kind& kind = Traits<T>::kKind;
    const auto x = std::bit_cast<BitsOf<T>>(a), y = std::bit_cast<BitsOf<T>>(b);
    const auto bits = [&] {
      switch (op) {
        case Arith::kAdd:
          return keep(hart, soft::add(kind, x, y, mode));
        case Arith::kSub:
          return keep(hart, soft::sub(kind, x, y, mode));
        case Arith::kMul:
          return keep(hart, soft::mul(kind, x, y, mode));
        case Arith::kDiv:
          return keep(hart, soft::div(kind, x, y, mode));
        case Arith::kSqrt:
          return keep(hart, soft::sqrt(kind, x, mode));
        case Arith::kFma:
          break;
      }
      return keep(hart, soft::fma(kind, x, y, std::bit_cast<BitsOf<T>>(c), mode));
    }();
    return box_bits<T>(static_cast<BitsOf<T>>(bits));
  }

  const RoundingScope scope(hart, mode);
  switch (op) {
    case Arith::kAdd:
      return result(host::add(a, b));
    case Arith::kSub:
      return result(host::sub(a, b));
    case Arith::kMul:
      return result(host::mul(a, b));
    case Arith::kDiv:
      return result(host::div(a, b));
    case Arith::kSqrt:
      return result(host::sqrt(a));
    case Arith::kFma:
      break;
  }
  const T value = host::fma(a, b, c);
  if (is_nan<T>(std::bit_cast<BitsOf<T>>(value))) fma_nan(hart, a, b);
  return result(value);
}

template <class T>
void fma_nan(Hart& hart, T a, T b) {
  constexpr auto kMagnitude = static_cast<BitsOf<T>>(~Traits<T>::kSign);
  const BitsOf<T> x = std::bit_cast<BitsOf<T>>(a) & kMagnitude;
  const BitsOf<T> y = std::bit_cast<BitsOf<T>>(b) & kMagnitude;
  constexpr auto kInfinity = Traits<T>::kInfinity;
  if ((x == kInfinity && y == 0) || (x == 0 && y == kInfinity)) hart.fflags |= kInvalid;
}

uint64_t narrow_slow(Hart& hart, double a, unsigned rm) {
  const auto bits = std::bit_cast<uint64_t>(a);
  return keep_boxed<float>(hart,
                           soft::convert(soft::kDouble, soft::kSingle, bits, resolve(hart, rm)));
}

template <class T>
uint64_t to_integer_slow(Hart& hart, T a, unsigned rm, bool is_signed, unsigned width) {
  return keep(hart, soft::to_integer(Traits<T>::kKind, std::bit_cast<BitsOf<T>>(a),
                                     resolve(hart, rm), is_signed, width));
}

template <class T>
uint64_t from_integer_slow(Hart& hart, bool negative, uint64_t magnitude, unsigned rm) {
  return keep_boxed<T>(
      hart, soft::from_integer(Traits<T>::kKind, negative, magnitude, resolve(hart, rm)));
}

// Numbers as integers of the same order, -0 before +0: the magnitude bits of negative ones are
// turned round.
template <class T>
std::make_signed_t<BitsOf<T>> order_key(BitsOf<T> bits) {
  return static_cast<std::make_signed_t<BitsOf<T>>>(
      bits & Traits<T>::kSign ? bits ^ ~Traits<T>::kSign : bits);
}

// minimumNumber and maximumNumber of IEEE 754-2019 (20.6): a NaN gives way to a number, -0 is less
// than +0.
template <class T>
uint64_t min_max(Hart& hart, uint64_t a, uint64_t b, bool want_max) {
  const auto x = unbox_bits<T>(a), y = unbox_bits<T>(b);
  if (is_signalling<T>(x) || is_signalling<T>(y)) hart.fflags |= kInvalid;
  if (is_nan<T>(x)) return box_bits<T>(is_nan<T>(y) ? Traits<T>::kNan : y);
  if (is_nan<T>(y)) return box_bits<T>(x);
  return box_bits<T>((order_key<T>(x) < order_key<T>(y)) != want_max ? x : y);
}

template <class T>
std::partial_ordering compare(Hart& hart, uint64_t a, uint64_t b, bool quiet) {
  const auto x = unbox_bits<T>(a), y = unbox_bits<T>(b);
  if (is_nan<T>(x) || is_nan<T>(y)) {
    if (!quiet || is_signalling<T>(x) || is_signalling<T>(y)) hart.fflags |= kInvalid;
    return std::partial_ordering::unordered;
  }
  const bool zeros = ((x | y) & ~Traits<T>::kSign) == 0;
  return zeros ? std::partial_ordering::equivalent : order_key<T>(x) <=> order_key<T>(y);
}

// The bits of 20.9.
template <class T>
uint64_t classify(uint64_t a) {
  const auto bits = unbox_bits<T>(a);
  const BitsOf<T> magnitude = bits & ~Traits<T>::kSign;
  const bool negative = bits & Traits<T>::kSign;
  constexpr BitsOf<T> kSmallestNormal = Traits<T>::kInfinity & (~Traits<T>::kInfinity + 1);
  if (is_nan<T>(bits)) return is_signalling<T>(bits) ? 1 << 8 : 1 << 9;
  if (magnitude == Traits<T>::kInfinity) return negative ? 1 << 0 : 1 << 7;
  if (magnitude == 0) return negative ? 1 << 3 : 1 << 4;
  if (magnitude < kSmallestNormal) return negative ? 1 << 2 : 1 << 5;
  return negative ? 1 << 1 : 1 << 6;
}

#define HV_INSTANTIATE(T)                                                   \
  template uint64_t arith_slow<T>(Hart&, Arith, T, T, T, unsigned);         \
  template uint64_t to_integer_slow<T>(Hart&, T, unsigned, bool, unsigned); \
  template uint64_t from_integer_slow<T>(Hart&, bool, uint64_t, unsigned);  \
  template void fma_nan<T>(Hart&, T, T);
HV_INSTANTIATE(float)
HV_INSTANTIATE(double)
#undef HV_INSTANTIATE

#define HV_INSTANTIATE(T)                                        \
  template uint64_t min_max<T>(Hart&, uint64_t, uint64_t, bool); \
  template uint64_t classify<T>(uint64_t);                       \
  template std::partial_ordering compare<T>(Hart&, uint64_t, uint64_t, bool);
HV_INSTANTIATE(Half)
HV_INSTANTIATE(float)
HV_INSTANTIATE(double)
#undef HV_INSTANTIATE

}  // namespace detail
}  // namespace hv::fp
