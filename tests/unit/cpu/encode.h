// Instruction words for the tiny programs of tests (unprivileged specification, chapter 2:
// formats).
#pragma once

#include <cstdint>

namespace hv::test::rv {

// clang-format off: one instruction a line
enum Reg : uint32_t {
  zero = 0, ra = 1, sp = 2, t0 = 5, t1 = 6, t2 = 7, s0 = 8, s1 = 9, a0 = 10, a1 = 11, a2 = 12,
  a3 = 13, a4 = 14, a5 = 15, a6 = 16, a7 = 17, t3 = 28, t4 = 29,
};

constexpr uint32_t r_type(uint32_t funct7, uint32_t rs2, uint32_t rs1, uint32_t funct3, uint32_t rd,
                          uint32_t opcode) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr uint32_t i_type(int32_t imm, uint32_t rs1, uint32_t funct3, uint32_t rd,
                          uint32_t opcode) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr uint32_t s_type(int32_t imm, uint32_t rs2, uint32_t rs1, uint32_t funct3,
                          uint32_t opcode) {
  const auto u = static_cast<uint32_t>(imm);
  return r_type(u >> 5 & 0x7f, rs2, rs1, funct3, u & 0x1f, opcode);
}

constexpr uint32_t addi(Reg rd, Reg rs1, int32_t imm) { return i_type(imm, rs1, 0, rd, 0x13); }
constexpr uint32_t li(Reg rd, int32_t imm) { return addi(rd, zero, imm); }
constexpr uint32_t lui(Reg rd, uint32_t upper) { return upper << 12 | rd << 7 | 0x37; }
constexpr uint32_t nop() { return addi(zero, zero, 0); }
constexpr uint32_t add(Reg rd, Reg rs1, Reg rs2) { return r_type(0, rs2, rs1, 0, rd, 0x33); }
constexpr uint32_t div(Reg rd, Reg rs1, Reg rs2) { return r_type(1, rs2, rs1, 4, rd, 0x33); }
constexpr uint32_t rem(Reg rd, Reg rs1, Reg rs2) { return r_type(1, rs2, rs1, 6, rd, 0x33); }
constexpr uint32_t divw(Reg rd, Reg rs1, Reg rs2) { return r_type(1, rs2, rs1, 4, rd, 0x3b); }
constexpr uint32_t remw(Reg rd, Reg rs1, Reg rs2) { return r_type(1, rs2, rs1, 6, rd, 0x3b); }
constexpr uint32_t ctzw(Reg rd, Reg rs1) { return i_type(0x601, rs1, 1, rd, 0x1b); }
constexpr uint32_t lw(Reg rd, Reg rs1, int32_t imm) { return i_type(imm, rs1, 2, rd, 0x03); }
constexpr uint32_t ld(Reg rd, Reg rs1, int32_t imm) { return i_type(imm, rs1, 3, rd, 0x03); }
constexpr uint32_t sw(Reg rs2, Reg rs1, int32_t imm) { return s_type(imm, rs2, rs1, 2, 0x23); }
constexpr uint32_t sd(Reg rs2, Reg rs1, int32_t imm) { return s_type(imm, rs2, rs1, 3, 0x23); }
constexpr uint32_t jalr(Reg rd, Reg rs1, int32_t imm) { return i_type(imm, rs1, 0, rd, 0x67); }
constexpr uint32_t ret() { return jalr(zero, ra, 0); }
constexpr uint32_t jal(Reg rd, int32_t offset) {
  const auto u = static_cast<uint32_t>(offset);
  return (u >> 20 & 1) << 31 | (u >> 1 & 0x3ff) << 21 | (u >> 11 & 1) << 20 |
         (u >> 12 & 0xff) << 12 | rd << 7 | 0x6f;
}
constexpr uint32_t branch(uint32_t funct3, Reg rs1, Reg rs2, int32_t offset) {
  const auto u = static_cast<uint32_t>(offset);
  return (u >> 12 & 1) << 31 | (u >> 5 & 0x3f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 |
         (u >> 1 & 0xf) << 8 | (u >> 11 & 1) << 7 | 0x63;
}
constexpr uint32_t beq(Reg rs1, Reg rs2, int32_t offset) { return branch(0, rs1, rs2, offset); }
constexpr uint32_t bne(Reg rs1, Reg rs2, int32_t offset) { return branch(1, rs1, rs2, offset); }
constexpr uint32_t csrw(uint32_t csr, Reg rs1) { return r_type(0, 0, rs1, 1, zero, 0x73) | csr << 20; }
constexpr uint32_t csrr(Reg rd, uint32_t csr) { return r_type(0, 0, zero, 2, rd, 0x73) | csr << 20; }
constexpr uint32_t fence_i() { return 0x0000100f; }
constexpr uint32_t wfi() { return 0x10500073; }
constexpr uint32_t ecall() { return 0x00000073; }
constexpr uint32_t mret() { return 0x30200073; }
constexpr uint32_t sfence_vma() { return 0x12000073; }
constexpr uint32_t lr_w(Reg rd, Reg rs1) { return r_type(0x08, zero, rs1, 2, rd, 0x2f); }
constexpr uint32_t sc_w(Reg rd, Reg rs2, Reg rs1) { return r_type(0x0c, rs2, rs1, 2, rd, 0x2f); }
constexpr uint32_t lr_d(Reg rd, Reg rs1) { return r_type(0x08, zero, rs1, 3, rd, 0x2f); }
constexpr uint32_t sc_d(Reg rd, Reg rs2, Reg rs1) { return r_type(0x0c, rs2, rs1, 3, rd, 0x2f); }
constexpr uint32_t amoadd_w(Reg rd, Reg rs2, Reg rs1) { return r_type(0, rs2, rs1, 2, rd, 0x2f); }
constexpr uint32_t amoor_w(Reg rd, Reg rs2, Reg rs1) { return r_type(0x20, rs2, rs1, 2, rd, 0x2f); }
constexpr uint32_t amomin_w(Reg rd, Reg rs2, Reg rs1) { return r_type(0x40, rs2, rs1, 2, rd, 0x2f); }
// width: 0 to 4 for b, h, w, d, q; registers by number for the pairs
constexpr uint32_t amocas(uint32_t width, uint32_t rd, uint32_t rs2, Reg rs1) {
  return r_type(0x14, rs2, rs1, width, rd, 0x2f);
}
// f registers by number
constexpr uint32_t fadd_d(uint32_t rd, uint32_t rs1, uint32_t rs2) {
  return r_type(1, rs2, rs1, 7, rd, 0x53);
}
constexpr uint32_t fld(uint32_t rd, Reg rs1, int32_t imm) { return i_type(imm, rs1, 3, rd, 0x07); }

// clang-format on

}  // namespace hv::test::rv
