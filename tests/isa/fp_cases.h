/* Floating-point test cases: the same sequence for the oracle (C, runs as a RISC-V program) and for
 * our code (C++). No library is used here. */
#ifndef HV_TESTS_ISA_FP_CASES_H
#define HV_TESTS_ISA_FP_CASES_H

#include <stdint.h>

/* Per operation and rounding variant. */
#ifndef FP_CASES
#define FP_CASES 5000
#endif

#ifndef FP_SEED
#define FP_SEED 1
#endif

/* Rounding variants of operations with a rounding mode: 0..4 static, with another mode in frm;
 * 5..9 dynamic, frm = variant - 5. */
enum { FP_VARIANTS = 10 };
static inline unsigned fp_variant_frm(unsigned variant) {
  return variant < 5 ? (variant + 1) % 5 : variant - 5;
}

enum FpSource { FP_HALF, FP_SINGLE, FP_DOUBLE, FP_INTEGER };

struct FpRandom {
  uint64_t state;
};
static inline uint64_t fp_random(struct FpRandom* random) {
  /* splitmix64 */
  uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

static const uint64_t fp_special_double[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
    0x3fe0000000000000, 0xbfe0000000000000, 0x3ff8000000000000, 0x4004000000000000,
    0xc004000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
    0xfff8000000000001, 0x7ff0000000000001, 0xfff4000000000000, 0x0000000000000001,
    0x8000000000000001, 0x000fffffffffffff, 0x0010000000000000, 0x8010000000000000,
    0x7fefffffffffffff, 0xffefffffffffffff, 0x41dfffffffc00000, 0x41dfffffffe00000,
    0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000, 0x41efffffffe00000,
    0x41effffffff00000, 0x41f0000000000000, 0x43dfffffffffffff, 0x43e0000000000000,
    0xc3e0000000000000, 0xc3e0000000000001, 0x43efffffffffffff, 0x43f0000000000000,
    0x47efffffe0000000, 0x47efffffefffffff, 0x47effffff0000000, 0x380fffffe0000000,
    0x380fffffffffffff, 0x36a0000000000000, 0x3690000000000000, 0x3690000000000001,
    0x40effc0000000000, 0x40effdffffffffff, 0x40effe0000000000, 0x3f0ff80000000000,
    0x3f0ffbffffffffff, 0x3f0ffc0000000000, 0x3f0fffffffffffff, 0x3e70000000000000,
    0x3e60000000000000, 0x3e60000000000001,
};
static const uint32_t fp_special_single[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000,
    0xc0200000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffa00000, 0x00000001,
    0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x4effffff, 0x4f000000,
    0xcf000000, 0xcf000001, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0xdf000001,
    0x5f7fffff, 0x5f800000, 0x477fe000, 0x477fefff, 0x477ff000, 0x387fc000, 0x387fdfff, 0x387fe000,
    0x387fffff, 0x33800000, 0x33000000, 0x33000001,
};
static const uint16_t fp_special_half[] = {
    0x0000, 0x8000, 0x3c00, 0xbc00, 0x3800, 0xb800, 0x3e00, 0x4100, 0xc100, 0x7c00, 0xfc00,
    0x7e00, 0xfe01, 0x7c01, 0xfd00, 0x0001, 0x8001, 0x0002, 0x03ff, 0x83ff, 0x0400, 0x8400,
    0x0401, 0x7bff, 0xfbff, 0x7800, 0x3bff, 0x3c01, 0x2400, 0xe400, 0x5bff, 0x6400, 0x63ff,
};
static const uint64_t fp_special_integer[] = {
    0,
    1,
    2,
    ~0ull,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    0x100000000,
    0xffffffff80000000,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x8000000000000001,
    0x1000001,
    0x1000003,
    0x20000000000001,
    0x20000000000003,
    0x7ffffffffffffdff,
    0xfffffffffffffbff,
    0xffffff8000000000,
    0x7fffffbfffffffff,
    0x801,
    0x803,
    65504,
    65519,
    65520,
    65536,
    ~0ull - 65518,
    ~0ull - 65519,
};
#define FP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A value with few or many significant bits, near or far from 1, normal or not. */
static inline uint64_t fp_random_bits(struct FpRandom* random, unsigned fraction,
                                      unsigned exponent) {
  const uint64_t v = fp_random(random), w = fp_random(random);
  const uint64_t sign = v >> 63 << (fraction + exponent);
  const uint64_t bias = (1ull << (exponent - 1)) - 1;
  const uint64_t to_integers = bias + 3 < 70 ? bias + 3 : 70, from_top = bias < 40 ? bias : 40;
  uint64_t f = v & ((1ull << fraction) - 1);
  if (w >> 60 & 1) f &= ~0ull << (w >> 50 & 0xff) % fraction;      /* trailing zeros */
  if (w >> 61 & 1) f |= (1ull << (w >> 42 & 0xff) % fraction) - 1; /* or ones */
  switch (w & 7) {
    case 0:
      return sign | f; /* subnormal */
    case 1:
      return sign | (bias + (w >> 8) % 5 - 2) << fraction | f;
    case 2:
      return sign | (bias + (w >> 8) % to_integers - 2) << fraction | f; /* integers */
    case 3:
      return sign | (1 + (w >> 8) % (2 * fraction)) << fraction | f; /* tiny */
    case 4:
      return sign | (2 * bias - (w >> 8) % from_top) << fraction | f; /* huge */
    case 5: /* products and roots near the limits */
      return sign | (bias / 2 + (w >> 8) % 8) << fraction | f;
    default:
      return sign | (w >> 8 & ((1ull << exponent) - 1)) << fraction | f;
  }
}

/* Operand `position` of case `index`; the first cases go through all pairs of special values. */
static inline uint64_t fp_operand(struct FpRandom* random, enum FpSource source, unsigned index,
                                  unsigned position) {
  const uint64_t choice = fp_random(random);
  if (source == FP_INTEGER) {
    const unsigned count = FP_COUNT(fp_special_integer);
    if (index < count) return fp_special_integer[index];
    return (uint64_t)((int64_t)choice >> (fp_random(random) & 63));
  }
  const unsigned count = source == FP_HALF     ? FP_COUNT(fp_special_half)
                         : source == FP_SINGLE ? FP_COUNT(fp_special_single)
                                               : FP_COUNT(fp_special_double);
  unsigned special = count;
  if (index < count * count) {
    special = position == 0 ? index % count : position == 1 ? index / count : choice % count;
  } else if ((choice & 15) == 0) {
    special = (choice >> 8) % count;
  }
  if (source == FP_DOUBLE)
    return special < count ? fp_special_double[special] : fp_random_bits(random, 52, 11);
  if (source == FP_HALF) {
    const uint64_t half =
        special < count ? fp_special_half[special] : fp_random_bits(random, 10, 5);
    if ((choice >> 32 & 63) == 0) return half | choice << 17;
    return half | ~0ull << 16;
  }
  const uint64_t single =
      special < count ? fp_special_single[special] : fp_random_bits(random, 23, 8);
  /* Now and then no NaN box. */
  if ((choice >> 32 & 63) == 0) return single | choice << 33;
  return single | 0xffffffffull << 32;
}

struct FpCase {
  uint64_t operands[3];
};
static inline struct FpCase fp_case(struct FpRandom* random, enum FpSource source, unsigned index) {
  struct FpCase result;
  for (unsigned i = 0; i < 3; ++i) result.operands[i] = fp_operand(random, source, index, i);
  return result;
}

/* One result in the oracle's output. */
struct FpResult {
  uint64_t value;
  uint64_t flags;
};

#endif
