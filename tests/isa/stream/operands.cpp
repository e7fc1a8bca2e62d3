#include "tests/isa/stream/operands.h"

namespace hv::test {
namespace {

// A value of a binary format with `fraction` fraction and `exponent` exponent bits.
uint64_t random_binary(Random& random, unsigned exponent, unsigned fraction) {
  const uint64_t max_exponent = (1ull << exponent) - 1, bias = max_exponent >> 1;
  const uint64_t fraction_mask = (1ull << fraction) - 1;
  uint64_t e, f;
  switch (random.below(8)) {
    case 0:  // infinity and NaN, quiet or signalling
      e = max_exponent;
      break;
    case 1:  // zero and subnormal
      e = 0;
      break;
    case 2:  // the ends of the normal range
      e = random.percent(50) ? 1 : max_exponent - 1;
      break;
    case 3:  // around the integers' limits, as far as the format reaches
      e = bias +
          random.pick((const uint64_t[]){0, 1, 7, 8, 15, 16, 30, 31, 32, 52, 53, 62, 63, 64});
      break;
    case 4:
      e = random.below(max_exponent + 1);
      break;
    default:  // near 1, where sums round and cancel
      e = bias - 8 + random.below(16);
      break;
  }
  if (e > max_exponent) e = max_exponent - 1;
  switch (random.below(6)) {
    case 0:
      f = 0;
      break;
    case 1:
      f = fraction_mask;
      break;
    case 2:
      f = 1ull << random.below(fraction);
      break;
    case 3:  // few bits: ties and exact results
      f = random.next() << (fraction - 3);
      break;
    default:
      f = random.next();
      break;
  }
  return (random.next() & 1) << (exponent + fraction) | e << fraction | (f & fraction_mask);
}

}  // namespace

uint64_t random_integer(Random& random) {
  constexpr uint64_t kSpecial[] = {
      0,      1,          2,          0x7f,       0x80,       0xff,       0x7fff,        0x8000,
      0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 63, ~(1ull << 63),
  };
  switch (random.below(6)) {
    case 0: {
      const uint64_t value = random.pick(kSpecial);
      return random.percent(50) ? value : 0 - value;
    }
    case 1:
      return (1ull << random.below(64)) - random.below(2);
    case 2:
      return random.below(128) - 64;
    case 3:  // a 32-bit value, sign extended as the W instructions leave it
      return static_cast<uint64_t>(int64_t{static_cast<int32_t>(random.next())});
    default:
      return random.next();
  }
}

uint64_t random_float(Random& random) {
  switch (random.below(20)) {
    case 0:
      return random.next();
    case 1:
    case 2:
      return 0xffffffffffff0000 | random_binary(random, 5, 10);
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
      return 0xffffffff00000000 | random_binary(random, 8, 23);
    default:
      return random_binary(random, 11, 52);
  }
}

}  // namespace hv::test
