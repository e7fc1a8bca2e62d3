#include "cpu/decode.h"

#include "cpu/isa/bits.h"
#include "cpu/isa/lookup.h"

namespace hv {
namespace {

using isa::bits;

constexpr uint8_t kSp = 2, kRa = 1;
constexpr int32_t kLastAesRound = 10;
constexpr unsigned kRmReserved5 = 5, kRmReserved6 = 6;

// x0 as a destination.
constexpr uint8_t dest(uint32_t reg) {
  return reg == 0 ? kRegSink : static_cast<uint8_t>(reg);
}

// Cuts the operands of a 32-bit word; false: a reserved operand value.
bool unpack_wide(Format format, uint32_t w, DecodedOp& f) {
  const auto rd = static_cast<uint8_t>(bits(w, 7, 5));
  const unsigned rm = bits(w, 12, 3);
  const bool rm_valid = rm != kRmReserved5 && rm != kRmReserved6;
  f.rd = dest(rd);
  f.rs1 = static_cast<uint8_t>(bits(w, 15, 5));
  f.rs2 = static_cast<uint8_t>(bits(w, 20, 5));
  switch (format) {
    case Format::kR:
    case Format::kR1:
    case Format::kMopR:
    case Format::kMopRr:
    case Format::kFCmp:
    case Format::kFToInt:
    case Format::kFToIntRtz:
      return true;
    case Format::kImm:
    case Format::kLoad:
      f.imm = isa::imm_i(w);
      return true;
    case Format::kFLoad:
      f.rd = rd;
      f.imm = isa::imm_i(w);
      return true;
    case Format::kJalr:
      f.imm = isa::imm_i(w);
      f.rs2 = 4;
      return true;
    case Format::kShift:
      f.imm = static_cast<int32_t>(bits(w, 20, 6));
      return true;
    case Format::kShiftW:
      f.imm = static_cast<int32_t>(bits(w, 20, 5));
      return true;
    case Format::kRound:
      f.imm = static_cast<int32_t>(bits(w, 20, 4));
      return f.imm <= kLastAesRound;
    case Format::kRByte:
      f.imm = static_cast<int32_t>(bits(w, 30, 2));
      return true;
    case Format::kStore:
    case Format::kFStore:
      f.imm = isa::imm_s(w);
      return true;
    case Format::kB:
      f.imm = isa::imm_b(w);
      f.rd = 4;
      return true;
    case Format::kU:
      f.imm = isa::imm_u(w);
      return true;
    case Format::kJ:
      f.imm = isa::imm_j(w);
      f.rs2 = 4;
      return true;
    case Format::kAmo:
    case Format::kAmoPair:
    case Format::kLr:
      f.imm = static_cast<int32_t>(bits(w, 25, 2));
      return true;
    case Format::kCsr:
    case Format::kCsrI:
      f.imm = static_cast<int32_t>(w >> 20);
      return true;
    case Format::kFR:
    case Format::kFFromInt:
    case Format::kFLi:
      f.rd = rd;
      return true;
    case Format::kFRm:
    case Format::kFRm1:
    case Format::kFFromIntRm:
      f.rd = rd;
      f.imm = static_cast<int32_t>(rm);
      return rm_valid;
    case Format::kFToIntRm:
      f.imm = static_cast<int32_t>(rm);
      return rm_valid;
    case Format::kFR4:
      f.rd = rd;
      f.imm = static_cast<int32_t>(bits(w, 27, 5, 8) | rm);
      return rm_valid;
    default:  // kNone, fences, cbo, prefetch
      f.imm = static_cast<int32_t>(w);
      return true;
  }
}

void set(DecodedOp& f, uint8_t rd, uint8_t rs1, uint8_t rs2, int32_t imm) {
  f.rd = rd;
  f.rs1 = rs1;
  f.rs2 = rs2;
  f.imm = imm;
}

// Cuts the operands of a 16-bit word as those of its base operation.
void unpack_compressed(const isa::Row& row, uint32_t w, DecodedOp& f) {
  const uint8_t high = isa::c_high(w), low = isa::c_low(w);
  const uint8_t high_p = isa::c_high_p(w), low_p = isa::c_low_p(w);
  const auto shamt = static_cast<int32_t>(isa::c_uimm6(w));
  switch (row.format) {
    case Format::kCAddi4spn:
      return set(f, low_p, kSp, 0, isa::c_addi4spn(w));
    case Format::kCLw:
      return set(f, low_p, high_p, 0, isa::c_word(w));
    case Format::kCLd:
    case Format::kCFld:
      return set(f, low_p, high_p, 0, isa::c_double(w));
    case Format::kCSw:
      return set(f, kRegSink, high_p, low_p, isa::c_word(w));
    case Format::kCSd:
    case Format::kCFsd:
      return set(f, kRegSink, high_p, low_p, isa::c_double(w));
    case Format::kCAddi:
      return set(f, dest(high), high, 0, isa::c_imm6(w));
    case Format::kCLi:
      return set(f, dest(high), 0, 0, isa::c_imm6(w));
    case Format::kCAddi16sp:
      return set(f, kSp, kSp, 0, isa::c_addi16sp(w));
    case Format::kCLui:
      return set(f, dest(high), 0, 0, isa::c_lui(w));
    case Format::kCShift:
      return set(f, dest(high), high, 0, shamt);
    case Format::kCShiftP:
      return set(f, high_p, high_p, 0, shamt);
    case Format::kCAndi:
      return set(f, high_p, high_p, 0, isa::c_imm6(w));
    case Format::kCA:
      return set(f, high_p, high_p, low_p, 0);
    case Format::kCR1:
      return set(f, high_p, high_p, 0, 0);
    case Format::kCZextB:
      return set(f, high_p, high_p, 0, 0xff);
    case Format::kCNot:
      return set(f, high_p, high_p, 0, -1);
    case Format::kCLbu:
      return set(f, low_p, high_p, 0, isa::c_byte(w));
    case Format::kCLh:
      return set(f, low_p, high_p, 0, isa::c_half(w));
    case Format::kCSb:
      return set(f, kRegSink, high_p, low_p, isa::c_byte(w));
    case Format::kCSh:
      return set(f, kRegSink, high_p, low_p, isa::c_half(w));
    case Format::kCJ:
      return set(f, kRegSink, 0, 2, isa::c_jump(w));
    case Format::kCB:
      return set(f, 2, high_p, 0, isa::c_branch(w));
    case Format::kCLwsp:
      return set(f, high, kSp, 0, isa::c_lwsp(w));
    case Format::kCLdsp:
    case Format::kCFldsp:
      return set(f, high, kSp, 0, isa::c_ldsp(w));
    case Format::kCSwsp:
      return set(f, kRegSink, kSp, low, isa::c_swsp(w));
    case Format::kCSdsp:
    case Format::kCFsdsp:
      return set(f, kRegSink, kSp, low, isa::c_sdsp(w));
    case Format::kCJr:
      return set(f, kRegSink, high, 2, 0);
    case Format::kCJalr:
      return set(f, kRa, high, 2, 0);
    case Format::kCMv:
      return set(f, dest(high), 0, low, 0);
    case Format::kCAdd:
      return set(f, dest(high), high, low, 0);
    default:  // c.ebreak, c.mop, hints
      return set(f, kRegSink, 0, 0, static_cast<int32_t>(w));
  }
}

}  // namespace

Decoded decode(uint32_t word, const ExtensionSet& extensions) {
  Decoded out{};
  out.length = static_cast<uint8_t>(instruction_length(static_cast<uint16_t>(word)));
  if (out.length == 2) word &= 0xffff;
  const isa::Row* row = isa::find_row(word, extensions);
  if (row != nullptr) {
    out.op = row->op;
    if (row->length == 2) {
      unpack_compressed(*row, word, out.fields);
      return out;
    }
    if (unpack_wide(row->format, word, out.fields)) return out;
  }
  out.op = Op::kIllegal;
  out.fields = DecodedOp{};
  out.fields.rd = kRegSink;
  out.fields.imm = static_cast<int32_t>(word);
  return out;
}

}  // namespace hv
