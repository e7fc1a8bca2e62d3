// Moves between x and f registers, and conversions.
#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

// An operation between these rounds as the instruction says, by the host's rounding control, and
// may not use rax. The memory is below the stack, where signal handlers leave 128 bytes alone.
void Emitter::begin_rounding(const TraceOp& op) {
  static constexpr uint32_t kControl[] = {0, 3u << 13, 1u << 13, 2u << 13};
  const unsigned rm = rm_of(op);
  if (rm == kNoRm) return;
  const x86::Mem before = x86::dword_ptr(x86::rsp, -8), during = x86::dword_ptr(x86::rsp, -4);
  a_.stmxcsr(before);
  a_.mov(x86::eax, before);
  a_.and_(x86::eax, static_cast<int32_t>(~fp::host::kRoundingControl));
  if (kControl[rm]) a_.or_(x86::eax, kControl[rm]);
  a_.mov(during, x86::eax);
  a_.ldmxcsr(during);
}

void Emitter::end_rounding(const TraceOp& op) {
  if (rm_of(op) == kNoRm) return;
  const x86::Mem before = x86::dword_ptr(x86::rsp, -8), during = x86::dword_ptr(x86::rsp, -4);
  a_.stmxcsr(during);
  a_.mov(x86::eax, during);
  a_.and_(x86::eax, fp::host::kSticky);
  a_.or_(before, x86::eax);
  a_.ldmxcsr(before);
}

bool Emitter::emit_from_integer(const TraceOp& op) {
  bool single = false, word = false, is_signed = false;
  switch (op.kind) {
    case Op::fcvt_h_w:
    case Op::fcvt_s_w:
      single = word = is_signed = true;
      break;
    case Op::fcvt_h_wu:
    case Op::fcvt_s_wu:
      single = word = true;
      break;
    case Op::fcvt_h_l:
    case Op::fcvt_s_l:
      single = is_signed = true;
      break;
    case Op::fcvt_h_lu:
    case Op::fcvt_s_lu:
      single = true;
      break;
    case Op::fcvt_d_w:
      word = is_signed = true;
      break;
    case Op::fcvt_d_wu:
      word = true;
      break;
    case Op::fcvt_d_l:
      is_signed = true;
      break;
    case Op::fcvt_d_lu:
      break;
    default:
      return false;
  }
  // What single precision rounds is infinite or the largest number as a half.
  const bool half = op.kind == Op::fcvt_h_w || op.kind == Op::fcvt_h_wu ||
                    op.kind == Op::fcvt_h_l || op.kind == Op::fcvt_h_lu;
  if (half && !features_.f16c) return false;
  // From 32 bits to double nothing is rounded.
  const bool rounds = single || !word;
  if (rounds && rm_of(op) == fp::kNearestMaxMagnitude) return false;
  check_float(op, true);
  x86::Gp s = source(op.fields.rs1, x86::rcx);
  if (word && !is_signed) {
    a_.mov(x86::ecx, s.r32());
    s = x86::rcx;
  }
  // The conversion keeps the upper bits: the box.
  if (single)
    a_.pcmpeqd(x86::xmm0, x86::xmm0);
  else
    a_.xorps(x86::xmm0, x86::xmm0);
  const auto convert = [=, this](x86::Gp from) {
    if (word && is_signed) from = from.r32();
    if (single)
      a_.cvtsi2ss(x86::xmm0, from);
    else
      a_.cvtsi2sd(x86::xmm0, from);
  };
  if (rounds) begin_rounding(op);
  if (word || is_signed) {
    convert(s);
  } else {
    const asmjit::Label large = a_.newLabel(), back = a_.newLabel();
    a_.test(s, s);
    a_.js(large);
    convert(s);
    a_.bind(back);
    out_of_line([=, this] {
      // Half of it, with the lost bit kept where it only says that there is something.
      a_.bind(large);
      a_.mov(x86::rdx, s);
      a_.mov(x86::eax, s.r32());
      a_.and_(x86::eax, 1);
      a_.shr(x86::rdx, 1);
      a_.or_(x86::rdx, x86::rax);
      convert(x86::rdx);
      if (single)
        a_.addss(x86::xmm0, x86::xmm0);
      else
        a_.addsd(x86::xmm0, x86::xmm0);
      a_.jmp(back);
    });
  }
  if (half) round_to_half();
  if (rounds) end_rounding(op);
  float_written(op.fields.rd & 31, x86::xmm0, single);
  return true;
}

bool Emitter::emit_to_integer(const TraceOp& op) {
  bool single = false, word = false, is_signed = false;
  switch (op.kind) {
    case Op::fcvt_w_h:
    case Op::fcvt_w_s:
      single = word = is_signed = true;
      break;
    case Op::fcvt_wu_h:
    case Op::fcvt_wu_s:
      single = word = true;
      break;
    case Op::fcvt_l_h:
    case Op::fcvt_l_s:
      single = is_signed = true;
      break;
    case Op::fcvt_lu_h:
    case Op::fcvt_lu_s:
      single = true;
      break;
    case Op::fcvt_w_d:
      word = is_signed = true;
      break;
    case Op::fcvt_wu_d:
      word = true;
      break;
    case Op::fcvt_l_d:
      is_signed = true;
      break;
    case Op::fcvt_lu_d:
      break;
    default:
      return false;
  }
  const unsigned rm = rm_of(op), rd = op.fields.rd;
  const bool rounded = rm != kNoRm && rm != fp::kTowardZero;
  if (rounded && !features_.sse4_1) return false;
  check_float(op, true);
  const x86::Xmm a = operand(op, op.fields.rs1, single, x86::xmm1);
  if (rounded) {
    emit_round(a, rm, single, false);
    // emit_round() may have lost it.
    if (a == x86::xmm1 && rm == fp::kNearestMaxMagnitude) operand(op, op.fields.rs1, single, a);
  }
  const x86::Xmm value = rounded ? x86::Xmm(x86::xmm0) : a;
  const auto convert = [=, this](const x86::Gp& to, x86::Xmm from, bool truncate) {
    if (single && truncate)
      a_.cvttss2si(to, from);
    else if (single)
      a_.cvtss2si(to, from);
    else if (truncate)
      a_.cvttsd2si(to, from);
    else
      a_.cvtsd2si(to, from);
  };
  const bool truncate = rm != kNoRm;
  const asmjit::Label unfit = a_.newLabel(), done = a_.newLabel(), back = a_.newLabel();
  body_out_of_line(op, unfit, done);
  if (is_signed) {
    convert(word ? x86::Gp(x86::eax) : x86::Gp(x86::rax), value, truncate);
    // The smallest integer is what the host gives for all that does not fit.
    a_.mov(x86::rcx, word ? uint64_t{1} << 31 : uint64_t{1} << 63);
    if (word)
      a_.cmp(x86::eax, x86::ecx);
    else
      a_.cmp(x86::rax, x86::rcx);
    a_.je(unfit);
  } else {
    // What does not fit must not reach the host, which might call it inexact. Bits above the limit:
    // too large, negative or a NaN.
    if (single)
      a_.movd(x86::eax, value);
    else
      a_.movq(x86::rax, value);
    if (word) {
      const uint64_t largest = single     ? 0x4f7f'ffff
                               : truncate ? 0x41ef'ffff'ffff'ffff
                                          : 0x41ef'ffff'ffe0'0000;
      a_.mov(x86::rcx, largest);
      a_.cmp(x86::rax, x86::rcx);
      a_.ja(unfit);
    } else {
      const uint64_t limit = single ? 0x5f00'0000 : 0x43e0'0000'0000'0000;
      const uint64_t end = single ? 0x5f80'0000 : 0x43f0'0000'0000'0000;
      const asmjit::Label large = a_.newLabel();
      a_.mov(x86::rcx, limit);
      a_.cmp(x86::rax, x86::rcx);
      a_.jae(large);
      out_of_line([=, this] {
        // An integer from 2^63 on: without its highest bit it is one below.
        a_.bind(large);
        a_.mov(x86::rdx, end);
        a_.cmp(x86::rax, x86::rdx);
        a_.jae(unfit);
        if (value != x86::xmm0) a_.movaps(x86::xmm0, value);
        a_.movq(x86::xmm1, x86::rcx);
        if (single)
          a_.subss(x86::xmm0, x86::xmm1);
        else
          a_.subsd(x86::xmm0, x86::xmm1);
        convert(x86::rax, x86::xmm0, true);
        a_.btc(x86::rax, 63);
        a_.jmp(back);
      });
    }
    convert(x86::rax, value, truncate);
  }
  // For the flag of what was not an integer.
  if (rounded) convert(x86::rdx, a, true);
  a_.bind(back);
  if (word && rd < 32)
    a_.movsxd(target(rd), x86::eax);
  else if (rd < 32 && target(rd) != x86::rax)
    a_.mov(target(rd), x86::rax);
  a_.bind(done);
  written(rd);
  return true;
}

bool Emitter::emit_float_convert(const TraceOp& op) {
  if (emit_from_integer(op) || emit_to_integer(op) || emit_half_convert(op)) return true;
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1;
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
      if (rm_of(op) == fp::kNearestMaxMagnitude) return false;
      check_float(op, true);
      const x86::Xmm a = float_source(op, rs1, false, x86::xmm1);
      a_.pcmpeqd(x86::xmm0, x86::xmm0);
      begin_rounding(op);
      a_.cvtsd2ss(x86::xmm0, a);
      end_rounding(op);
      canonical(x86::xmm0, true);
      float_written(rd & 31, x86::xmm0, true);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace hv::jit
