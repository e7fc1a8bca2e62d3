// From instruction words to operations with unpacked operands.
#pragma once

#include <cstdint>

#include "cpu/cpu_config.h"
#include "cpu/decoded_op.h"
#include "cpu/op.h"

namespace hv {

struct Decoded {
  Op op;           // kIllegal for what the hart does not have, and for reserved encodings
  uint8_t length;  // bytes: 2 or 4
  // handler and pc_halfwords are left 0.
  DecodedOp fields;
};

// Length in bytes from the first 16 bits (unprivileged specification 1.5). The formats longer than
// 32 bits are not in use: they count as 4 and decode as illegal.
constexpr unsigned instruction_length(uint16_t first) {
  return (first & 3) == 3 ? 4 : 2;
}

// Decodes for a hart with these extensions. The upper half of `word` is ignored when the lower half
// is a compressed instruction. Thread-safe: no state.
Decoded decode(uint32_t word, const ExtensionSet& extensions);

}  // namespace hv
