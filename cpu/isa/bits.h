// Immediates and fields of instruction words, as decoder and disassembler cut them.
#pragma once

#include <cstdint>

namespace hv::isa {

// `count` bits from bit `low`, placed at bit `to`.
constexpr uint32_t bits(uint32_t word, unsigned low, unsigned count, unsigned to = 0) {
  return (word >> low & ((1u << count) - 1)) << to;
}

constexpr int32_t sign_extend(uint32_t value, unsigned width) {
  return static_cast<int32_t>(value << (32 - width)) >> (32 - width);
}

// 32-bit formats (unprivileged specification 2.3).
constexpr int32_t imm_i(uint32_t w) {
  return sign_extend(w >> 20, 12);
}
constexpr int32_t imm_s(uint32_t w) {
  return sign_extend(bits(w, 25, 7, 5) | bits(w, 7, 5), 12);
}
constexpr int32_t imm_b(uint32_t w) {
  return sign_extend(bits(w, 31, 1, 12) | bits(w, 7, 1, 11) | bits(w, 25, 6, 5) | bits(w, 8, 4, 1),
                     13);
}
constexpr int32_t imm_u(uint32_t w) {
  return static_cast<int32_t>(w & 0xfffff000);
}
constexpr int32_t imm_j(uint32_t w) {
  return sign_extend(
      bits(w, 31, 1, 20) | bits(w, 12, 8, 12) | bits(w, 20, 1, 11) | bits(w, 21, 10, 1), 21);
}

// Numbers of may-be-operations (Zimop, Zcmop).
constexpr unsigned mop_r(uint32_t w) {
  return bits(w, 30, 1, 4) | bits(w, 26, 2, 2) | bits(w, 20, 2);
}
constexpr unsigned mop_rr(uint32_t w) {
  return bits(w, 30, 1, 2) | bits(w, 26, 2);
}
constexpr unsigned c_mop(uint32_t w) {
  return bits(w, 8, 3, 1) | 1;
}

// 16-bit formats (chapter 26). "p" fields name x8..x15.
constexpr uint8_t c_high_p(uint32_t w) {
  return 8 + bits(w, 7, 3);
}
constexpr uint8_t c_low_p(uint32_t w) {
  return 8 + bits(w, 2, 3);
}
constexpr uint8_t c_high(uint32_t w) {
  return bits(w, 7, 5);
}
constexpr uint8_t c_low(uint32_t w) {
  return bits(w, 2, 5);
}
constexpr uint32_t c_uimm6(uint32_t w) {
  return bits(w, 12, 1, 5) | bits(w, 2, 5);
}
constexpr int32_t c_imm6(uint32_t w) {
  return sign_extend(c_uimm6(w), 6);
}
constexpr int32_t c_addi4spn(uint32_t w) {
  return bits(w, 11, 2, 4) | bits(w, 7, 4, 6) | bits(w, 6, 1, 2) | bits(w, 5, 1, 3);
}
constexpr int32_t c_word(uint32_t w) {
  return bits(w, 10, 3, 3) | bits(w, 6, 1, 2) | bits(w, 5, 1, 6);
}
constexpr int32_t c_double(uint32_t w) {
  return bits(w, 10, 3, 3) | bits(w, 5, 2, 6);
}
constexpr int32_t c_byte(uint32_t w) {
  return bits(w, 6, 1) | bits(w, 5, 1, 1);
}
constexpr int32_t c_half(uint32_t w) {
  return bits(w, 5, 1, 1);
}
constexpr int32_t c_addi16sp(uint32_t w) {
  return sign_extend(
      bits(w, 12, 1, 9) | bits(w, 6, 1, 4) | bits(w, 5, 1, 6) | bits(w, 3, 2, 7) | bits(w, 2, 1, 5),
      10);
}
constexpr int32_t c_lui(uint32_t w) {
  return c_imm6(w) * 4096;
}
constexpr int32_t c_jump(uint32_t w) {
  return sign_extend(bits(w, 12, 1, 11) | bits(w, 11, 1, 4) | bits(w, 9, 2, 8) | bits(w, 8, 1, 10) |
                         bits(w, 7, 1, 6) | bits(w, 6, 1, 7) | bits(w, 3, 3, 1) | bits(w, 2, 1, 5),
                     12);
}
constexpr int32_t c_branch(uint32_t w) {
  return sign_extend(bits(w, 12, 1, 8) | bits(w, 10, 2, 3) | bits(w, 5, 2, 6) | bits(w, 3, 2, 1) |
                         bits(w, 2, 1, 5),
                     9);
}
constexpr int32_t c_lwsp(uint32_t w) {
  return bits(w, 12, 1, 5) | bits(w, 4, 3, 2) | bits(w, 2, 2, 6);
}
constexpr int32_t c_ldsp(uint32_t w) {
  return bits(w, 12, 1, 5) | bits(w, 5, 2, 3) | bits(w, 2, 3, 6);
}
constexpr int32_t c_swsp(uint32_t w) {
  return bits(w, 9, 4, 2) | bits(w, 7, 2, 6);
}
constexpr int32_t c_sdsp(uint32_t w) {
  return bits(w, 10, 3, 3) | bits(w, 7, 3, 6);
}

}  // namespace hv::isa
