// To an integer in the same format, and what is made of it.
#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

// Leaves `a` rounded in xmm0, the upper bits of `a` with it; uses rax, rcx, rdx and xmm1, which may
// be `a`. kNoRm is the host's rounding control. The inexact flag is raised only if `inexact`.
void Emitter::emit_round(x86::Xmm a, unsigned rm, bool single, bool inexact) {
  constexpr unsigned kNearest = 0, kDown = 1, kUp = 2, kTruncate = 3, kByControl = 4;
  constexpr unsigned kNoInexact = 8;
  static constexpr unsigned kModes[] = {kNearest, kTruncate, kDown, kUp};
  const bool away = rm == fp::kNearestMaxMagnitude;
  const unsigned mode = (away          ? kTruncate
                         : rm == kNoRm ? kByControl
                                       : kModes[rm]) |
                        (away || !inexact ? kNoInexact : 0);
  a_.movaps(x86::xmm0, a);
  if (single)
    a_.roundss(x86::xmm0, a, mode);
  else
    a_.roundsd(x86::xmm0, a, mode);
  if (!away) return;

  // Truncated, and one more if the rest is a half or more. Large numbers, infinities and NaNs have
  // no rest.
  const asmjit::Label done = a_.newLabel();
  const x86::Gp rax = single ? x86::Gp(x86::eax) : x86::Gp(x86::rax);
  const x86::Gp rcx = single ? x86::Gp(x86::ecx) : x86::Gp(x86::rcx);
  const x86::Gp rdx = single ? x86::Gp(x86::edx) : x86::Gp(x86::rdx);
  const auto bits_to = [&](const x86::Gp& reg, x86::Xmm from) {
    if (single)
      a_.movd(reg, from);
    else
      a_.movq(reg, from);
  };
  // Whether |reg| < limit: the sign is shifted out of both.
  const auto below = [&](const x86::Gp& reg, uint64_t limit) {
    a_.add(reg, reg);
    a_.mov(rcx, limit << 1);
    a_.cmp(reg, rcx);
  };
  bits_to(rax, a);
  below(rax, single ? 0x4b00'0000 : 0x4330'0000'0000'0000);
  a_.jae(done);
  if (inexact) {
    if (single)
      a_.cvttss2si(x86::rax, a);
    else
      a_.cvttsd2si(x86::rax, a);
  }
  if (a != x86::xmm1) a_.movaps(x86::xmm1, a);
  if (single)
    a_.subss(x86::xmm1, x86::xmm0);
  else
    a_.subsd(x86::xmm1, x86::xmm0);
  bits_to(rax, x86::xmm1);
  a_.mov(rdx, rax);
  below(rdx, single ? 0x3f00'0000 : 0x3fe0'0000'0000'0000);
  a_.jb(done);
  a_.shr(rax, single ? 31 : 63);
  a_.shl(rax, single ? 31 : 63);
  a_.mov(rcx, single ? 0x3f80'0000 : 0x3ff0'0000'0000'0000);
  a_.or_(rax, rcx);
  if (single) {
    a_.movd(x86::xmm1, x86::eax);
    a_.addss(x86::xmm0, x86::xmm1);
  } else {
    a_.movq(x86::xmm1, x86::rax);
    a_.addsd(x86::xmm0, x86::xmm1);
  }
  a_.bind(done);
}

bool Emitter::emit_float_round(const TraceOp& op, bool single) {
  bool inexact = false;
  switch (op.kind) {
    HV_ALL(fround) : break;
    HV_ALL(froundnx) : inexact = true;
    break;
    default:
      return false;
  }
  if (!features_.sse4_1) return false;
  check_float(op, true);
  const x86::Xmm a = operand(op, op.fields.rs1, single, x86::xmm1);
  emit_round(a, rm_of(op), single, inexact);
  if (is_half(op.kind))
    round_to_half();
  else
    canonical(x86::xmm0, single);
  float_written(op.fields.rd & 31, x86::xmm0, single);
  return true;
}

// As the conversion towards zero, but what does not fit keeps its low bits.
bool Emitter::emit_float_modulo(const TraceOp& op) {
  if (op.kind != Op::fcvtmod_w_d) return false;
  check_float(op, true);
  const unsigned rd = op.fields.rd;
  const x86::Xmm a = float_source(op, op.fields.rs1, false, x86::xmm0);
  const asmjit::Label unfit = a_.newLabel(), done = a_.newLabel();
  body_out_of_line(op, unfit, done);
  a_.cvttsd2si(x86::eax, a);
  a_.cmp(x86::eax, static_cast<int32_t>(1u << 31));
  a_.je(unfit);
  if (rd < 32) a_.movsxd(target(rd), x86::eax);
  a_.bind(done);
  written(rd);
  return true;
}

}  // namespace hv::jit
