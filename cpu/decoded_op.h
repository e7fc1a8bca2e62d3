// The unit that engines execute: one instruction with its operands unpacked.
#pragma once

#include <cstdint>

namespace hv {

// Index of the sink that stands for rd = x0 in Hart::x: written, never read.
inline constexpr uint8_t kRegSink = 32;

// 16 bytes, filled by decode once per code page.
//
// Operand conventions, by format:
//   rd        destination; x0 as an integer destination becomes kRegSink
//   rs1, rs2  sources
//   imm       sign-extended immediate; shift amount; CSR number; for R4 (fused multiply-add)
//             and all F/D operations: (rs3 << 8 | rm); for A operations: aq << 1 | rl
//   branches  rd holds the instruction's length (2 or 4); imm the offset
//   jal       rs2 holds the length; jalr too
//   csr*i     rs1 holds the zimm
//   length    of every other instruction: the next op's pc_halfwords (the block's end for the last)
struct DecodedOp {
  // The engine's own: label address or function. Set when the block is built.
  const void* handler;
  int32_t imm;
  uint8_t rd;
  uint8_t rs1;
  uint8_t rs2;
  // Offset of this instruction from the start of its block in units of 2 bytes.
  uint8_t pc_halfwords;
};
static_assert(sizeof(DecodedOp) == 16);

}  // namespace hv
