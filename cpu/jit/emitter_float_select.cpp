// Minimum, maximum, classification, and what Zfa adds that computes nothing.
#include "cpu/fpu_zfa.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

bool Emitter::emit_float_minmax(const TraceOp& op, bool single) {
  bool maximum = false, nan_wins = false;
  switch (op.kind) {
    HV_ALL(fmin) : break;
    HV_ALL(fmax) : maximum = true;
    break;
    HV_ALL(fminm) : nan_wins = true;
    break;
    HV_ALL(fmaxm) : maximum = nan_wins = true;
    break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd & 31;
  const x86::Xmm a = operand(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = operand(op, op.fields.rs2, single, x86::xmm1);
  const x86::Xmm d = x86::xmm0;
  if (d != a) a_.movaps(d, a);
  const auto compare = [=, this](x86::Xmm x, x86::Xmm y) {
    if (single)
      a_.ucomiss(x, y);
    else
      a_.ucomisd(x, y);
  };
  // The host's instruction takes the second operand for zeros of both signs and for NaNs, of which
  // quiet ones too are invalid to it.
  const asmjit::Label nan = a_.newLabel(), equal = a_.newLabel(), back = a_.newLabel();
  compare(d, b);
  a_.jp(nan);
  a_.je(equal);
  if (single && maximum)
    a_.maxss(d, b);
  else if (single)
    a_.minss(d, b);
  else if (maximum)
    a_.maxsd(d, b);
  else
    a_.minsd(d, b);
  a_.bind(back);
  if (is_half(op.kind)) round_to_half();
  float_written(rd, d, single);
  out_of_line([=, this] {
    a_.bind(equal);
    if (maximum)
      a_.andps(d, b);
    else
      a_.orps(d, b);
    a_.jmp(back);
    a_.bind(nan);
    if (!nan_wins) {
      compare(d, d);
      a_.jnp(back);
      a_.movaps(d, b);
      compare(d, d);
      a_.jnp(back);
    }
    a_.mov(x86::rax, single ? kNanSingle : kNanDouble);
    a_.movq(d, x86::rax);
    a_.jmp(back);
  });
  return true;
}

bool Emitter::emit_float_class(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_ALL(fclass) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd;
  const bool half = is_half(op.kind);
  const x86::Xmm a = half ? half_bits(op, op.fields.rs1, x86::xmm0)
                          : float_source(op, op.fields.rs1, single, x86::xmm0);
  if (rd >= 32) return true;
  const x86::Gp rax = single ? x86::Gp(x86::eax) : x86::Gp(x86::rax);
  const x86::Gp rdx = single ? x86::Gp(x86::edx) : x86::Gp(x86::rdx);
  const auto bits_to = [&](const x86::Gp& reg) {
    if (single)
      a_.movd(reg, a);
    else
      a_.movq(reg, a);
    if (half) a_.shl(reg, 16);
  };
  // ecx counts to the bit's number: 4 zero, 5 subnormal, 6 normal, 7 infinite; of a negative number
  // it is 7 less that. The sign is shifted out of what is compared.
  const auto count_from = [&](uint64_t limit) {
    a_.mov(rdx, limit);
    a_.cmp(rax, rdx);
    a_.sbb(x86::ecx, -1);
  };
  const asmjit::Label signless = a_.newLabel(), number = a_.newLabel();
  struct Limits {
    uint64_t normal, infinity, quiet;
  };
  const Limits limits = half     ? Limits{0x0800'0000, 0xf800'0000, 0x0400'0000}
                        : single ? Limits{0x0100'0000, 0xff00'0000, 0x0080'0000}
                                 : Limits{1ull << 53, 0x7ffull << 53, 1ull << 52};
  bits_to(rax);
  a_.add(rax, rax);
  a_.mov(x86::ecx, 4);
  a_.cmp(rax, 1);
  a_.sbb(x86::ecx, -1);
  count_from(limits.normal);
  count_from(limits.infinity);
  a_.cmp(rax, rdx);
  a_.jbe(number);
  a_.mov(x86::ecx, 8);
  count_from(limits.infinity | limits.quiet);
  a_.jmp(signless);
  a_.bind(number);
  bits_to(rdx);
  a_.sar(rdx, single ? 31 : 63);
  a_.and_(x86::edx, 7);
  a_.xor_(x86::ecx, x86::edx);
  a_.bind(signless);
  a_.mov(x86::eax, 1);
  a_.shl(x86::eax, x86::cl);
  if (target(rd) != x86::rax) a_.mov(target(rd).r32(), x86::eax);
  written(rd);
  return true;
}

bool Emitter::emit_float_immediate(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_ALL(fli) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned index = op.fields.rs1 & 31;
  a_.mov(x86::rax, is_half(op.kind) ? fp::detail::load_immediate<fp::Half>(index)
                   : single         ? fp::detail::load_immediate<float>(index)
                                    : fp::detail::load_immediate<double>(index));
  a_.movq(x86::xmm0, x86::rax);
  float_written(op.fields.rd & 31, x86::xmm0, single);
  return true;
}

}  // namespace hv::jit
