// Moves between x and f registers, and conversions.
#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

bool Emitter::emit_float_convert(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1;
  const unsigned rm = rm_of(op);
  switch (op.kind) {
    case Op::fmv_x_d:
    case Op::fmv_x_w: {
      check_float(op, true);
      const x86::Xmm a = float_source(op, rs1, false, x86::xmm0);
      if (rd >= 32) return true;
      const x86::Gp d = target(rd);
      a_.movq(d, a);
      if (op.kind == Op::fmv_x_w) a_.movsxd(d, d.r32());
      written(rd);
      return true;
    }
    case Op::fmv_d_x:
    case Op::fmv_w_x: {
      check_float(op, true);
      x86::Gp s = source(rs1, x86::rax);
      const bool single = op.kind == Op::fmv_w_x;
      if (single) {
        if (s != x86::rax)
          a_.mov(x86::eax, s.r32());
        else
          a_.mov(x86::eax, x86::eax);
        a_.mov(x86::rcx, kBoxSingle);
        a_.or_(x86::rax, x86::rcx);
        s = x86::rax;
      }
      a_.movq(x86::xmm0, s);
      float_written(rd & 31, x86::xmm0, single);
      return true;
    }
    case Op::fcvt_d_w:
    case Op::fcvt_d_l:
    case Op::fcvt_s_w:
    case Op::fcvt_s_l: {
      // Exact from 32 bits to double; the others round.
      if (rm != kNoRm && op.kind != Op::fcvt_d_w) return false;
      check_float(op, true);
      const x86::Gp s = source(rs1, x86::rax);
      const bool single = op.kind == Op::fcvt_s_w || op.kind == Op::fcvt_s_l;
      if (single) {
        // The conversion keeps the upper bits: the box.
        a_.pcmpeqd(x86::xmm0, x86::xmm0);
        if (op.kind == Op::fcvt_s_w)
          a_.cvtsi2ss(x86::xmm0, s.r32());
        else
          a_.cvtsi2ss(x86::xmm0, s);
      } else {
        a_.xorps(x86::xmm0, x86::xmm0);
        if (op.kind == Op::fcvt_d_w)
          a_.cvtsi2sd(x86::xmm0, s.r32());
        else
          a_.cvtsi2sd(x86::xmm0, s);
      }
      float_written(rd & 31, x86::xmm0, single);
      return true;
    }
    case Op::fcvt_w_d:
    case Op::fcvt_l_d:
    case Op::fcvt_w_s:
    case Op::fcvt_l_s: {
      if (rm != kNoRm && rm != fp::kTowardZero) return false;
      check_float(op, true);
      const bool single = op.kind == Op::fcvt_w_s || op.kind == Op::fcvt_l_s;
      const bool word = op.kind == Op::fcvt_w_d || op.kind == Op::fcvt_w_s;
      const bool truncate = rm == fp::kTowardZero;
      const x86::Xmm a = float_source(op, rs1, single, x86::xmm0);
      const x86::Gp to = word ? x86::Gp(x86::eax) : x86::Gp(x86::rax);
      if (single && truncate)
        a_.cvttss2si(to, a);
      else if (single)
        a_.cvtss2si(to, a);
      else if (truncate)
        a_.cvttsd2si(to, a);
      else
        a_.cvtsd2si(to, a);
      // The smallest integer is what the host gives for all that does not fit.
      a_.mov(x86::rcx, word ? uint64_t{1} << 31 : uint64_t{1} << 63);
      if (word)
        a_.cmp(x86::eax, x86::ecx);
      else
        a_.cmp(x86::rax, x86::rcx);
      a_.je(interpret_at(op));
      if (rd >= 32) return true;
      if (word)
        a_.movsxd(target(rd), x86::eax);
      else if (target(rd) != x86::rax)
        a_.mov(target(rd), x86::rax);
      written(rd);
      return true;
    }
    case Op::fcvt_d_s: {
      check_float(op, true);
      const x86::Xmm a = float_source(op, rs1, true, x86::xmm1);
      a_.xorps(x86::xmm0, x86::xmm0);
      a_.cvtss2sd(x86::xmm0, a);
      canonical(x86::xmm0, false);
      float_written(rd & 31, x86::xmm0, false);
      return true;
    }
    case Op::fcvt_s_d: {
      if (rm != kNoRm) return false;
      check_float(op, true);
      const x86::Xmm a = float_source(op, rs1, false, x86::xmm1);
      a_.pcmpeqd(x86::xmm0, x86::xmm0);
      a_.cvtsd2ss(x86::xmm0, a);
      canonical(x86::xmm0, true);
      float_written(rd & 31, x86::xmm0, true);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace hv::jit
