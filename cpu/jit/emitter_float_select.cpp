// Minimum, maximum, classification, and what Zfa adds that computes nothing.
#include "cpu/fpu_zfa.h"
#include "cpu/jit/emitter_float.h"

namespace hv::jit {

bool Emitter::emit_float_minmax(const TraceOp& op, bool single) {
  bool maximum = false, nan_wins = false;
  switch (op.kind) {
    HV_BOTH(fmin) : break;
    HV_BOTH(fmax) : maximum = true;
    break;
    HV_BOTH(fminm) : nan_wins = true;
    break;
    HV_BOTH(fmaxm) : maximum = nan_wins = true;
    break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd & 31;
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = float_source(op, op.fields.rs2, single, x86::xmm1);
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
    HV_BOTH(fclass) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd;
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  if (rd >= 32) return true;
  const x86::Gp rax = single ? x86::Gp(x86::eax) : x86::Gp(x86::rax);
  const x86::Gp rdx = single ? x86::Gp(x86::edx) : x86::Gp(x86::rdx);
  const auto bits_to = [&](const x86::Gp& reg) {
    if (single)
      a_.movd(reg, a);
    else
      a_.movq(reg, a);
  };
  // ecx counts to the bit's number: 4 zero, 5 subnormal, 6 normal, 7 infinite; of a negative number
  // it is 7 less that. The sign is shifted out of what is compared.
  const auto count_from = [&](uint64_t limit) {
    a_.mov(rdx, limit);
    a_.cmp(rax, rdx);
    a_.sbb(x86::ecx, -1);
  };
  const asmjit::Label signless = a_.newLabel(), number = a_.newLabel();
  const uint64_t infinity = single ? 0xff00'0000 : 0xffe0'0000'0000'0000;
  bits_to(rax);
  a_.add(rax, rax);
  a_.mov(x86::ecx, 4);
  a_.cmp(rax, 1);
  a_.sbb(x86::ecx, -1);
  count_from(single ? 0x0100'0000 : 0x0020'0000'0000'0000);
  count_from(infinity);
  a_.cmp(rax, rdx);
  a_.jbe(number);
  a_.mov(x86::ecx, 8);
  count_from(infinity | (single ? 0x0080'0000 : 0x0010'0000'0000'0000));
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
    HV_BOTH(fli) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned index = op.fields.rs1 & 31;
  a_.mov(x86::rax, single ? fp::detail::load_immediate<float>(index)
                          : fp::detail::load_immediate<double>(index));
  a_.movq(x86::xmm0, x86::rax);
  float_written(op.fields.rd & 31, x86::xmm0, single);
  return true;
}

}  // namespace hv::jit
