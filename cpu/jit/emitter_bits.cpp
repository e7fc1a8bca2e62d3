// B and Zicond: what only computes on x registers.
#include <bit>
#include <utility>

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
    case Op::orc_b:
    case Op::rori:
    case Op::roriw:
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
    case Op::mop_r:
    case Op::mop_rr:
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
    case Op::roriw:
      a_.mov(x86::ecx, s.r32());
      a_.ror(x86::ecx, at & 31);
      a_.movsxd(d, x86::ecx);
      break;
    case Op::orc_b:
      a_.pxor(x86::xmm1, x86::xmm1);
      a_.movq(x86::xmm0, s);
      a_.pcmpeqb(x86::xmm0, x86::xmm1);
      a_.movq(d, x86::xmm0);
      a_.not_(d);
      break;
    case Op::mop_r:
    case Op::mop_rr:
      a_.xor_(d.r32(), d.r32());
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
    case Op::clzw: {
      const bool word = op.kind == Op::clzw;
      if (features_.lzcnt) {
        a_.lzcnt(word ? d.r32() : d, word ? s.r32() : s);
        break;
      }
      // Of 0, what becomes the width below.
      a_.mov(x86::edx, word ? 63 : 127);
      a_.bsr(word ? x86::Gp(x86::ecx) : x86::Gp(x86::rcx), word ? s.r32() : s);
      a_.cmovz(x86::ecx, x86::edx);
      a_.xor_(x86::ecx, word ? 31 : 63);
      a_.mov(d.r32(), x86::ecx);
      break;
    }
    case Op::ctz:
    case Op::ctzw: {
      const bool word = op.kind == Op::ctzw;
      if (features_.bmi1) {
        a_.tzcnt(word ? d.r32() : d, word ? s.r32() : s);
        break;
      }
      a_.mov(x86::edx, word ? 32 : 64);
      a_.bsf(word ? x86::Gp(x86::ecx) : x86::Gp(x86::rcx), word ? s.r32() : s);
      a_.cmovz(x86::ecx, x86::edx);
      a_.mov(d.r32(), x86::ecx);
      break;
    }
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

// By an amount or a bit number in a register.
bool Emitter::emit_rotate(const TraceOp& op) {
  enum { kRotate, kBit } shape = kRotate;
  switch (op.kind) {
    case Op::rol:
    case Op::ror:
    case Op::rolw:
    case Op::rorw:
      break;
    case Op::bset:
    case Op::bclr:
    case Op::binv:
    case Op::bext:
      shape = kBit;
      break;
    default:
      return false;
  }
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  const x86::Gp s = source(op.fields.rs1, x86::rax), t = source(op.fields.rs2, x86::rcx);
  if (shape == kRotate) {
    // Both instructions take the amount modulo the width.
    if (t != x86::rcx) a_.mov(x86::ecx, t.r32());
    if (d != s) a_.mov(d, s);
    const bool word = op.kind == Op::rolw || op.kind == Op::rorw;
    const x86::Gp value = word ? d.r32() : d;
    if (op.kind == Op::rol || op.kind == Op::rolw)
      a_.rol(value, x86::cl);
    else
      a_.ror(value, x86::cl);
    if (word) a_.movsxd(d, value);
    written(rd);
    return true;
  }
  if (op.kind == Op::bext) {
    a_.bt(s, t);
    a_.setc(x86::al);
    a_.movzx(d.r32(), x86::al);
    written(rd);
    return true;
  }
  const x86::Gp w = d == t && d != s ? x86::Gp(x86::rax) : d;
  if (w != s) a_.mov(w, s);
  if (op.kind == Op::bset)
    a_.bts(w, t);
  else if (op.kind == Op::bclr)
    a_.btr(w, t);
  else
    a_.btc(w, t);
  if (w != d) a_.mov(d, w);
  written(rd);
  return true;
}

// Zbkb, Zbkx and carry-less products.
bool Emitter::emit_pack(const TraceOp& op) {
  switch (op.kind) {
    case Op::pack:
    case Op::packh:
    case Op::packw:
    case Op::brev8:
      break;
    case Op::clmul:
    case Op::clmulh:
    case Op::clmulr:
      if (!features_.pclmulqdq) return false;
      break;
    case Op::xperm4:
    case Op::xperm8:
      if (!features_.sse4_1) return false;
      break;
    default:
      return false;
  }
  const unsigned rd = op.fields.rd;
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  const x86::Gp s = source(op.fields.rs1, x86::rax);
  if (op.kind == Op::brev8) {
    if (s != x86::rax) a_.mov(x86::rax, s);
    // Neighbouring bits, pairs and nibbles change places.
    for (const auto& [mask, distance] :
         {std::pair{0x5555'5555'5555'5555ull, 1}, std::pair{0x3333'3333'3333'3333ull, 2},
          std::pair{0x0f0f'0f0f'0f0f'0f0full, 4}}) {
      a_.mov(x86::rcx, mask);
      a_.mov(x86::rdx, x86::rax);
      a_.shr(x86::rdx, distance);
      a_.and_(x86::rdx, x86::rcx);
      a_.and_(x86::rax, x86::rcx);
      a_.shl(x86::rax, distance);
      a_.or_(x86::rax, x86::rdx);
    }
    if (d != x86::rax) a_.mov(d, x86::rax);
    written(rd);
    return true;
  }
  const x86::Gp t = source(op.fields.rs2, x86::rcx);
  switch (op.kind) {
    case Op::pack:
      a_.mov(x86::rdx, t);
      a_.shl(x86::rdx, 32);
      a_.mov(x86::eax, s.r32());
      a_.or_(x86::rdx, x86::rax);
      a_.mov(d, x86::rdx);
      break;
    case Op::packh:
      a_.movzx(x86::edx, t.r8());
      a_.shl(x86::edx, 8);
      a_.movzx(x86::eax, s.r8());
      a_.or_(x86::edx, x86::eax);
      a_.mov(d.r32(), x86::edx);
      break;
    case Op::packw:
      a_.mov(x86::edx, t.r32());
      a_.shl(x86::edx, 16);
      a_.movzx(x86::eax, s.r16());
      a_.or_(x86::edx, x86::eax);
      a_.movsxd(d, x86::edx);
      break;
    case Op::xperm4:
      emit_permute(d, s, t);
      break;
    case Op::xperm8:
      // pshufb gives 0 for a number with the highest bit: 16 and more get it here. Of the table's
      // 16 bytes the upper ones are 0.
      a_.mov(x86::rdx, 0x7070'7070'7070'7070);
      a_.movq(x86::xmm0, x86::rdx);
      a_.movq(x86::xmm1, t);
      a_.paddusb(x86::xmm1, x86::xmm0);
      a_.movq(x86::xmm0, s);
      a_.pshufb(x86::xmm0, x86::xmm1);
      a_.movq(d, x86::xmm0);
      break;
    default:
      a_.movq(x86::xmm0, s);
      a_.movq(x86::xmm1, t);
      a_.pclmulqdq(x86::xmm0, x86::xmm1, 0);
      if (op.kind == Op::clmulr) a_.movq(x86::rax, x86::xmm0);
      if (op.kind != Op::clmul) a_.psrldq(x86::xmm0, 8);
      a_.movq(x86::rdx, x86::xmm0);
      // Bits 126 to 63.
      if (op.kind == Op::clmulr) a_.shld(x86::rdx, x86::rax, 1);
      a_.mov(d, x86::rdx);
      break;
  }
  written(rd);
  return true;
}

// xperm4: nibbles become bytes, for pshufb, and then nibbles again.
void Emitter::emit_permute(const x86::Gp& d, const x86::Gp& s, const x86::Gp& t) {
  // Below the stack, where signal handlers leave 128 bytes alone.
  const x86::Mem places = x86::xmmword_ptr(x86::rsp, -16);
  const auto spread = [&](const x86::Gp& nibbles) {
    a_.mov(x86::rdx, nibbles);
    a_.shr(x86::rdx, 4);
    a_.movq(x86::xmm0, nibbles);
    a_.movq(x86::xmm1, x86::rdx);
    a_.punpcklbw(x86::xmm0, x86::xmm1);
  };
  const auto repeated = [&](x86::Xmm to, uint64_t pattern) {
    a_.mov(x86::rdx, pattern);
    a_.movq(to, x86::rdx);
    a_.punpcklqdq(to, to);
  };
  spread(t);
  // A byte with the highest bit would be no place.
  repeated(x86::xmm1, 0x0f0f'0f0f'0f0f'0f0f);
  a_.pand(x86::xmm0, x86::xmm1);
  a_.movups(places, x86::xmm0);
  spread(s);
  repeated(x86::xmm1, 0x0f0f'0f0f'0f0f'0f0f);
  a_.pand(x86::xmm0, x86::xmm1);
  a_.movups(x86::xmm1, places);
  a_.pshufb(x86::xmm0, x86::xmm1);
  // The first of each two bytes, and 16 times the second.
  repeated(x86::xmm1, 0x1001'1001'1001'1001);
  a_.pmaddubsw(x86::xmm0, x86::xmm1);
  a_.packuswb(x86::xmm0, x86::xmm0);
  a_.movq(d, x86::xmm0);
}

}  // namespace hv::jit
