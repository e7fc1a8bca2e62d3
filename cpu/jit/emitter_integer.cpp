// RV64I and M: what only computes on x registers.
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
    case Op::mulhsu:
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
    case Op::mulhsu: {
      // As mulhu; a negative first operand has counted 2^64 times the second too much.
      if (s != x86::rax) a_.mov(x86::rax, s);
      a_.mul(t);
      const x86::Gp first = source(rs1, x86::rax);
      if (first != x86::rax) a_.mov(x86::rax, first);
      a_.sar(x86::rax, 63);
      a_.and_(x86::rax, t);
      a_.sub(x86::rdx, x86::rax);
      a_.mov(d, x86::rdx);
      moved = true;
      break;
    }
    default:
      break;
  }
  if (!moved && w != d) a_.mov(d, w);
  written(rd);
  return true;
}

bool Emitter::emit_divide(const TraceOp& op) {
  bool is_signed = false, word = false, remainder = false;
  switch (op.kind) {
    case Op::div:
      is_signed = true;
      break;
    case Op::divu:
      break;
    case Op::rem:
      is_signed = remainder = true;
      break;
    case Op::remu:
      remainder = true;
      break;
    case Op::divw:
      is_signed = word = true;
      break;
    case Op::divuw:
      word = true;
      break;
    case Op::remw:
      is_signed = word = remainder = true;
      break;
    case Op::remuw:
      word = remainder = true;
      break;
    default:
      return false;
  }
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const x86::Gp s64 = source(op.fields.rs1, x86::rax), t64 = source(op.fields.rs2, x86::rcx);
  const auto width = [word](const x86::Gp& reg) { return word ? reg.r32() : reg; };
  const x86::Gp s = width(s64), t = width(t64), rax = width(x86::rax), rdx = width(x86::rdx);
  // Quotient in rax, remainder in rdx. The host traps where the guest has defined results.
  const asmjit::Label special = a_.newLabel(), back = a_.newLabel();
  if (is_signed) {
    a_.lea(rdx, x86::ptr(t64, 1));
    a_.cmp(rdx, 1);
    a_.jbe(special);
  } else {
    a_.test(t, t);
    a_.jz(special);
  }
  if (s != rax) a_.mov(rax, s);
  if (!is_signed) {
    a_.xor_(x86::edx, x86::edx);
    a_.div(t);
  } else {
    if (word)
      a_.cdq();
    else
      a_.cqo();
    a_.idiv(t);
  }
  a_.bind(back);
  const x86::Gp result = remainder ? rdx : rax;
  if (word)
    a_.movsxd(target(rd), result);
  else if (target(rd) != result)
    a_.mov(target(rd), result);
  written(rd);
  out_of_line([=, this] {
    a_.bind(special);
    if (!is_signed) {
      if (remainder)
        a_.mov(rdx, s);
      else
        a_.mov(rax, -1);
    } else if (remainder) {
      // rdx is 1 for a divisor of 0, 0 for -1.
      a_.imul(rdx, s);
    } else {
      const asmjit::Label negated = a_.newLabel();
      if (s != rax) a_.mov(rax, s);
      a_.neg(rax);
      a_.test(rdx, rdx);
      a_.jz(negated);
      a_.mov(rax, -1);
      a_.bind(negated);
    }
    a_.jmp(back);
  });
  return true;
}

}  // namespace hv::jit
