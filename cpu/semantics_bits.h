// Zba, Zbb, Zbc, Zbs (unprivileged specification, chapter 29), Zbkb, Zbkc, Zbkx, Zicond and Zimop.
#pragma once

#include <bit>
#include <cstdint>

#include "cpu/semantics_integer.h"

namespace hv::semantics {

// Each byte becomes 0xff unless it is 0. Bit 7 of a byte of `low_sum` says that one of its low
// seven bits is set; no carry leaves a byte.
inline uint64_t or_combine(uint64_t value) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7full, kHigh = ~kLow;
  const uint64_t low_sum = (value & kLow) + kLow;
  return (((low_sum | value) & kHigh) >> 7) * 0xff;
}

inline uint64_t reverse_bits_of_bytes(uint64_t v) {
  constexpr uint64_t kOdd = 0x5555555555555555ull, kPairs = 0x3333333333333333ull,
                     kNibbles = 0x0f0f0f0f0f0f0f0full;
  v = (v >> 1 & kOdd) | (v & kOdd) << 1;
  v = (v >> 2 & kPairs) | (v & kPairs) << 2;
  return (v >> 4 & kNibbles) | (v & kNibbles) << 4;
}
inline uint64_t reverse_bits(uint64_t value) {
  return __builtin_bswap64(reverse_bits_of_bytes(value));
}

// The low half of the carry-less product by ordinary multiplications, whose time does not depend on
// the operands (Zkt). Each factor is cut into four with only every fourth bit, so that the up to 16
// terms of a column carry into the three columns that the mask drops; the one carry that goes
// further leaves the word.
inline uint64_t carry_less_low(uint64_t a, uint64_t b) {
  constexpr uint64_t kEveryFourth = 0x1111111111111111ull;
  uint64_t product = 0;
  for (unsigned column = 0; column < 4; ++column) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < 4; ++i)
      sum ^= (a & kEveryFourth << i) * (b & kEveryFourth << ((column - i) & 3));
    product |= sum & kEveryFourth << column;
  }
  return product;
}
// Bits 126 to 63 of the product: the low half of the mirror image.
inline uint64_t carry_less_reversed(uint64_t a, uint64_t b) {
  return reverse_bits(carry_less_low(reverse_bits(a), reverse_bits(b)));
}

// Each field of `indices` names a field of `table`; those that do not exist are 0.
template <unsigned kWidth>
uint64_t permute(uint64_t table, uint64_t indices) {
  constexpr uint64_t kField = (1ull << kWidth) - 1;
  uint64_t result = 0;
  for (unsigned at = 0; at < 64; at += kWidth) {
    const uint64_t index = indices >> at & kField;
    if (index < 64 / kWidth) result |= (table >> index * kWidth & kField) << at;
  }
  return result;
}

#define HV_R(name, expression)                      \
  inline void name(Hart& h, const DecodedOp& op) {  \
    const uint64_t a = h.x[op.rs1];                 \
    const uint64_t b = h.x[op.rs2];                 \
    h.x[op.rd] = static_cast<uint64_t>(expression); \
  }
#define HV_R1(name, expression)                     \
  inline void name(Hart& h, const DecodedOp& op) {  \
    const uint64_t a = h.x[op.rs1];                 \
    h.x[op.rd] = static_cast<uint64_t>(expression); \
  }
#define HV_I(name, expression)                        \
  inline void name(Hart& h, const DecodedOp& op) {    \
    const uint64_t a = h.x[op.rs1];                   \
    const unsigned i = static_cast<unsigned>(op.imm); \
    h.x[op.rd] = static_cast<uint64_t>(expression);   \
  }

HV_R(add_uw, u32(a) + b)
HV_R(sh1add, (a << 1) + b)
HV_R(sh2add, (a << 2) + b)
HV_R(sh3add, (a << 3) + b)
HV_R(sh1add_uw, (static_cast<uint64_t>(u32(a)) << 1) + b)
HV_R(sh2add_uw, (static_cast<uint64_t>(u32(a)) << 2) + b)
HV_R(sh3add_uw, (static_cast<uint64_t>(u32(a)) << 3) + b)
HV_I(slli_uw, static_cast<uint64_t>(u32(a)) << (i & 63))

HV_R(andn, a & ~b)
HV_R(orn, a | ~b)
HV_R(xnor, ~(a ^ b))
HV_R1(clz, std::countl_zero(a))
HV_R1(ctz, std::countr_zero(a))
HV_R1(cpop, std::popcount(a))
HV_R1(clzw, std::countl_zero(u32(a)))
HV_R1(ctzw, std::countr_zero(u32(a)))
HV_R1(cpopw, std::popcount(u32(a)))
HV_R(min, s64(a) < s64(b) ? a : b)
HV_R(minu, a < b ? a : b)
HV_R(max, s64(a) < s64(b) ? b : a)
HV_R(maxu, a < b ? b : a)
HV_R1(sext_b, static_cast<int64_t>(static_cast<int8_t>(a)))
HV_R1(sext_h, static_cast<int64_t>(static_cast<int16_t>(a)))
HV_R1(zext_h, static_cast<uint16_t>(a))
HV_R(rol, std::rotl(a, static_cast<int>(b & 63)))
HV_R(ror, std::rotr(a, static_cast<int>(b & 63)))
HV_I(rori, std::rotr(a, static_cast<int>(i & 63)))
HV_R(rolw, sext32(std::rotl(u32(a), static_cast<int>(b & 31))))
HV_R(rorw, sext32(std::rotr(u32(a), static_cast<int>(b & 31))))
HV_I(roriw, sext32(std::rotr(u32(a), static_cast<int>(i & 31))))
HV_R1(orc_b, or_combine(a))
HV_R1(rev8, __builtin_bswap64(a))

HV_R(bclr, a & ~(1ull << (b & 63)))
HV_I(bclri, a & ~(1ull << (i & 63)))
HV_R(bext, a >> (b & 63) & 1)
HV_I(bexti, a >> (i & 63) & 1)
HV_R(binv, a ^ (1ull << (b & 63)))
HV_I(binvi, a ^ (1ull << (i & 63)))
HV_R(bset, a | (1ull << (b & 63)))
HV_I(bseti, a | (1ull << (i & 63)))

HV_R(clmul, carry_less_low(a, b))
HV_R(clmulh, carry_less_reversed(a, b) >> 1)
HV_R(clmulr, carry_less_reversed(a, b))

HV_R(pack, u32(a) | b << 32)
HV_R(packh, (a & 0xff) | (b & 0xff) << 8)
HV_R(packw, sext32((a & 0xffff) | (b & 0xffff) << 16))
HV_R1(brev8, reverse_bits_of_bytes(a))
HV_R(xperm4, permute<4>(a, b))
HV_R(xperm8, permute<8>(a, b))

HV_R(czero_eqz, b == 0 ? 0 : a)
HV_R(czero_nez, b == 0 ? a : 0)

// May-be-operations (Zimop): no other extension has given them a meaning.
inline void mop_r(Hart& h, const DecodedOp& op) {
  h.x[op.rd] = 0;
}
inline void mop_rr(Hart& h, const DecodedOp& op) {
  h.x[op.rd] = 0;
}

#undef HV_R
#undef HV_R1
#undef HV_I

}  // namespace hv::semantics
