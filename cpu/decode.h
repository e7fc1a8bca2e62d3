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

// The instruction word of a decoded csr* operation, for exec_csr and mtval.
constexpr uint32_t csr_instruction(Op op, const DecodedOp& fields) {
  uint32_t funct3 = 0;
  switch (op) {
    case Op::csrrw:
      funct3 = 1;
      break;
    case Op::csrrs:
      funct3 = 2;
      break;
    case Op::csrrc:
      funct3 = 3;
      break;
    case Op::csrrwi:
      funct3 = 5;
      break;
    case Op::csrrsi:
      funct3 = 6;
      break;
    case Op::csrrci:
      funct3 = 7;
      break;
    default:
      break;
  }
  const uint32_t rd = fields.rd == kRegSink ? 0 : fields.rd;
  return static_cast<uint32_t>(fields.imm) << 20 | static_cast<uint32_t>(fields.rs1) << 15 |
         funct3 << 12 | rd << 7 | 0x73;
}

}  // namespace hv
