// The unit that engines execute: one instruction with its operands unpacked.
#pragma once

#include <cstdint>

namespace hv {

// Index of the sink that stands for rd = x0 in Hart::x: written, never read.
inline constexpr uint8_t kRegSink = 32;

// 16 bytes, filled by decode once per block.
//
// Operand conventions, by format:
//   rd        destination; x0 as an integer destination becomes kRegSink (not for f registers)
//   rs1, rs2  sources
//   imm       sign-extended immediate; shift amount; CSR number; lui and auipc: the value to add or
//             load (low 12 bits 0); for R4 (fused multiply-add) and all F/D operations but loads
//             and stores: (rs3 << 8 | rm), rm 7 = dynamic, 5 and 6 never (decoded as illegal); for
//             A operations: aq << 1 | rl
//   branches  rd holds the instruction's length (2 or 4); imm the offset
//   jal       rs2 holds the length, imm the offset; jalr: rs2 the length, imm the displacement
//   csr*i     rs1 holds the zimm
//   fence*, cbo.*, ecall, ebreak, mret, sret, wfi, sfence.*, sinval.vma, kIllegal
//             imm holds the instruction's bits (zero-extended if 16)
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
