// F and D on the host's SSE, as cpu/fpu.h does it: the guest's rounding mode stands in MXCSR, whose
// sticky flags are the guest's. What the host does otherwise is left to the interpreter.
#include <algorithm>

#include "cpu/fpu.h"
#include "cpu/jit/emitter.h"

namespace hv::jit {
namespace {

constexpr uint64_t kNanDouble = 0x7ff8'0000'0000'0000, kNanSingle = 0xffff'ffff'7fc0'0000;
constexpr uint64_t kBoxSingle = 0xffff'ffff'0000'0000;
constexpr unsigned kNoRm = 7;

unsigned rm_of(const TraceOp& op) {
  return static_cast<unsigned>(op.fields.imm) & 7;
}
unsigned rs3_of(const TraceOp& op) {
  return static_cast<unsigned>(op.fields.imm) >> 8 & 31;
}

// What F and D have each in a form of its own.
#define HV_BOTH(name) \
  case Op::name##_s:  \
  case Op::name##_d

bool is_single(Op kind) {
  switch (kind) {
    case Op::fmadd_s:
    case Op::fmsub_s:
    case Op::fnmsub_s:
    case Op::fnmadd_s:
    case Op::fadd_s:
    case Op::fsub_s:
    case Op::fmul_s:
    case Op::fdiv_s:
    case Op::fsqrt_s:
    case Op::fsgnj_s:
    case Op::fsgnjn_s:
    case Op::fsgnjx_s:
    case Op::feq_s:
    case Op::flt_s:
    case Op::fle_s:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Emitter::assign_float_registers() {
  std::array<unsigned, 32> uses{};
  for (const TraceOp& op : trace_.ops) {
    if (!op_has(op.kind, op_flags::kFp)) continue;
    uses_float_ = true;
    switch (op.kind) {
      case Op::fld:
      case Op::flw:
        ++uses[op.fields.rd & 31];
        break;
      case Op::fsd:
      case Op::fsw:
        ++uses[op.fields.rs2 & 31];
        break;
        HV_BOTH(fmadd) : HV_BOTH(fmsub) : HV_BOTH(fnmadd) : HV_BOTH(fnmsub) : ++uses[rs3_of(op)];
        [[fallthrough]];
        HV_BOTH(fadd)
            : HV_BOTH(fsub)
            : HV_BOTH(fmul)
            : HV_BOTH(fdiv)
            : HV_BOTH(fsgnj) : HV_BOTH(fsgnjn) : HV_BOTH(fsgnjx) : ++uses[op.fields.rs2 & 31];
        [[fallthrough]];
      HV_BOTH(fsqrt) : case Op::fcvt_s_d:
      case Op::fcvt_d_s:
        ++uses[op.fields.rs1 & 31];
        ++uses[op.fields.rd & 31];
        break;
        HV_BOTH(feq) : HV_BOTH(flt) : HV_BOTH(fle) : ++uses[op.fields.rs1 & 31];
        ++uses[op.fields.rs2 & 31];
        break;
      case Op::fmv_x_d:
      case Op::fmv_x_w:
      case Op::fcvt_w_d:
      case Op::fcvt_l_d:
      case Op::fcvt_w_s:
      case Op::fcvt_l_s:
        ++uses[op.fields.rs1 & 31];
        break;
      case Op::fmv_d_x:
      case Op::fmv_w_x:
      case Op::fcvt_d_w:
      case Op::fcvt_d_l:
      case Op::fcvt_s_w:
      case Op::fcvt_s_l:
        ++uses[op.fields.rd & 31];
        break;
      default:
        break;
    }
  }
  float_host_.fill(-1);
  std::array<unsigned, 32> order;
  for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](unsigned a, unsigned b) {
    return uses[a] != uses[b] ? uses[a] > uses[b] : a < b;
  });
  for (unsigned i = 0; i < kFloatPool && uses[order[i]] > 0; ++i)
    float_host_[order[i]] = static_cast<int8_t>(i);
}

// Before an instruction that FS may make illegal; `changes`: it writes what FS guards. An frm that
// the host does not have is rare enough to interpret all of F then, so that one test serves a path.
void Emitter::check_float(const TraceOp& op, bool changes) {
  if (!float_checked_) {
    const asmjit::Label interpret = interpret_at(op);
    a_.cmp(x86::byte_ptr(kHart, HV_HART_OFFSET(fp_enabled)), 0);
    a_.je(interpret);
    a_.cmp(x86::byte_ptr(kHart, HV_HART_OFFSET(frm)), fp::kUp);
    a_.ja(interpret);
    float_checked_ = true;
  }
  if (changes && !float_marked_) {
    a_.or_(x86::qword_ptr(kHart,
                          HV_HART_OFFSET(csr) + static_cast<int32_t>(offsetof(CsrState, mstatus))),
           static_cast<int32_t>(kMstatusFs));
    float_marked_ = true;
  }
}

x86::Xmm Emitter::float_source(const TraceOp& op, unsigned reg, bool single, x86::Xmm scratch) {
  x86::Xmm value = scratch;
  if (!float_assigned(reg)) {
    a_.movsd(scratch, guest_float(reg));
  } else {
    value = float_host(reg);
    if (!(float_loaded_ & bit(reg))) {
      a_.movsd(value, guest_float(reg));
      float_loaded_ |= bit(reg);
    }
  }
  if (single && !(boxed_ & bit(reg))) {
    // What is no boxed single counts as a NaN: the interpreter's.
    a_.movq(x86::rax, value);
    a_.sar(x86::rax, 32);
    a_.cmp(x86::eax, -1);
    a_.jne(interpret_at(op));
    if (float_assigned(reg)) boxed_ |= bit(reg);
  }
  return value;
}

// `value`, with its box, is the new value of an f register.
void Emitter::float_written(unsigned reg, x86::Xmm value, bool single) {
  if (float_assigned(reg)) {
    if (value != float_host(reg)) a_.movaps(float_host(reg), value);
    float_loaded_ |= bit(reg);
    float_dirty_ |= bit(reg);
    if (single)
      boxed_ |= bit(reg);
    else
      boxed_ &= ~bit(reg);
  } else {
    a_.movsd(guest_float(reg), value);
  }
}

void Emitter::canonical(x86::Xmm value, bool single) {
  NanFix fix{a_.newLabel(), a_.newLabel(), value, single};
  if (single)
    a_.ucomiss(value, value);
  else
    a_.ucomisd(value, value);
  a_.jp(fix.nan);
  a_.bind(fix.back);
  nan_fixes_.push_back(fix);
}

void Emitter::emit_nan_fixes() {
  for (const NanFix& fix : nan_fixes_) {
    a_.bind(fix.nan);
    a_.mov(x86::rax, fix.single ? kNanSingle : kNanDouble);
    a_.movq(fix.value, x86::rax);
    a_.jmp(fix.back);
  }
}

void Emitter::store_float_registers(uint32_t mask) {
  for (unsigned reg = 0; reg < 32; ++reg)
    if (mask & bit(reg)) a_.movsd(guest_float(reg), float_host(reg));
}

bool Emitter::emit_float(const TraceOp& op) {
  const bool single = is_single(op.kind);
  return emit_float_access(op) || emit_float_arithmetic(op, single) || emit_float_fma(op, single) ||
         emit_float_sign(op, single) || emit_float_compare(op, single) || emit_float_convert(op);
}

bool Emitter::emit_float_access(const TraceOp& op) {
  const bool load = op.kind == Op::fld || op.kind == Op::flw;
  const bool store = op.kind == Op::fsd || op.kind == Op::fsw;
  if (!load && !store) return false;
  check_float(op, load);
  SlowAccess slow{.slow = a_.newLabel(), .back = a_.newLabel(), .op = &op};
  if (store && float_assigned(op.fields.rs2)) float_source(op, op.fields.rs2, false, x86::xmm0);
  emit_transfer(op, emit_address(op, slow));
  a_.bind(slow.back);
  slow_.push_back(slow);
  if (store) return true;
  const bool single = op.kind == Op::flw;
  if (single) {
    a_.mov(x86::rcx, kBoxSingle);
    a_.or_(x86::rax, x86::rcx);
  }
  const unsigned rd = op.fields.rd & 31;
  if (float_assigned(rd)) {
    a_.movq(float_host(rd), x86::rax);
    float_written(rd, float_host(rd), single);
  } else {
    a_.mov(guest_float(rd), x86::rax);
  }
  return true;
}

// Loads to rax, without a box.
void Emitter::emit_float_transfer(const TraceOp& op, x86::Mem memory) {
  const bool single = memory.size() == 4;
  if (!op_has(op.kind, op_flags::kWrites)) {
    if (single)
      a_.mov(x86::eax, memory);
    else
      a_.mov(x86::rax, memory);
    return;
  }
  x86::Xmm value = x86::xmm0;
  if (float_assigned(op.fields.rs2))
    value = float_host(op.fields.rs2);
  else
    a_.movsd(value, guest_float(op.fields.rs2));
  if (single)
    a_.movss(memory, value);
  else
    a_.movsd(memory, value);
}

bool Emitter::emit_float_arithmetic(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_BOTH(fadd) : HV_BOTH(fsub) : HV_BOTH(fmul) : HV_BOTH(fdiv) : HV_BOTH(fsqrt) : break;
    default:
      return false;
  }
  if (rm_of(op) != kNoRm) return false;
  check_float(op, true);
  const bool root = op.kind == Op::fsqrt_s || op.kind == Op::fsqrt_d;
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = root ? a : float_source(op, op.fields.rs2, single, x86::xmm1);
  const unsigned rd = op.fields.rd & 31;
  // In place where the second operand is not lost by it.
  const x86::Xmm d = float_assigned(rd) && (float_host(rd) == a || float_host(rd) != b)
                         ? float_host(rd)
                         : x86::Xmm(x86::xmm0);
  if (d != a) a_.movaps(d, a);
  switch (op.kind) {
    case Op::fadd_s:
      a_.addss(d, b);
      break;
    case Op::fadd_d:
      a_.addsd(d, b);
      break;
    case Op::fsub_s:
      a_.subss(d, b);
      break;
    case Op::fsub_d:
      a_.subsd(d, b);
      break;
    case Op::fmul_s:
      a_.mulss(d, b);
      break;
    case Op::fmul_d:
      a_.mulsd(d, b);
      break;
    case Op::fdiv_s:
      a_.divss(d, b);
      break;
    case Op::fdiv_d:
      a_.divsd(d, b);
      break;
    case Op::fsqrt_s:
      a_.sqrtss(d, d);
      break;
    default:
      a_.sqrtsd(d, d);
      break;
  }
  canonical(d, single);
  float_written(rd, d, single);
  return true;
}

bool Emitter::emit_float_fma(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_BOTH(fmadd) : HV_BOTH(fmsub) : HV_BOTH(fnmadd) : HV_BOTH(fnmsub) : break;
    default:
      return false;
  }
  if (rm_of(op) != kNoRm || !features_.fma) return false;
  check_float(op, true);
  const x86::Xmm b = float_source(op, op.fields.rs2, single, x86::xmm1);
  // The third source may share the scratch register with the first, which is moved there last.
  x86::Xmm c = float_source(op, rs3_of(op), single, x86::xmm0);
  x86::Mem from_memory;
  const bool c_in_scratch = c == x86::xmm0;
  if (c_in_scratch) from_memory = guest_float(rs3_of(op));
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  if (a != x86::xmm0) a_.movaps(x86::xmm0, a);
  const auto run = [&](auto with_register, auto with_memory) {
    if (c_in_scratch)
      with_memory(x86::xmm0, b, from_memory);
    else
      with_register(x86::xmm0, b, c);
  };
  if (single) from_memory.setSize(4);
#define HV_FMA(instruction)                                                 \
  run([&](x86::Xmm x, x86::Xmm y, x86::Xmm z) { a_.instruction(x, y, z); }, \
      [&](x86::Xmm x, x86::Xmm y, const x86::Mem& z) { a_.instruction(x, y, z); })
  switch (op.kind) {
    case Op::fmadd_s:
      HV_FMA(vfmadd213ss);
      break;
    case Op::fmadd_d:
      HV_FMA(vfmadd213sd);
      break;
    case Op::fmsub_s:
      HV_FMA(vfmsub213ss);
      break;
    case Op::fmsub_d:
      HV_FMA(vfmsub213sd);
      break;
    case Op::fnmsub_s:
      HV_FMA(vfnmadd213ss);
      break;
    case Op::fnmsub_d:
      HV_FMA(vfnmadd213sd);
      break;
    case Op::fnmadd_s:
      HV_FMA(vfnmsub213ss);
      break;
    default:
      HV_FMA(vfnmsub213sd);
      break;
  }
#undef HV_FMA
  // Which NaNs raise invalid differs: inf * 0 + a quiet NaN.
  if (single)
    a_.ucomiss(x86::xmm0, x86::xmm0);
  else
    a_.ucomisd(x86::xmm0, x86::xmm0);
  a_.jp(interpret_at(op));
  float_written(op.fields.rd & 31, x86::xmm0, single);
  return true;
}

bool Emitter::emit_float_sign(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_BOTH(fsgnj) : HV_BOTH(fsgnjn) : HV_BOTH(fsgnjx) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd & 31;
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = float_source(op, op.fields.rs2, single, x86::xmm1);
  const bool plain = op.kind == Op::fsgnj_s || op.kind == Op::fsgnj_d;
  if (plain && op.fields.rs1 == op.fields.rs2) {
    float_written(rd, a, single);
    return true;
  }
  const unsigned sign = single ? 31 : 63;
  a_.movq(x86::rcx, b);
  if (op.kind == Op::fsgnjn_s || op.kind == Op::fsgnjn_d) a_.not_(x86::rcx);
  a_.shr(x86::rcx, sign);
  a_.and_(x86::ecx, 1);
  a_.shl(x86::rcx, sign);
  a_.movq(x86::rax, a);
  if (op.kind != Op::fsgnjx_s && op.kind != Op::fsgnjx_d) a_.btr(x86::rax, sign);
  a_.xor_(x86::rax, x86::rcx);
  a_.movq(x86::xmm0, x86::rax);
  float_written(rd, x86::xmm0, single);
  return true;
}

bool Emitter::emit_float_compare(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_BOTH(feq) : HV_BOTH(flt) : HV_BOTH(fle) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd;
  const x86::Xmm a = float_source(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = float_source(op, op.fields.rs2, single, x86::xmm1);
  switch (op.kind) {
    HV_BOTH(feq) : if (single) a_.ucomiss(a, b);
    else a_.ucomisd(a, b);
    a_.sete(x86::al);
    a_.setnp(x86::cl);
    a_.and_(x86::al, x86::cl);
    break;
    default:
      // Exchanged: "above" is false when unordered.
      if (single)
        a_.comiss(b, a);
      else
        a_.comisd(b, a);
      if (op.kind == Op::flt_s || op.kind == Op::flt_d)
        a_.seta(x86::al);
      else
        a_.setae(x86::al);
      break;
  }
  if (rd >= 32) return true;
  a_.movzx(target(rd).r32(), x86::al);
  written(rd);
  return true;
}

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

#undef HV_BOTH

}  // namespace hv::jit
