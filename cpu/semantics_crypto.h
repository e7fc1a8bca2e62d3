// Zkne, Zknd, Zknh, Zksed, Zksh: scalar cryptography (unprivileged specification).
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "cpu/semantics_integer.h"

namespace hv::semantics {

// Looking a byte up takes as long as the host's cache makes it take, so that data-independent time
// (Zkt) is kept no better here than by QEMU.
using SubstitutionBox = std::array<uint8_t, 256>;

// Product in GF(2^8) modulo `polynomial`.
consteval uint8_t field_multiply(unsigned a, unsigned b, unsigned polynomial) {
  unsigned product = 0;
  for (; b != 0; b >>= 1) {
    if (b & 1) product ^= a;
    a <<= 1;
    if (a & 0x100) a ^= polynomial;
  }
  return static_cast<uint8_t>(product);
}

// Multiplicative inverses, 0 for 0. 3 generates the field of AES and 2 that of SM4: i runs through
// the powers of the generator, j through those of its inverse.
consteval SubstitutionBox field_inverses(unsigned generator, unsigned polynomial) {
  unsigned inverse = 1;
  while (field_multiply(generator, inverse, polynomial) != 1) ++inverse;
  SubstitutionBox box{};
  for (unsigned i = 1, j = 1, n = 0; n < 255; ++n) {
    box[i] = static_cast<uint8_t>(j);
    i = field_multiply(i, generator, polynomial);
    j = field_multiply(j, inverse, polynomial);
  }
  return box;
}

// FIPS 197, 5.1.1: the inverse, then an affine map.
consteval SubstitutionBox make_aes_box() {
  const SubstitutionBox inverses = field_inverses(3, 0x11b);
  SubstitutionBox box{};
  for (unsigned i = 0; i < 256; ++i) {
    const uint8_t v = inverses[i];
    box[i] = static_cast<uint8_t>(v ^ std::rotl(v, 1) ^ std::rotl(v, 2) ^ std::rotl(v, 3) ^
                                  std::rotl(v, 4) ^ 0x63);
  }
  return box;
}
consteval SubstitutionBox invert(const SubstitutionBox& box) {
  SubstitutionBox inverse{};
  for (unsigned i = 0; i < 256; ++i) inverse[box[i]] = static_cast<uint8_t>(i);
  return inverse;
}

// GB/T 32907 prints SM4's box as a table; it is an affine map before and after the inverse.
consteval uint8_t sm4_affine(uint8_t value) {
  unsigned result = 0;
  for (int i = 0; i < 8; ++i)
    result |= static_cast<unsigned>(std::popcount<uint8_t>(value & std::rotl<uint8_t>(0xa7, i)) & 1)
              << i;
  return static_cast<uint8_t>(result ^ 0xd3);
}
consteval SubstitutionBox make_sm4_box() {
  const SubstitutionBox inverses = field_inverses(2, 0x1f5);
  SubstitutionBox box{};
  for (unsigned i = 0; i < 256; ++i)
    box[i] = sm4_affine(inverses[sm4_affine(static_cast<uint8_t>(i))]);
  return box;
}

inline constexpr SubstitutionBox kAesBox = make_aes_box(), kAesInverseBox = invert(kAesBox),
                                 kSm4Box = make_sm4_box();

inline uint64_t substitute(const SubstitutionBox& box, uint64_t value) {
  uint64_t result = 0;
  for (unsigned at = 0; at < 64; at += 8)
    result |= static_cast<uint64_t>(box[value >> at & 0xff]) << at;
  return result;
}

// A register holds two columns of the AES state, row 0 in the lowest byte of each; `low` has the
// columns 0 and 1, `high` 2 and 3. Columns 0 and 1 after the rows have moved; the instruction with
// the operands exchanged gives 2 and 3. `step` 1 is ShiftRows, 3 its inverse.
inline uint64_t shift_rows(uint64_t low, uint64_t high, unsigned step) {
  uint64_t result = 0;
  for (unsigned to = 0; to < 8; ++to) {
    const unsigned row = to % 4, from = (to / 4 + row * step) % 4 * 4 + row;
    result |= ((from < 8 ? low : high) >> from % 8 * 8 & 0xff) << to * 8;
  }
  return result;
}

// Each byte of both columns times x, and each column's rows moved up by `rows`.
inline uint64_t times_x(uint64_t v) {
  constexpr uint64_t kOnes = 0x0101010101010101ull;
  return (v & kOnes * 0x7f) << 1 ^ (v >> 7 & kOnes) * 0x1b;
}
inline uint64_t rotate_rows(uint64_t v, int rows) {
  const uint64_t low = std::rotr(u32(v), 8 * rows), high = std::rotr(u32(v >> 32), 8 * rows);
  return low | high << 32;
}

// Row r becomes 2 s[r] + 3 s[r+1] + s[r+2] + s[r+3].
inline uint64_t mix_columns(uint64_t v) {
  return times_x(v ^ rotate_rows(v, 1)) ^ rotate_rows(v, 1) ^ rotate_rows(v, 2) ^ rotate_rows(v, 3);
}
// The inverse polynomial is the forward one times 4 x^2 + 5 (FIPS 197, 5.3.3).
inline uint64_t unmix_columns(uint64_t v) {
  return mix_columns(v ^ times_x(times_x(v ^ rotate_rows(v, 2))));
}

inline uint64_t aes_key_word(uint64_t a, unsigned round) {
  constexpr unsigned kNoRotation = 10;
  constexpr std::array<uint8_t, 11> kConstants = {1,    2,    4,    8,    0x10, 0x20,
                                                  0x40, 0x80, 0x1b, 0x36, 0};
  const uint32_t word = round == kNoRotation ? u32(a >> 32) : std::rotr(u32(a >> 32), 8);
  const uint64_t key = u32(substitute(kAesBox, word)) ^ kConstants[round];
  return key | key << 32;
}

// The byte of `b` that `byte` names through SM4's box and a linear map, in its place. The words of
// the standard are big-endian.
template <class Linear>
uint64_t sm4_step(uint64_t a, uint64_t b, unsigned byte, Linear linear) {
  const uint32_t word = static_cast<uint32_t>(kSm4Box[b >> byte * 8 & 0xff]) << 24;
  const uint32_t mapped = __builtin_bswap32(linear(word));
  return sext32(u32(a) ^ std::rotl(mapped, static_cast<int>(byte * 8)));
}
// L and L' of GB/T 32907.
inline uint32_t sm4_data(uint32_t v) {
  return v ^ std::rotl(v, 2) ^ std::rotl(v, 10) ^ std::rotl(v, 18) ^ std::rotl(v, 24);
}
inline uint32_t sm4_key(uint32_t v) {
  return v ^ std::rotl(v, 13) ^ std::rotl(v, 23);
}

#define HV_R(name, expression)                       \
  inline void name(Hart& h, const DecodedOp& op) {   \
    [[maybe_unused]] const uint64_t a = h.x[op.rs1]; \
    [[maybe_unused]] const uint64_t b = h.x[op.rs2]; \
    h.x[op.rd] = expression;                         \
  }
// SHA-256 and SM3 work on words, SHA-512 on doublewords.
#define HV_WORD(name, expression)                  \
  inline void name(Hart& h, const DecodedOp& op) { \
    const uint32_t a = u32(h.x[op.rs1]);           \
    h.x[op.rd] = sext32(expression);               \
  }

HV_R(aes64es, substitute(kAesBox, shift_rows(a, b, 1)))
HV_R(aes64esm, mix_columns(substitute(kAesBox, shift_rows(a, b, 1))))
HV_R(aes64ds, substitute(kAesInverseBox, shift_rows(a, b, 3)))
HV_R(aes64dsm, unmix_columns(substitute(kAesInverseBox, shift_rows(a, b, 3))))
HV_R(aes64im, unmix_columns(a))
HV_R(aes64ks1i, aes_key_word(a, static_cast<unsigned>(op.imm)))
HV_R(aes64ks2, (a >> 32 ^ u32(b)) | (a >> 32 ^ u32(b) ^ b >> 32) << 32)

HV_WORD(sha256sum0, std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22))
HV_WORD(sha256sum1, std::rotr(a, 6) ^ std::rotr(a, 11) ^ std::rotr(a, 25))
HV_WORD(sha256sig0, std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3)
HV_WORD(sha256sig1, std::rotr(a, 17) ^ std::rotr(a, 19) ^ a >> 10)
HV_R(sha512sum0, std::rotr(a, 28) ^ std::rotr(a, 34) ^ std::rotr(a, 39))
HV_R(sha512sum1, std::rotr(a, 14) ^ std::rotr(a, 18) ^ std::rotr(a, 41))
HV_R(sha512sig0, std::rotr(a, 1) ^ std::rotr(a, 8) ^ a >> 7)
HV_R(sha512sig1, std::rotr(a, 19) ^ std::rotr(a, 61) ^ a >> 6)

HV_WORD(sm3p0, a ^ std::rotl(a, 9) ^ std::rotl(a, 17))
HV_WORD(sm3p1, a ^ std::rotl(a, 15) ^ std::rotl(a, 23))
HV_R(sm4ed, sm4_step(a, b, static_cast<unsigned>(op.imm), sm4_data))
HV_R(sm4ks, sm4_step(a, b, static_cast<unsigned>(op.imm), sm4_key))

#undef HV_R
#undef HV_WORD

}  // namespace hv::semantics
