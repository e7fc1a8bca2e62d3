// B and Zicond: what only computes on x registers.
#include <bit>

#include "cpu/jit/emitter.h"

namespace hv::jit {

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
