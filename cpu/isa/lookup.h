// Finds the row of an instruction word.
#pragma once

#include <cstdint>

#include "cpu/isa/rows.h"

namespace hv::isa {

// nullptr: illegal. Only the lower half of `word` is looked at when it is compressed.
const Row* find_row(uint32_t word, const ExtensionSet& extensions);

}  // namespace hv::isa
