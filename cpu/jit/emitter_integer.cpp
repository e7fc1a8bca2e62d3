// RV64I, M, B and Zicond: what only computes on x registers.
#include <bit>

#include "cpu/jit/emitter.h"

namespace hv::jit {

bool Emitter::emit_immediate(const TraceOp& op) {
  const int32_t imm = op.fields.imm;
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1;
  switch (op.kind) {
    case Op::lui:
    case Op::addi:
    case Op::slti:
    case Op::sltiu:
    case Op::xori:
    case Op::ori:
    case Op::andi:
    case Op::slli:
    case Op::srli:
    case Op::srai:
    case Op::addiw:
    case Op::slliw:
    case Op::srliw:
    case Op::sraiw:
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  if (op.kind == Op::lui || (rs1 == 0 && (op.kind == Op::addi || op.kind == Op::addiw))) {
    if (imm == 0)
      a_.xor_(d.r32(), d.r32());
    else
      a_.mov(d, imm);
    written(rd);
    return true;
  }
  const x86::Gp s = source(rs1, x86::rcx);
  const auto move = [&] {
    if (d != s) a_.mov(d, s);
  };
  const auto shift = static_cast<unsigned>(imm);
  switch (op.kind) {
    case Op::addi:
      if (d != s && imm != 0) {
        a_.lea(d, x86::ptr(s, imm));
      } else {
        move();
        if (imm) a_.add(d, imm);
      }
      break;
    case Op::addiw:
      if (imm == 0) {
        a_.movsxd(d, s.r32());
      } else if (d == s) {
        a_.add(d.r32(), imm);
        a_.movsxd(d, d.r32());
      } else {
        a_.lea(d.r32(), x86::ptr(s, imm));
        a_.movsxd(d, d.r32());
      }
      break;
    case Op::slti:
    case Op::sltiu:
      a_.cmp(s, imm);
      if (op.kind == Op::slti)
        a_.setl(x86::al);
      else
        a_.setb(x86::al);
      a_.movzx(d.r32(), x86::al);
      break;
    case Op::xori:
      move();
      if (imm == -1)
        a_.not_(d);
      else
        a_.xor_(d, imm);
      break;
    case Op::ori:
      move();
      a_.or_(d, imm);
      break;
    case Op::andi:
      if (imm == 255) {
        a_.movzx(d.r32(), s.r8());
      } else if (imm >= 0) {
        if (d != s) a_.mov(d.r32(), s.r32());
        a_.and_(d.r32(), imm);
      } else {
        move();
        a_.and_(d, imm);
      }
      break;
    case Op::slli:
      move();
      a_.shl(d, shift & 63);
      break;
    case Op::srli:
      move();
      a_.shr(d, shift & 63);
      break;
    case Op::srai:
      move();
      a_.sar(d, shift & 63);
      break;
    case Op::slliw:
    case Op::srliw:
    case Op::sraiw:
      if (d != s) a_.mov(d.r32(), s.r32());
      if (op.kind == Op::slliw)
        a_.shl(d.r32(), shift & 31);
      else if (op.kind == Op::srliw)
        a_.shr(d.r32(), shift & 31);
      else
        a_.sar(d.r32(), shift & 31);
      a_.movsxd(d, d.r32());
      break;
    default:
      break;
  }
  written(rd);
  return true;
}

bool Emitter::emit_register(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  enum { kSum, kOther } shape = kOther;
  switch (op.kind) {
    case Op::add:
    case Op::addw:
      shape = kSum;
      break;
    case Op::sub:
    case Op::sll:
    case Op::slt:
    case Op::sltu:
    case Op::xor_:
    case Op::srl:
    case Op::sra:
    case Op::or_:
    case Op::and_:
    case Op::subw:
    case Op::sllw:
    case Op::srlw:
    case Op::sraw:
    case Op::mul:
    case Op::mulw:
    case Op::mulh:
    case Op::mulhu:
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  if (shape == kSum && (rs1 == 0 || rs2 == 0)) {
    const x86::Gp s = source(rs1 == 0 ? rs2 : rs1, x86::rcx);
    if (op.kind == Op::addw)
      a_.movsxd(d, s.r32());
    else if (d != s)
      a_.mov(d, s);
    written(rd);
    return true;
  }
  const x86::Gp s = source(rs1, x86::rax), t = source(rs2, x86::rcx);
  // Where the first operand may be overwritten although the second is still needed.
  const x86::Gp w = d == t && d != s ? x86::rax : d;
  const auto move = [&] {
    if (w != s) a_.mov(w, s);
  };
  const auto shift = [&](auto by_bmi2, auto by_cl, bool word) {
    if (features_.bmi2) {
      if (word)
        by_bmi2(d.r32(), s.r32(), t.r32());
      else
        by_bmi2(d, s, t);
    } else {
      if (t != x86::rcx) a_.mov(x86::ecx, t.r32());
      move();
      by_cl(word ? w.r32() : w);
      if (w != d) a_.mov(d, w);
    }
    if (word) a_.movsxd(d, d.r32());
  };
  bool moved = false;  // the result is in d
  switch (op.kind) {
    case Op::add:
      if (d == s)
        a_.add(d, t);
      else if (d == t)
        a_.add(d, s);
      else
        a_.lea(d, x86::ptr(s, t));
      moved = true;
      break;
    case Op::addw:
      if (d == s)
        a_.add(d.r32(), t.r32());
      else if (d == t)
        a_.add(d.r32(), s.r32());
      else
        a_.lea(d.r32(), x86::ptr(s, t));
      a_.movsxd(d, d.r32());
      moved = true;
      break;
    case Op::sub:
      move();
      a_.sub(w, t);
      break;
    case Op::subw:
      move();
      a_.sub(w.r32(), t.r32());
      a_.movsxd(d, w.r32());
      moved = true;
      break;
    case Op::xor_:
      move();
      a_.xor_(w, t);
      break;
    case Op::or_:
      move();
      a_.or_(w, t);
      break;
    case Op::and_:
      move();
      a_.and_(w, t);
      break;
    case Op::slt:
    case Op::sltu:
      a_.cmp(s, t);
      if (op.kind == Op::slt)
        a_.setl(x86::al);
      else
        a_.setb(x86::al);
      a_.movzx(d.r32(), x86::al);
      moved = true;
      break;
    case Op::sll:
    case Op::sllw:
      shift([&](auto x, auto y, auto z) { a_.shlx(x, y, z); }, [&](auto x) { a_.shl(x, x86::cl); },
            op.kind == Op::sllw);
      moved = true;
      break;
    case Op::srl:
    case Op::srlw:
      shift([&](auto x, auto y, auto z) { a_.shrx(x, y, z); }, [&](auto x) { a_.shr(x, x86::cl); },
            op.kind == Op::srlw);
      moved = true;
      break;
    case Op::sra:
    case Op::sraw:
      shift([&](auto x, auto y, auto z) { a_.sarx(x, y, z); }, [&](auto x) { a_.sar(x, x86::cl); },
            op.kind == Op::sraw);
      moved = true;
      break;
    case Op::mul:
      move();
      a_.imul(w, t);
      break;
    case Op::mulw:
      move();
      a_.imul(w.r32(), t.r32());
      a_.movsxd(d, w.r32());
      moved = true;
      break;
    case Op::mulh:
    case Op::mulhu:
      if (s != x86::rax) a_.mov(x86::rax, s);
      if (op.kind == Op::mulh)
        a_.imul(t);
      else
        a_.mul(t);
      a_.mov(d, x86::rdx);
      moved = true;
      break;
    default:
      break;
  }
  if (!moved && w != d) a_.mov(d, w);
  written(rd);
  return true;
}

bool Emitter::emit_bits(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  unsigned scale = 0;
  switch (op.kind) {
    case Op::add_uw:
      scale = 1;
      break;
    case Op::sh1add:
    case Op::sh1add_uw:
      scale = 2;
      break;
    case Op::sh2add:
    case Op::sh2add_uw:
      scale = 4;
      break;
    case Op::sh3add:
    case Op::sh3add_uw:
      scale = 8;
      break;
    case Op::andn:
    case Op::orn:
    case Op::xnor:
    case Op::min:
    case Op::minu:
    case Op::max:
    case Op::maxu:
    case Op::sext_b:
    case Op::sext_h:
    case Op::zext_h:
    case Op::rev8:
    case Op::rori:
    case Op::slli_uw:
    case Op::bseti:
    case Op::bclri:
    case Op::binvi:
    case Op::bexti:
    case Op::czero_eqz:
    case Op::czero_nez:
      break;
    case Op::clz:
    case Op::ctz:
    case Op::clzw:
    case Op::ctzw:
      if (!features_.lzcnt || !features_.bmi1) return false;
      break;
    case Op::cpop:
    case Op::cpopw:
      if (!features_.popcnt) return false;
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  const x86::Gp s = source(rs1, x86::rax);
  const auto at = static_cast<unsigned>(op.fields.imm) & 63;
  if (scale) {
    const x86::Gp t = source(rs2, x86::rcx);
    const bool word = op.kind == Op::add_uw || op.kind == Op::sh1add_uw ||
                      op.kind == Op::sh2add_uw || op.kind == Op::sh3add_uw;
    x86::Gp index = s;
    if (word) {
      a_.mov(x86::eax, s.r32());
      index = x86::rax;
    }
    a_.lea(d, x86::ptr(t, index, static_cast<uint32_t>(std::countr_zero(scale))));
    written(rd);
    return true;
  }
  switch (op.kind) {
    case Op::andn:
    case Op::orn: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.not_(x86::rdx);
      if (op.kind == Op::andn)
        a_.and_(x86::rdx, s);
      else
        a_.or_(x86::rdx, s);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::xnor: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.xor_(x86::rdx, s);
      a_.not_(x86::rdx);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::min:
    case Op::minu:
    case Op::max:
    case Op::maxu: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.cmp(s, t);
      if (op.kind == Op::min)
        a_.cmovl(x86::rdx, s);
      else if (op.kind == Op::minu)
        a_.cmovb(x86::rdx, s);
      else if (op.kind == Op::max)
        a_.cmovg(x86::rdx, s);
      else
        a_.cmova(x86::rdx, s);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::czero_eqz:
    case Op::czero_nez: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, s);
      a_.xor_(x86::eax, x86::eax);
      a_.test(t, t);
      if (op.kind == Op::czero_eqz)
        a_.cmovz(x86::rdx, x86::rax);
      else
        a_.cmovnz(x86::rdx, x86::rax);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::sext_b:
      a_.movsx(d, s.r8());
      break;
    case Op::sext_h:
      a_.movsx(d, s.r16());
      break;
    case Op::zext_h:
      a_.movzx(d.r32(), s.r16());
      break;
    case Op::rev8:
      if (d != s) a_.mov(d, s);
      a_.bswap(d);
      break;
    case Op::rori:
      if (d != s) a_.mov(d, s);
      a_.ror(d, at);
      break;
    case Op::slli_uw:
      a_.mov(d.r32(), s.r32());
      a_.shl(d, at);
      break;
    case Op::bseti:
      if (d != s) a_.mov(d, s);
      a_.bts(d, at);
      break;
    case Op::bclri:
      if (d != s) a_.mov(d, s);
      a_.btr(d, at);
      break;
    case Op::binvi:
      if (d != s) a_.mov(d, s);
      a_.btc(d, at);
      break;
    case Op::bexti:
      if (d != s) a_.mov(d, s);
      a_.shr(d, at);
      a_.and_(d.r32(), 1);
      break;
    case Op::clz:
      a_.lzcnt(d, s);
      break;
    case Op::ctz:
      a_.tzcnt(d, s);
      break;
    case Op::clzw:
      a_.lzcnt(d.r32(), s.r32());
      break;
    case Op::ctzw:
      a_.tzcnt(d.r32(), s.r32());
      break;
    case Op::cpop:
      a_.popcnt(d, s);
      break;
    case Op::cpopw:
      a_.popcnt(d.r32(), s.r32());
      break;
    default:
      break;
  }
  written(rd);
  return true;
}

}  // namespace hv::jit
