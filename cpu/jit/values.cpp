#include "cpu/jit/values.h"

#include <algorithm>
#include <bit>

#include "cpu/hart.h"
#include "cpu/isa/format.h"
#include "cpu/jit/helpers.h"

namespace hv::jit {
namespace {

constexpr Format kFormats[] = {
    Format::kNone,
#define INSN(id, pattern, format, ext, flags) Format::format,
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};

// rd is an x register.
bool writes_rd(Op kind) {
  switch (format_of(kind)) {
    case Format::kNone:
    case Format::kStore:
    case Format::kB:
    case Format::kFence:
    case Format::kFenceTso:
    case Format::kFenceI:
    case Format::kSfence:
    case Format::kCbo:
    case Format::kPrefetch:
    case Format::kFLoad:
    case Format::kFStore:
    case Format::kFR:
    case Format::kFRm:
    case Format::kFRm1:
    case Format::kFR4:
    case Format::kFFromInt:
    case Format::kFFromIntRm:
    case Format::kFLi:
      return false;
    default:
      return true;
  }
}

constexpr uint32_t bit_of(unsigned reg) {
  return reg < 32 ? 1u << reg : 0;
}

// The interpreter's own body computes it.
uint64_t fold(const TraceOp& op, uint64_t a, uint64_t b) {
  Hart hart;
  constexpr uint8_t kA = 1, kB = 2, kResult = 3;
  DecodedOp fields = op.fields;
  fields.rs1 = kA;
  fields.rs2 = kB;
  fields.rd = kResult;
  hart.x[kA] = a;
  hart.x[kB] = b;
  op_helper(op.kind)(&hart, &fields);
  return hart.x[kResult];
}

}  // namespace

Format format_of(Op kind) {
  return kFormats[static_cast<size_t>(kind)];
}

bool reads_rs1(Op kind) {
  switch (format_of(kind)) {
    case Format::kR:
    case Format::kR1:
    case Format::kImm:
    case Format::kLoad:
    case Format::kJalr:
    case Format::kShift:
    case Format::kShiftW:
    case Format::kRound:
    case Format::kRByte:
    case Format::kStore:
    case Format::kB:
    case Format::kAmo:
    case Format::kAmoPair:
    case Format::kLr:
    case Format::kCsr:
    case Format::kSfence:
    case Format::kCbo:
    case Format::kFLoad:
    case Format::kFStore:
    case Format::kFFromInt:
    case Format::kFFromIntRm:
      return true;
    default:
      return false;
  }
}

bool reads_rs2(Op kind) {
  switch (format_of(kind)) {
    case Format::kR:
    case Format::kRByte:
    case Format::kStore:
    case Format::kB:
    case Format::kSfence:
    case Format::kAmo:
    case Format::kAmoPair:
      return true;
    default:
      return false;
  }
}

bool is_pure(Op kind) {
  const unsigned flags = op_flags::kTable[static_cast<size_t>(kind)];
  return (flags & ~unsigned{op_flags::kSubset}) == 0 && kind != Op::auipc && writes_rd(kind);
}

Registers registers_of(const TraceOp& op) {
  if (op.form == TraceOp::Form::kNothing) return {0, 0};
  const bool branch = op_has(op.kind, op_flags::kBranch);
  const bool constant = op.form == TraceOp::Form::kConstant;
  Registers registers{0, 0};
  if (reads_rs1(op.kind) && (!constant || branch)) registers.reads |= bit_of(op.fields.rs1);
  if (reads_rs2(op.kind) && !constant) registers.reads |= bit_of(op.fields.rs2);
  if (writes_rd(op.kind)) registers.writes |= bit_of(op.fields.rd);
  if (format_of(op.kind) == Format::kAmoPair) {
    registers.reads |=
        bit_of(op.fields.rs2 + 1u) | bit_of(op.fields.rd) | bit_of(op.fields.rd + 1u);
    registers.writes |= bit_of(op.fields.rd + 1u);
  } else if (op.kind == Op::amocas_w || op.kind == Op::amocas_d || op.kind == Op::amocas_b ||
             op.kind == Op::amocas_h) {
    registers.reads |= bit_of(op.fields.rd);
  }
  registers.writes &= ~1u;
  return registers;
}

Value constant_value(uint64_t bits) {
  const auto negative = static_cast<int64_t>(bits) < 0;
  const auto width = static_cast<unsigned>(std::bit_width(negative ? ~bits : bits));
  return {.base = Value::kZero,
          .offset = bits,
          .signed_bits = width + 1,
          .unsigned_bits = static_cast<unsigned>(std::bit_width(bits))};
}

Values::Values() : next_base_(initial(32)) {
  registers_[0].value = constant_value(0);
  for (unsigned reg = 1; reg < 32; ++reg) registers_[reg].value = {.base = initial(reg)};
}

Value Values::fresh(unsigned signed_bits, unsigned unsigned_bits) {
  if (unsigned_bits < 64) signed_bits = std::min(signed_bits, unsigned_bits + 1);
  return {.base = next_base_++, .signed_bits = signed_bits, .unsigned_bits = unsigned_bits};
}

Value Values::result(const TraceOp& op) {
  if (op.form == TraceOp::Form::kConstant) return constant_value(op.constant);
  if (op.kind == Op::auipc || op.kind == Op::jal)
    return {.base = Value::kPage,
            .offset = op.page_offset + static_cast<uint64_t>(int64_t{
                                           op.kind == Op::jal ? op.length : op.fields.imm})};
  const Value a = reads_rs1(op.kind) ? of(op.fields.rs1) : constant_value(0);
  const Value b = reads_rs2(op.kind) ? of(op.fields.rs2) : constant_value(0);
  if (a.constant() && b.constant()) return constant_value(fold(op, a.offset, b.offset));
  return computed(op, a, b);
}

Value Values::computed(const TraceOp& op, const Value& a, const Value& b) {
  const auto plus = [](const Value& value, uint64_t offset) -> Value {
    if (offset == 0) return value;
    return {.base = value.base, .offset = value.offset + offset};
  };
  const auto imm = int64_t{op.fields.imm};
  const auto shift = static_cast<unsigned>(op.fields.imm) & 63;
  switch (op.kind) {
    case Op::addi:
      return plus(a, static_cast<uint64_t>(imm));
    case Op::add:
      if (b.constant()) return plus(a, b.offset);
      if (a.constant()) return plus(b, a.offset);
      return fresh();
    case Op::sub:
      if (b.constant()) return plus(a, -b.offset);
      if (a.base == b.base) return constant_value(a.offset - b.offset);
      return fresh();
    case Op::addiw:
      return imm == 0 && a.signed_bits <= 32 ? a : fresh(32);
    case Op::slti:
    case Op::sltiu:
    case Op::slt:
    case Op::sltu:
    case Op::bexti:
    case Op::bext:
      return fresh(64, 1);
    case Op::andi: {
      if (imm < 0) {
        const Value other = constant_value(static_cast<uint64_t>(imm));
        return fresh(std::max(a.signed_bits, other.signed_bits), a.unsigned_bits);
      }
      const auto width = static_cast<unsigned>(std::bit_width(static_cast<uint64_t>(imm)));
      const bool all = (imm & (imm + 1)) == 0;
      return all && a.unsigned_bits <= width ? a : fresh(64, std::min(a.unsigned_bits, width));
    }
    case Op::and_:
      return a == b ? a
                    : fresh(std::max(a.signed_bits, b.signed_bits),
                            std::min(a.unsigned_bits, b.unsigned_bits));
    case Op::or_:
    case Op::xor_:
      if (op.kind == Op::xor_ && a == b) return constant_value(0);
      if (b == constant_value(0)) return a;
      if (a == b || a == constant_value(0)) return b;
      return fresh(std::max(a.signed_bits, b.signed_bits),
                   std::max(a.unsigned_bits, b.unsigned_bits));
    case Op::ori:
    case Op::xori: {
      if (imm == 0) return a;
      const Value other = constant_value(static_cast<uint64_t>(imm));
      return fresh(std::max(a.signed_bits, other.signed_bits),
                   std::max(a.unsigned_bits, other.unsigned_bits));
    }
    case Op::slli:
      if (shift == 0) return a;
      return fresh(std::min(64u, a.signed_bits + shift), std::min(64u, a.unsigned_bits + shift));
    case Op::srli:
      if (shift == 0) return a;
      return fresh(64, a.unsigned_bits > shift ? a.unsigned_bits - shift : 0);
    case Op::srai:
      if (shift == 0) return a;
      return fresh(a.signed_bits > shift ? a.signed_bits - shift : 1);
    case Op::srl:
      return fresh(64, a.unsigned_bits);
    case Op::srliw:
      return (shift & 31) == 0 ? fresh(32) : fresh(64, 32 - (shift & 31));
    case Op::sraiw:
      return fresh(32 - (shift & 31));
    case Op::slliw:
    case Op::addw:
    case Op::subw:
    case Op::sllw:
    case Op::srlw:
    case Op::sraw:
    case Op::mulw:
    case Op::divw:
    case Op::divuw:
    case Op::remw:
    case Op::remuw:
    case Op::rolw:
    case Op::rorw:
    case Op::roriw:
    case Op::packw:
      return fresh(32);
    case Op::add_uw:
      if (b != constant_value(0)) return fresh();
      return a.unsigned_bits <= 32 ? a : fresh(64, 32);
    case Op::slli_uw:
      return fresh(64, std::min(64u, std::min(a.unsigned_bits, 32u) + shift));
    case Op::sext_b:
      return a.signed_bits <= 8 ? a : fresh(8);
    case Op::sext_h:
      return a.signed_bits <= 16 ? a : fresh(16);
    case Op::zext_h:
      return a.unsigned_bits <= 16 ? a : fresh(64, 16);
    case Op::clz:
    case Op::ctz:
    case Op::cpop:
    case Op::clzw:
    case Op::ctzw:
    case Op::cpopw:
      return fresh(64, 7);
    case Op::czero_eqz:
    case Op::czero_nez:
      return fresh(a.signed_bits, a.unsigned_bits);
    default:
      return fresh();
  }
}

void Values::set(unsigned reg, const Value& value) {
  if (reg == 0 || reg >= 32) return;
  registers_[reg] = {value, ++clock_};
}

void Values::pass(const TraceOp& op) {
  if (op.form == TraceOp::Form::kNothing) return;
  const uint32_t writes = registers_of(op).writes;
  if (writes == 0) return;
  if (is_pure(op.kind) || op.kind == Op::auipc || op.kind == Op::jal) {
    set(op.fields.rd, result(op));
    return;
  }
  for (unsigned reg = 1; reg < 32; ++reg)
    if (writes & bit_of(reg)) set(reg, fresh());
  if ((writes & (writes - 1)) != 0) return;
  const auto extended = [&](unsigned signed_bits, unsigned unsigned_bits) {
    set(op.fields.rd, fresh(signed_bits, unsigned_bits));
  };
  switch (op.kind) {
    case Op::lb:
      return extended(8, 64);
    case Op::lh:
      return extended(16, 64);
    case Op::lbu:
      return extended(64, 8);
    case Op::lhu:
      return extended(64, 16);
    case Op::lwu:
      return extended(64, 32);
    case Op::lw:
    case Op::lr_w:
    case Op::amoswap_w:
    case Op::amoadd_w:
    case Op::amoand_w:
    case Op::amoor_w:
    case Op::amoxor_w:
    case Op::amomin_w:
    case Op::amomax_w:
    case Op::amominu_w:
    case Op::amomaxu_w:
    case Op::fmv_x_w:
    case Op::fcvt_w_s:
    case Op::fcvt_w_d:
    case Op::fcvt_wu_s:
    case Op::fcvt_wu_d:
      return extended(32, 64);
    case Op::sc_w:
    case Op::sc_d:
    case Op::feq_s:
    case Op::flt_s:
    case Op::fle_s:
    case Op::feq_d:
    case Op::flt_d:
    case Op::fle_d:
      return extended(64, 1);
    default:
      return;
  }
}

std::optional<unsigned> Values::holder(const Value& value) const {
  std::optional<unsigned> found;
  for (unsigned reg = 1; reg < 32; ++reg)
    if (of(reg) == value && (!found || age(reg) < age(*found))) found = reg;
  return found;
}

std::optional<unsigned> Values::relative(const Value& value) const {
  std::optional<unsigned> found;
  for (unsigned reg = 1; reg < 32; ++reg)
    if (of(reg).base == value.base && (!found || age(reg) < age(*found))) found = reg;
  return found;
}

}  // namespace hv::jit
