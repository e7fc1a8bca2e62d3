// Register values that instructions behave differently for.
#pragma once

#include <cstdint>

#include "tests/isa/stream/random.h"

namespace hv::test {

uint64_t random_integer(Random& random);
// A double, a NaN-boxed single or half, or what is none of them.
uint64_t random_float(Random& random);

}  // namespace hv::test
