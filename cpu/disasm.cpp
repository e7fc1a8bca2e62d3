#include "cpu/disasm.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "cpu/csr.h"
#include "cpu/isa/bits.h"
#include "cpu/isa/fli.h"
#include "cpu/isa/lookup.h"

namespace hv {
namespace {

using isa::bits;
using std::string_view;

constexpr std::array<string_view, 32> kNames = {"zero", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                                "s0",   "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                                "a6",   "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                                "s8",   "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr std::array<string_view, 32> kFloatNames = {
    "ft0", "ft1", "ft2", "ft3", "ft4",  "ft5",  "ft6", "ft7", "fs0",  "fs1", "fa0",
    "fa1", "fa2", "fa3", "fa4", "fa5",  "fa6",  "fa7", "fs2", "fs3",  "fs4", "fs5",
    "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

constexpr unsigned kSp = 2;
constexpr unsigned kRmNearest = 0, kRmDynamic = 7;

string_view x(unsigned number) {
  return kNames[number];
}
string_view f(unsigned number) {
  return kFloatNames[number];
}

// "fadd_s" to "fadd.s", "and_" to "and"; may-be-operations are numbered.
std::string mnemonic(const isa::Row& row, uint32_t w) {
  std::string text(row.id);
  if (text.back() == '_') text.pop_back();
  for (char& c : text)
    if (c == '_') c = '.';
  if (row.format == Format::kMopR) text += fmt::format(".{}", isa::mop_r(w));
  if (row.format == Format::kMopRr) text += fmt::format(".{}", isa::mop_rr(w));
  if (row.format == Format::kCMop) text += fmt::format(".{}", isa::c_mop(w));
  return text;
}

string_view rounding_name(unsigned rm) {
  constexpr std::array<string_view, 8> kModes = {"rne", "rtz",     "rdn",     "rup",
                                                 "rmm", "unknown", "unknown", "dyn"};
  return kModes[rm];
}

// The last operand of rounded operations. Conversions that are always exact are written without
// when they say rne, the others when they say dyn.
std::string rounding_suffix(const isa::Row& row, uint32_t w) {
  const unsigned rm = bits(w, 12, 3);
  const bool exact = row.op == Op::fcvt_d_w || row.op == Op::fcvt_d_wu || row.op == Op::fcvt_d_s ||
                     row.op == Op::fcvt_s_h || row.op == Op::fcvt_d_h;
  if (rm == (exact ? kRmNearest : kRmDynamic)) return {};
  return fmt::format(",{}", rounding_name(rm));
}

std::string fli_constant(unsigned index) {
  if (index == isa::kFliSmallestNormal) return "min";
  const double value = isa::kFliValues[index];
  return std::isfinite(value) ? fmt::format("{:a}", value) : fmt::format("{}", value);
}

std::string fence_set(uint32_t set) {
  std::string text;
  for (const auto& [bit, letter] : {std::pair{8u, 'i'}, {4u, 'o'}, {2u, 'r'}, {1u, 'w'}})
    if (set & bit) text += letter;
  return text.empty() ? "unknown" : text;
}

std::string_view order_suffix(uint32_t w) {
  constexpr std::array<string_view, 4> kSuffixes = {"", ".rl", ".aq", ".aqrl"};
  return kSuffixes[bits(w, 25, 2)];
}

std::string memory(int32_t offset, unsigned base) {
  return fmt::format("{}({})", offset, x(base));
}

std::string target(uint64_t pc, int32_t offset) {
  return fmt::format("{:#x}", pc + static_cast<uint64_t>(int64_t{offset}));
}

std::string wide_operands(const isa::Row& row, uint32_t w, uint64_t pc) {
  const unsigned rd = bits(w, 7, 5), rs1 = bits(w, 15, 5), rs2 = bits(w, 20, 5);
  switch (row.format) {
    case Format::kR:
    case Format::kMopRr:
      return fmt::format("{},{},{}", x(rd), x(rs1), x(rs2));
    case Format::kR1:
    case Format::kMopR:
      return fmt::format("{},{}", x(rd), x(rs1));
    case Format::kImm:
      return fmt::format("{},{},{}", x(rd), x(rs1), isa::imm_i(w));
    case Format::kLoad:
    case Format::kJalr:
      return fmt::format("{},{}", x(rd), memory(isa::imm_i(w), rs1));
    case Format::kShift:
      return fmt::format("{},{},{:#x}", x(rd), x(rs1), bits(w, 20, 6));
    case Format::kShiftW:
      return fmt::format("{},{},{:#x}", x(rd), x(rs1), rs2);
    case Format::kRound:
      return fmt::format("{},{},{:#x}", x(rd), x(rs1), bits(w, 20, 4));
    case Format::kRByte:
      return fmt::format("{},{},{},{:#x}", x(rd), x(rs1), x(rs2), bits(w, 30, 2));
    case Format::kStore:
      return fmt::format("{},{}", x(rs2), memory(isa::imm_s(w), rs1));
    case Format::kB:
      return fmt::format("{},{},{}", x(rs1), x(rs2), target(pc, isa::imm_b(w)));
    case Format::kU:
      return fmt::format("{},{:#x}", x(rd), w >> 12);
    case Format::kJ:
      return fmt::format("{},{}", x(rd), target(pc, isa::imm_j(w)));
    case Format::kAmo:
    case Format::kAmoPair:
      return fmt::format("{},{},({})", x(rd), x(rs2), x(rs1));
    case Format::kLr:
      return fmt::format("{},({})", x(rd), x(rs1));
    case Format::kCsr:
      return fmt::format("{},{},{}", x(rd), csr_name(w >> 20), x(rs1));
    case Format::kCsrI:
      return fmt::format("{},{},{}", x(rd), csr_name(w >> 20), rs1);
    case Format::kFence:
      return fmt::format("{},{}", fence_set(bits(w, 24, 4)), fence_set(bits(w, 20, 4)));
    case Format::kSfence:
      return fmt::format("{},{}", x(rs1), x(rs2));
    case Format::kCbo:
      return fmt::format("({})", x(rs1));
    case Format::kPrefetch:
      return memory(isa::imm_s(w), rs1);
    case Format::kFLoad:
      return fmt::format("{},{}", f(rd), memory(isa::imm_i(w), rs1));
    case Format::kFStore:
      return fmt::format("{},{}", f(rs2), memory(isa::imm_s(w), rs1));
    case Format::kFR:
      return fmt::format("{},{},{}", f(rd), f(rs1), f(rs2));
    case Format::kFRm:
      return fmt::format("{},{},{}{}", f(rd), f(rs1), f(rs2), rounding_suffix(row, w));
    case Format::kFRm1:
      return fmt::format("{},{}{}", f(rd), f(rs1), rounding_suffix(row, w));
    case Format::kFR4:
      return fmt::format("{},{},{},{}{}", f(rd), f(rs1), f(rs2), f(w >> 27),
                         rounding_suffix(row, w));
    case Format::kFCmp:
      return fmt::format("{},{},{}", x(rd), f(rs1), f(rs2));
    case Format::kFToInt:
      return fmt::format("{},{}", x(rd), f(rs1));
    case Format::kFToIntRm:
      return fmt::format("{},{}{}", x(rd), f(rs1), rounding_suffix(row, w));
    case Format::kFToIntRtz:
      return fmt::format("{},{},rtz", x(rd), f(rs1));
    case Format::kFLi:
      return fmt::format("{},{}", f(rd), fli_constant(rs1));
    case Format::kFFromInt:
      return fmt::format("{},{}", f(rd), x(rs1));
    case Format::kFFromIntRm:
      return fmt::format("{},{}{}", f(rd), x(rs1), rounding_suffix(row, w));
    default:  // kNone, fence.tso, fence.i
      return {};
  }
}

std::string compressed_operands(const isa::Row& row, uint32_t w, uint64_t pc) {
  const unsigned high = isa::c_high(w), low = isa::c_low(w);
  const unsigned high_p = isa::c_high_p(w), low_p = isa::c_low_p(w);
  switch (row.format) {
    case Format::kCAddi4spn:
      return fmt::format("{},{},{}", x(low_p), x(kSp), isa::c_addi4spn(w));
    case Format::kCLw:
    case Format::kCSw:
      return fmt::format("{},{}", x(low_p), memory(isa::c_word(w), high_p));
    case Format::kCLd:
    case Format::kCSd:
      return fmt::format("{},{}", x(low_p), memory(isa::c_double(w), high_p));
    case Format::kCFld:
    case Format::kCFsd:
      return fmt::format("{},{}", f(low_p), memory(isa::c_double(w), high_p));
    case Format::kCAddi:
    case Format::kCLi:
      return fmt::format("{},{}", x(high), isa::c_imm6(w));
    case Format::kCAddi16sp:
      return fmt::format("{},{}", x(kSp), isa::c_addi16sp(w));
    case Format::kCLui:
      return fmt::format("{},{:#x}", x(high), static_cast<uint32_t>(isa::c_lui(w)) >> 12);
    case Format::kCShift:
      return fmt::format("{},{:#x}", x(high), isa::c_uimm6(w));
    case Format::kCShiftP:
      return fmt::format("{},{:#x}", x(high_p), isa::c_uimm6(w));
    case Format::kCAndi:
      return fmt::format("{},{}", x(high_p), isa::c_imm6(w));
    case Format::kCA:
      return fmt::format("{},{}", x(high_p), x(low_p));
    case Format::kCR1:
    case Format::kCZextB:
    case Format::kCNot:
      return std::string(x(high_p));
    case Format::kCLbu:
    case Format::kCSb:
      return fmt::format("{},{}", x(low_p), memory(isa::c_byte(w), high_p));
    case Format::kCLh:
    case Format::kCSh:
      return fmt::format("{},{}", x(low_p), memory(isa::c_half(w), high_p));
    case Format::kCJ:
      return target(pc, isa::c_jump(w));
    case Format::kCB:
      return fmt::format("{},{}", x(high_p), target(pc, isa::c_branch(w)));
    case Format::kCLwsp:
      return fmt::format("{},{}", x(high), memory(isa::c_lwsp(w), kSp));
    case Format::kCLdsp:
      return fmt::format("{},{}", x(high), memory(isa::c_ldsp(w), kSp));
    case Format::kCFldsp:
      return fmt::format("{},{}", f(high), memory(isa::c_ldsp(w), kSp));
    case Format::kCSwsp:
      return fmt::format("{},{}", x(low), memory(isa::c_swsp(w), kSp));
    case Format::kCSdsp:
      return fmt::format("{},{}", x(low), memory(isa::c_sdsp(w), kSp));
    case Format::kCFsdsp:
      return fmt::format("{},{}", f(low), memory(isa::c_sdsp(w), kSp));
    case Format::kCJr:
    case Format::kCJalr:
      return std::string(x(high));
    case Format::kCMv:
    case Format::kCAdd:
      return fmt::format("{},{}", x(high), x(low));
    default:  // c.ebreak, c.mop, hints
      return {};
  }
}

}  // namespace

std::string disassemble(uint32_t word, uint64_t pc, const ExtensionSet& extensions) {
  const bool compressed = (word & 3) != 3;
  if (compressed) word &= 0xffff;
  const isa::Row* row = isa::find_row(word, extensions);
  if (row == nullptr) return fmt::format(".{}byte\t{:#x}", compressed ? 2 : 4, word);
  std::string text = mnemonic(*row, word);
  if (row->format == Format::kAmo || row->format == Format::kAmoPair || row->format == Format::kLr)
    text += order_suffix(word);
  const std::string operands =
      compressed ? compressed_operands(*row, word, pc) : wide_operands(*row, word, pc);
  if (!operands.empty()) text += '\t' + operands;
  return text;
}

std::string_view register_name(unsigned number) {
  return kNames.at(number);
}
std::string_view float_register_name(unsigned number) {
  return kFloatNames.at(number);
}

}  // namespace hv
