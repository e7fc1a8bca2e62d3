// Floating point in integers: exact for every rounding mode, flags included. For what host
// instructions do not do: half precision, round to nearest ties to max magnitude, saturating
// conversions, fused multiply-add on hosts without FMA3.
//
// IEEE 754-2019 with the choices of the RISC-V specification (chapter 20): canonical NaNs,
// underflow detected after rounding. Pure functions.
#pragma once

#include <cstdint>

namespace hv::fp {

// Rounding modes as in frm and in instructions.
enum Rounding : unsigned {
  kNearestEven = 0,
  kTowardZero = 1,
  kDown = 2,
  kUp = 3,
  kNearestMaxMagnitude = 4,
  kDynamic = 7,
};

// Bits of fflags.
enum Flag : uint8_t {
  kInexact = 1,
  kUnderflow = 2,
  kOverflow = 4,
  kDivideByZero = 8,
  kInvalid = 16,
};

namespace soft {

// A binary interchange format.
struct Kind {
  unsigned precision;      // significant bits, the implicit one included
  unsigned exponent_bits;  // width of the exponent field
};
inline constexpr Kind kHalf{11, 5};
inline constexpr Kind kSingle{24, 8};
inline constexpr Kind kDouble{53, 11};

// `bits` is the encoding without NaN box, or the integer.
struct Outcome {
  uint64_t bits;
  uint8_t flags;
};

Outcome add(const Kind& kind, uint64_t a, uint64_t b, unsigned rm);
Outcome sub(const Kind& kind, uint64_t a, uint64_t b, unsigned rm);
Outcome mul(const Kind& kind, uint64_t a, uint64_t b, unsigned rm);
Outcome div(const Kind& kind, uint64_t a, uint64_t b, unsigned rm);
Outcome sqrt(const Kind& kind, uint64_t a, unsigned rm);
// a * b + c, rounded once; inf * 0 + NaN is invalid.
Outcome fma(const Kind& kind, uint64_t a, uint64_t b, uint64_t c, unsigned rm);
Outcome convert(const Kind& from, const Kind& to, uint64_t a, unsigned rm);
// The integer's magnitude and sign.
Outcome from_integer(const Kind& kind, bool negative, uint64_t magnitude, unsigned rm);
// Saturates with kInvalid; 32-bit results are sign-extended to 64 bits, unsigned ones too.
Outcome to_integer(const Kind& kind, uint64_t a, unsigned rm, bool is_signed, unsigned width);

// To an integral value of the same format.
Outcome round_to_integral(const Kind& kind, uint64_t a, unsigned rm);
// Towards zero, then modulo 2^32, sign-extended; 0 for infinities and NaNs. Flags are those of the
// saturating conversion.
Outcome to_integer_modulo(const Kind& kind, uint64_t a);

}  // namespace soft
}  // namespace hv::fp
