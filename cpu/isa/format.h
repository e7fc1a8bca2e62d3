// Operand formats: which bits of an instruction are operands.
#pragma once

#include <cstdint>

namespace hv {

// Named after the specification's formats where it has a name. decode.cpp cuts the operands,
// disasm.cpp prints them.
enum class Format : uint8_t {
  // 32 bits, integer registers
  kNone,
  kR,        // rd, rs1, rs2
  kR1,       // rd, rs1
  kImm,      // rd, rs1, imm
  kLoad,     // rd, imm(rs1)
  kJalr,     // rd, imm(rs1)
  kShift,    // rd, rs1, 6-bit amount
  kShiftW,   // rd, rs1, 5-bit amount
  kRound,    // rd, rs1, round number up to 10 (aes64ks1i)
  kRByte,    // rd, rs1, rs2, number of a byte (sm4*)
  kMopR,     // rd, rs1; the number in the name
  kMopRr,    // rd, rs1, rs2; the number in the name
  kStore,    // rs2, imm(rs1)
  kB,        // rs1, rs2, offset
  kU,        // rd, upper 20 bits
  kJ,        // rd, offset
  kAmo,      // rd, rs2, (rs1); aq, rl
  kAmoPair,  // as kAmo, rd and rs2 even
  kLr,       // rd, (rs1); aq, rl
  kCsr,      // rd, csr, rs1
  kCsrI,     // rd, csr, zimm
  kFence,    // predecessor set, successor set; rd, rs1, fm ignored
  kFenceTso,
  kFenceI,
  kSfence,    // rs1, rs2
  kCbo,       // (rs1)
  kPrefetch,  // offset(rs1), the offset a multiple of 32
  // floating-point registers; "Rm" has a rounding mode
  kFLoad,
  kFStore,
  kFR,          // rd, rs1, rs2
  kFRm,         // rd, rs1, rs2, rm
  kFRm1,        // rd, rs1, rm
  kFR4,         // rd, rs1, rs2, rs3, rm
  kFCmp,        // integer rd, rs1, rs2
  kFToInt,      // integer rd, rs1
  kFToIntRm,    // integer rd, rs1, rm
  kFToIntRtz,   // integer rd, rs1, rm always rtz
  kFFromInt,    // rd, integer rs1
  kFFromIntRm,  // rd, integer rs1, rm
  kFLi,         // rd, 5-bit number of a constant
  // 16 bits
  kCAddi4spn,
  kCLw,
  kCLd,
  kCFld,
  kCSw,
  kCSd,
  kCFsd,
  kCAddi,
  kCLi,
  kCAddi16sp,
  kCLui,
  kCShift,   // any register
  kCShiftP,  // x8..x15
  kCAndi,
  kCA,
  kCR1,  // rd is the only source
  kCLbu,
  kCLh,  // c.lh, c.lhu
  kCSb,
  kCSh,
  kCZextB,
  kCNot,
  kCMop,
  kCJ,
  kCB,
  kCLwsp,
  kCLdsp,
  kCFldsp,
  kCSwsp,
  kCSdsp,
  kCFsdsp,
  kCJr,
  kCJalr,
  kCMv,
  kCAdd,
};

// The bits that a row of this format leaves open; rows.h compares each pattern with it.
constexpr uint32_t operand_bits(Format format) {
  constexpr uint32_t rd = 0x1fu << 7, rs1 = 0x1fu << 15, rs2 = 0x1fu << 20, rs3 = 0x1fu << 27;
  constexpr uint32_t rm = 7u << 12, imm12 = 0xfffu << 20, imm7 = 0x7fu << 25;
  constexpr uint32_t c_low_p = 7u << 2, c_high_p = 7u << 7;  // x8..x15 fields
  constexpr uint32_t c_low = 0x1fu << 2, c_high = 0x1fu << 7, c_12 = 1u << 12;
  switch (format) {
    case Format::kNone:
      return 0;
    case Format::kR:
    case Format::kFR:
    case Format::kFCmp:
      return rd | rs1 | rs2;
    case Format::kR1:
    case Format::kFToInt:
    case Format::kFToIntRtz:
    case Format::kFFromInt:
    case Format::kFLi:
      return rd | rs1;
    case Format::kImm:
    case Format::kLoad:
    case Format::kJalr:
    case Format::kFLoad:
    case Format::kCsr:
    case Format::kCsrI:
    case Format::kFence:
    case Format::kFenceI:
      return rd | rs1 | imm12;
    case Format::kFenceTso:
      return rd | rs1;
    case Format::kShift:
      return rd | rs1 | rs2 | 1u << 25;
    case Format::kShiftW:
      return rd | rs1 | rs2;
    case Format::kRound:
      return rd | rs1 | 0xfu << 20;
    case Format::kRByte:
      return rd | rs1 | rs2 | 3u << 30;
    case Format::kMopR:
      return rd | rs1 | 3u << 20 | 3u << 26 | 1u << 30;
    case Format::kMopRr:
      return rd | rs1 | rs2 | 3u << 26 | 1u << 30;
    case Format::kStore:
    case Format::kFStore:
    case Format::kB:
      return imm7 | rs2 | rs1 | rd;
    case Format::kU:
    case Format::kJ:
      return ~0x7fu;
    case Format::kAmo:
      return rd | rs1 | rs2 | 3u << 25;
    case Format::kAmoPair:
      return ((rd | rs1 | rs2) & ~(1u << 7 | 1u << 20)) | 3u << 25;
    case Format::kLr:
      return rd | rs1 | 3u << 25;
    case Format::kSfence:
      return rs1 | rs2;
    case Format::kCbo:
      return rs1;
    case Format::kPrefetch:
      return imm7 | rs1;
    case Format::kFRm:
      return rd | rs1 | rs2 | rm;
    case Format::kFRm1:
    case Format::kFToIntRm:
    case Format::kFFromIntRm:
      return rd | rs1 | rm;
    case Format::kFR4:
      return rd | rs1 | rs2 | rs3 | rm;
    case Format::kCAddi4spn:
      return 0xffu << 5 | c_low_p;
    case Format::kCLw:
    case Format::kCLd:
    case Format::kCFld:
    case Format::kCSw:
    case Format::kCSd:
    case Format::kCFsd:
      return 7u << 10 | c_high_p | c_low;
    case Format::kCAddi16sp:
      return c_12 | c_low;
    case Format::kCAddi:
    case Format::kCLi:
    case Format::kCLui:
    case Format::kCShift:
    case Format::kCLwsp:
    case Format::kCLdsp:
    case Format::kCFldsp:
      return c_12 | c_high | c_low;
    case Format::kCShiftP:
    case Format::kCAndi:
      return c_12 | c_high_p | c_low;
    case Format::kCA:
      return c_high_p | c_low_p;
    case Format::kCR1:
    case Format::kCZextB:
    case Format::kCNot:
      return c_high_p;
    case Format::kCLbu:
    case Format::kCSb:
      return c_high_p | c_low;
    case Format::kCLh:
    case Format::kCSh:
      return c_high_p | c_low_p | 1u << 5;
    case Format::kCMop:
      return c_high_p << 1;
    case Format::kCJ:
      return 0x7ffu << 2;
    case Format::kCB:
      return 7u << 10 | c_high_p | c_low;
    case Format::kCSwsp:
    case Format::kCSdsp:
    case Format::kCFsdsp:
      return 0x3fu << 7 | c_low;
    case Format::kCJr:
    case Format::kCJalr:
      return c_high;
    case Format::kCMv:
    case Format::kCAdd:
      return c_high | c_low;
  }
  return 0;
}

}  // namespace hv
