// Zba, Zbb, Zbs (unprivileged specification, chapter 29).
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

#undef HV_R
#undef HV_R1
#undef HV_I

}  // namespace hv::semantics
