#include "cpu/fpu_soft.h"

#include <bit>
#include <utility>

namespace hv::fp::soft {
namespace {

using Wide = unsigned __int128;

constexpr unsigned kWideBits = 128;

enum class Class { kZero, kFinite, kInfinite, kQuietNan, kSignallingNan };

// A finite number is significand * 2^exponent with bit precision - 1 of the significand set.
struct Parts {
  Class kind;
  bool sign;
  int exponent;
  uint64_t significand;

  bool is_nan() const { return kind == Class::kQuietNan || kind == Class::kSignallingNan; }
};

constexpr unsigned fraction_bits(const Kind& k) {
  return k.precision - 1;
}
constexpr uint64_t exponent_mask(const Kind& k) {
  return (1ull << k.exponent_bits) - 1;
}
constexpr int bias(const Kind& k) {
  return (1 << (k.exponent_bits - 1)) - 1;
}
constexpr uint64_t sign_bit(const Kind& k) {
  return 1ull << (fraction_bits(k) + k.exponent_bits);
}

constexpr uint64_t infinity(const Kind& k, bool sign) {
  return (sign ? sign_bit(k) : 0) | exponent_mask(k) << fraction_bits(k);
}
constexpr uint64_t zero(const Kind& k, bool sign) {
  return sign ? sign_bit(k) : 0;
}
constexpr uint64_t canonical_nan(const Kind& k) {
  return infinity(k, false) | 1ull << (fraction_bits(k) - 1);
}
constexpr uint64_t largest(const Kind& k, bool sign) {
  return infinity(k, sign) - 1;
}

unsigned leading_zeros(Wide value) {
  const auto high = static_cast<uint64_t>(value >> 64);
  return high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<uint64_t>(value));
}

// Shifts right; bits that fall out are or-ed into the last one.
Wide shift_jam(Wide value, unsigned by) {
  if (by == 0) return value;
  if (by >= kWideBits) return value != 0;
  return value >> by | ((value << (kWideBits - by)) != 0);
}

Parts unpack(const Kind& k, uint64_t a) {
  const bool sign = (a & sign_bit(k)) != 0;
  const uint64_t exponent = a >> fraction_bits(k) & exponent_mask(k);
  const uint64_t fraction = a & ((1ull << fraction_bits(k)) - 1);
  if (exponent == exponent_mask(k)) {
    if (fraction == 0) return {Class::kInfinite, sign, 0, 0};
    const bool quiet = fraction >> (fraction_bits(k) - 1);
    return {quiet ? Class::kQuietNan : Class::kSignallingNan, sign, 0, 0};
  }
  const int unit = -bias(k) - static_cast<int>(fraction_bits(k));
  if (exponent != 0) {
    return {Class::kFinite, sign, static_cast<int>(exponent) + unit,
            fraction | 1ull << fraction_bits(k)};
  }
  if (fraction == 0) return {Class::kZero, sign, 0, 0};
  const unsigned shift = std::countl_zero(fraction) - (64 - k.precision);
  return {Class::kFinite, sign, 1 + unit - static_cast<int>(shift), fraction << shift};
}

// Whether to add one unit: `rest` is what lies below the unit, `half` the unit's half.
bool rounds_away(unsigned rm, bool sign, bool odd, Wide rest, Wide half) {
  switch (rm) {
    case kNearestEven:
      return rest > half || (rest == half && odd);
    case kNearestMaxMagnitude:
      return rest >= half;
    case kDown:
      return sign && rest != 0;
    case kUp:
      return !sign && rest != 0;
    default:
      return false;
  }
}

Outcome overflow(const Kind& k, bool sign, unsigned rm) {
  const bool to_infinity =
      rm == kNearestEven || rm == kNearestMaxMagnitude || rm == (sign ? kDown : kUp);
  return {to_infinity ? infinity(k, sign) : largest(k, sign), kOverflow | kInexact};
}

// Rounds significand * 2^exponent; the significand is not 0, its last bit may stand for more below
// it (if it has at least two bits more than the precision).
Outcome round_pack(const Kind& k, bool sign, int exponent, Wide significand, unsigned rm) {
  const unsigned lead = leading_zeros(significand);
  significand <<= lead;
  // Of the leading bit.
  int e = exponent - static_cast<int>(lead) + static_cast<int>(kWideBits) - 1;
  const int smallest = 1 - bias(k);
  const unsigned drop = kWideBits - k.precision;
  const auto split = [&](Wide value) {
    const auto kept = static_cast<uint64_t>(value >> drop);
    const Wide rest = value & ((Wide{1} << drop) - 1);
    const bool up = rounds_away(rm, sign, kept & 1, rest, Wide{1} << (drop - 1));
    return std::pair{kept + up, rest != 0};
  };

  const bool subnormal = e < smallest;
  bool tiny = subnormal;
  if (subnormal) {
    // Tiny after rounding: with an unbounded exponent it would not reach the smallest normal.
    if (e == smallest - 1) tiny = split(significand).first >> k.precision == 0;
    significand = shift_jam(significand, smallest - e);
    e = smallest;
  }
  const auto [kept, inexact] = split(significand);
  // Adding the significand with its leading bit to the exponent field less one carries as needed;
  // a subnormal has no leading bit and so gets field 0.
  const uint64_t field = static_cast<uint64_t>(e + bias(k) - 1);
  const uint64_t magnitude = (field << fraction_bits(k)) + kept;
  if (magnitude >= infinity(k, false)) return overflow(k, sign, rm);
  uint8_t flags = 0;
  if (inexact) flags = kInexact | (tiny ? kUnderflow : 0);
  return {magnitude | zero(k, sign), flags};
}

Outcome nan_result(const Kind& k, bool invalid) {
  return {canonical_nan(k), static_cast<uint8_t>(invalid ? kInvalid : 0)};
}

// a + b where each is 0 or finite, given with wide significands.
struct Term {
  bool sign;
  int exponent;
  Wide significand;
};

Outcome sum(const Kind& k, Term a, Term b, unsigned rm) {
  if (a.significand == 0 && b.significand == 0)
    return {zero(k, a.sign == b.sign ? a.sign : rm == kDown), 0};
  if (a.significand == 0) return round_pack(k, b.sign, b.exponent, b.significand, rm);
  if (b.significand == 0) return round_pack(k, a.sign, a.exponent, a.significand, rm);

  // Two bits of headroom for the sum; at least 20 zero bits at the end, so that jamming can only
  // happen when no cancellation reaches the jammed bit.
  for (Term* term : {&a, &b}) {
    const int shift = static_cast<int>(leading_zeros(term->significand)) - 2;
    term->significand <<= shift;
    term->exponent -= shift;
  }
  if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand))
    std::swap(a, b);
  const Wide low = shift_jam(b.significand, a.exponent - b.exponent);
  const Wide total = a.sign == b.sign ? a.significand + low : a.significand - low;
  if (total == 0) return {zero(k, rm == kDown), 0};
  return round_pack(k, a.sign, a.exponent, total, rm);
}

// The magnitude as an integer, and whether that lost anything. The value is finite, below 2^66.
std::pair<Wide, bool> to_magnitude(const Parts& x, unsigned rm) {
  if (x.exponent >= 0) return {Wide{x.significand} << x.exponent, false};
  // Two bits below the unit, the last one jammed.
  const Wide scaled = shift_jam(Wide{x.significand} << 2, -x.exponent);
  const Wide rest = scaled & 3;
  const Wide magnitude = scaled >> 2;
  return {magnitude + rounds_away(rm, x.sign, magnitude & 1, rest, 2), rest != 0};
}

Wide square_root(Wide value) {
  Wide root = 0;
  for (int bit = 63; bit >= 0; --bit) {
    const Wide trial = root | Wide{1} << bit;
    if (trial * trial <= value) root = trial;
  }
  return root;
}

}  // namespace

Outcome fma(const Kind& k, uint64_t a, uint64_t b, uint64_t c, unsigned rm) {
  const Parts x = unpack(k, a), y = unpack(k, b), z = unpack(k, c);
  const bool signalling = x.kind == Class::kSignallingNan || y.kind == Class::kSignallingNan ||
                          z.kind == Class::kSignallingNan;
  const bool inf_times_zero = (x.kind == Class::kInfinite && y.kind == Class::kZero) ||
                              (x.kind == Class::kZero && y.kind == Class::kInfinite);
  if (x.is_nan() || y.is_nan() || z.is_nan()) return nan_result(k, signalling || inf_times_zero);
  if (inf_times_zero) return nan_result(k, true);
  const bool sign = x.sign != y.sign;
  if (x.kind == Class::kInfinite || y.kind == Class::kInfinite) {
    if (z.kind == Class::kInfinite && z.sign != sign) return nan_result(k, true);
    return {infinity(k, sign), 0};
  }
  if (z.kind == Class::kInfinite) return {c, 0};
  const Term product{sign, x.exponent + y.exponent, Wide{x.significand} * y.significand};
  return sum(k, product, {z.sign, z.exponent, z.significand}, rm);
}

Outcome add(const Kind& k, uint64_t a, uint64_t b, unsigned rm) {
  const uint64_t one = static_cast<uint64_t>(bias(k)) << fraction_bits(k);
  return fma(k, a, one, b, rm);
}

Outcome sub(const Kind& k, uint64_t a, uint64_t b, unsigned rm) {
  return add(k, a, b ^ sign_bit(k), rm);
}

Outcome mul(const Kind& k, uint64_t a, uint64_t b, unsigned rm) {
  // A zero of the product's own sign changes nothing.
  return fma(k, a, b, (a ^ b) & sign_bit(k), rm);
}

Outcome div(const Kind& k, uint64_t a, uint64_t b, unsigned rm) {
  const Parts x = unpack(k, a), y = unpack(k, b);
  if (x.is_nan() || y.is_nan())
    return nan_result(k, x.kind == Class::kSignallingNan || y.kind == Class::kSignallingNan);
  const bool sign = x.sign != y.sign;
  if (x.kind == Class::kInfinite) {
    if (y.kind == Class::kInfinite) return nan_result(k, true);
    return {infinity(k, sign), 0};
  }
  if (y.kind == Class::kInfinite) return {zero(k, sign), 0};
  if (y.kind == Class::kZero) {
    if (x.kind == Class::kZero) return nan_result(k, true);
    return {infinity(k, sign), kDivideByZero};
  }
  if (x.kind == Class::kZero) return {zero(k, sign), 0};
  // 64 or 65 bits of quotient.
  const Wide dividend = Wide{x.significand} << 64;
  const Wide quotient = dividend / y.significand;
  const bool rest = quotient * y.significand != dividend;
  return round_pack(k, sign, x.exponent - y.exponent - 65, quotient << 1 | rest, rm);
}

Outcome sqrt(const Kind& k, uint64_t a, unsigned rm) {
  const Parts x = unpack(k, a);
  if (x.is_nan()) return nan_result(k, x.kind == Class::kSignallingNan);
  if (x.kind == Class::kZero) return {a, 0};
  if (x.sign) return nan_result(k, true);
  if (x.kind == Class::kInfinite) return {a, 0};
  // An even exponent, and a root of 63 or 64 bits.
  unsigned shift = kWideBits - 1 - k.precision;
  if ((x.exponent - static_cast<int>(shift)) % 2 != 0) ++shift;
  const Wide radicand = Wide{x.significand} << shift;
  const Wide root = square_root(radicand);
  const bool rest = root * root != radicand;
  const int exponent = (x.exponent - static_cast<int>(shift)) / 2;
  return round_pack(k, false, exponent - 1, root << 1 | rest, rm);
}

Outcome convert(const Kind& from, const Kind& to, uint64_t a, unsigned rm) {
  const Parts x = unpack(from, a);
  if (x.is_nan()) return nan_result(to, x.kind == Class::kSignallingNan);
  if (x.kind == Class::kInfinite) return {infinity(to, x.sign), 0};
  if (x.kind == Class::kZero) return {zero(to, x.sign), 0};
  return round_pack(to, x.sign, x.exponent, x.significand, rm);
}

Outcome from_integer(const Kind& k, bool negative, uint64_t magnitude, unsigned rm) {
  if (magnitude == 0) return {0, 0};
  return round_pack(k, negative, 0, magnitude, rm);
}

Outcome to_integer(const Kind& k, uint64_t a, unsigned rm, bool is_signed, unsigned width) {
  const Parts x = unpack(k, a);
  const uint64_t positive_limit = ~0ull >> (64 - width + is_signed);
  const uint64_t negative_limit = is_signed ? positive_limit + 1 : 0;
  const auto extend = [width](uint64_t value) {
    return width == 32 ? static_cast<uint64_t>(static_cast<int32_t>(value)) : value;
  };
  const bool negative = x.sign && !x.is_nan();
  const Outcome saturated{extend(negative ? 0 - negative_limit : positive_limit), kInvalid};
  if (x.kind == Class::kZero) return {0, 0};
  // Anything from 2^65 on is out of range.
  if (x.kind != Class::kFinite || x.exponent + static_cast<int>(k.precision) > 65) return saturated;

  const auto [magnitude, inexact] = to_magnitude(x, rm);
  if (magnitude > (x.sign ? negative_limit : positive_limit)) return saturated;
  const auto value = static_cast<uint64_t>(magnitude);
  return {extend(x.sign ? 0 - value : value), static_cast<uint8_t>(inexact ? kInexact : 0)};
}

Outcome round_to_integral(const Kind& k, uint64_t a, unsigned rm) {
  const Parts x = unpack(k, a);
  if (x.is_nan()) return nan_result(k, x.kind == Class::kSignallingNan);
  if (x.kind != Class::kFinite || x.exponent >= 0) return {a, 0};
  const auto [magnitude, inexact] = to_magnitude(x, rm);
  const uint64_t bits =
      magnitude == 0 ? zero(k, x.sign) : round_pack(k, x.sign, 0, magnitude, rm).bits;
  return {bits, static_cast<uint8_t>(inexact ? kInexact : 0)};
}

Outcome to_integer_modulo(const Kind& k, uint64_t a) {
  const Parts x = unpack(k, a);
  uint64_t magnitude = 0;
  if (x.kind == Class::kFinite && x.exponent > -static_cast<int>(k.precision) && x.exponent < 32)
    magnitude = x.exponent >= 0 ? x.significand << x.exponent : x.significand >> -x.exponent;
  const auto value = static_cast<int32_t>(x.sign ? 0 - magnitude : magnitude);
  return {static_cast<uint64_t>(int64_t{value}), to_integer(k, a, kTowardZero, true, 32).flags};
}

}  // namespace hv::fp::soft
