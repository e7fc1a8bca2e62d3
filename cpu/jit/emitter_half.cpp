// Zfh and Zfhmin: conversions by F16C, the rest in single precision. What would round twice, the
// fused operations and from double, is left to the rows' bodies.
#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

// As float_source(), for a half.
x86::Xmm Emitter::half_bits(const TraceOp& op, unsigned reg, x86::Xmm scratch) {
  const x86::Xmm value = float_source(op, reg, false, scratch);
  a_.movq(x86::rax, value);
  a_.sar(x86::rax, 16);
  a_.cmp(x86::rax, -1);
  a_.jne(interpret_at(op));
  return value;
}

// What an instruction computes with: halves as singles, in `scratch`.
x86::Xmm Emitter::operand(const TraceOp& op, unsigned reg, bool single, x86::Xmm scratch) {
  if (!is_half(op.kind)) return float_source(op, reg, single, scratch);
  const x86::Xmm value = half_bits(op, reg, scratch);
  a_.vcvtph2ps(scratch, value);
  return scratch;
}

// From the single in xmm0 to the register's value there, by the host's rounding control.
void Emitter::round_to_half() {
  constexpr unsigned kByControl = 4;
  const asmjit::Label nan = a_.newLabel(), back = a_.newLabel();
  a_.ucomiss(x86::xmm0, x86::xmm0);
  a_.jp(nan);
  // The host converts what stands above it too.
  a_.movd(x86::eax, x86::xmm0);
  a_.movd(x86::xmm0, x86::eax);
  a_.vcvtps2ph(x86::xmm0, x86::xmm0, kByControl);
  a_.movd(x86::eax, x86::xmm0);
  a_.or_(x86::rax, kBoxHalf);
  a_.bind(back);
  a_.movq(x86::xmm0, x86::rax);
  out_of_line([=, this] {
    a_.bind(nan);
    a_.mov(x86::rax, kNanHalf);
    a_.jmp(back);
  });
}

// What only moves bits.
bool Emitter::emit_half_bits(const TraceOp& op) {
  const unsigned rd = op.fields.rd;
  switch (op.kind) {
    case Op::fmv_x_h: {
      check_float(op, true);
      const x86::Xmm a = float_source(op, op.fields.rs1, false, x86::xmm0);
      if (rd >= 32) return true;
      a_.movd(x86::eax, a);
      a_.movsx(target(rd), x86::ax);
      written(rd);
      return true;
    }
    case Op::fmv_h_x: {
      check_float(op, true);
      const x86::Gp s = source(op.fields.rs1, x86::rax);
      if (s != x86::rax) a_.mov(x86::rax, s);
      a_.or_(x86::rax, kBoxHalf);
      break;
    }
    case Op::fsgnj_h:
    case Op::fsgnjn_h:
    case Op::fsgnjx_h: {
      check_float(op, true);
      const x86::Xmm a = half_bits(op, op.fields.rs1, x86::xmm0);
      const x86::Xmm b = half_bits(op, op.fields.rs2, x86::xmm1);
      a_.movd(x86::ecx, b);
      if (op.kind == Op::fsgnjn_h) a_.not_(x86::ecx);
      a_.and_(x86::ecx, 1 << 15);
      a_.movq(x86::rax, a);
      if (op.kind != Op::fsgnjx_h) a_.btr(x86::rax, 15);
      a_.xor_(x86::rax, x86::rcx);
      break;
    }
    default:
      return false;
  }
  a_.movq(x86::xmm0, x86::rax);
  float_written(rd & 31, x86::xmm0, true);
  return true;
}

bool Emitter::emit_half_convert(const TraceOp& op) {
  const unsigned rd = op.fields.rd & 31, rs1 = op.fields.rs1;
  if (!features_.f16c) return false;
  switch (op.kind) {
    case Op::fcvt_s_h:
      check_float(op, true);
      operand(op, rs1, true, x86::xmm0);
      a_.movd(x86::eax, x86::xmm0);
      a_.mov(x86::rcx, kBoxSingle);
      a_.or_(x86::rax, x86::rcx);
      a_.movq(x86::xmm0, x86::rax);
      canonical(x86::xmm0, true);
      float_written(rd, x86::xmm0, true);
      return true;
    case Op::fcvt_d_h:
      check_float(op, true);
      operand(op, rs1, true, x86::xmm1);
      a_.xorps(x86::xmm0, x86::xmm0);
      a_.cvtss2sd(x86::xmm0, x86::xmm1);
      canonical(x86::xmm0, false);
      float_written(rd, x86::xmm0, false);
      return true;
    case Op::fcvt_h_s: {
      if (rm_of(op) == fp::kNearestMaxMagnitude) return false;
      check_float(op, true);
      const x86::Xmm a = float_source(op, rs1, true, x86::xmm0);
      if (a != x86::xmm0) a_.movaps(x86::xmm0, a);
      begin_rounding(op);
      round_to_half();
      end_rounding(op);
      float_written(rd, x86::xmm0, true);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace hv::jit
