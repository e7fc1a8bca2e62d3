// F and D on the host's SSE, as cpu/fpu.h does it: the guest's rounding mode stands in MXCSR, whose
// sticky flags are the guest's. What the host does otherwise is left to the interpreter.
#include <algorithm>
#include <string_view>

#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"
#include "cpu/jit/values.h"

namespace hv::jit {
namespace {

bool writes_integer(Op kind) {
  switch (format_of(kind)) {
    case Format::kFCmp:
    case Format::kFToInt:
    case Format::kFToIntRm:
    case Format::kFToIntRtz:
      return true;
    default:
      return false;
  }
}

// The last letter of the name is the precision of the operands.
constexpr char kPrecision[] = {
    ' ',
#define INSN(id, pattern, format, ext, flags) std::string_view(#id).back(),
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};

}  // namespace

bool is_half(Op kind) {
  return op_has(kind, op_flags::kFp) && kPrecision[static_cast<size_t>(kind)] == 'h';
}

void Emitter::assign_float_registers() {
  std::array<unsigned, 32> uses{};
  for (const TraceOp& op : trace_.ops) {
    if (!op_has(op.kind, op_flags::kFp)) continue;
    uses_float_ = true;
    const auto use = [&](unsigned reg) { ++uses[reg & 31]; };
    switch (format_of(op.kind)) {
      case Format::kFR4:
        use(rs3_of(op));
        [[fallthrough]];
      case Format::kFR:
      case Format::kFRm:
        use(op.fields.rs2);
        [[fallthrough]];
      case Format::kFRm1:
        use(op.fields.rs1);
        [[fallthrough]];
      case Format::kFLoad:
      case Format::kFFromInt:
      case Format::kFFromIntRm:
      case Format::kFLi:
        use(op.fields.rd);
        float_changed_ |= bit(op.fields.rd & 31);
        break;
      case Format::kFCmp:
        use(op.fields.rs2);
        [[fallthrough]];
      case Format::kFToInt:
      case Format::kFToIntRm:
      case Format::kFToIntRtz:
        use(op.fields.rs1);
        break;
      case Format::kFStore:
        use(op.fields.rs2);
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
    // Read first: a store in each round of a loop would make the rounds wait for each other.
    const x86::Mem mstatus = x86::dword_ptr(
        kHart, HV_HART_OFFSET(csr) + static_cast<int32_t>(offsetof(CsrState, mstatus)));
    static constexpr auto kDirty = static_cast<int32_t>(kMstatusFs);
    const asmjit::Label mark = a_.newLabel(), marked = a_.newLabel();
    a_.mov(x86::eax, mstatus);
    a_.not_(x86::eax);
    a_.test(x86::eax, kDirty);
    a_.jnz(mark);
    a_.bind(marked);
    out_of_line([this, mark, marked, mstatus] {
      a_.bind(mark);
      a_.or_(mstatus, kDirty);
      a_.jmp(marked);
    });
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

void Emitter::emit_out_of_line() {
  for (const NanFix& fix : nan_fixes_) {
    a_.bind(fix.nan);
    a_.mov(x86::rax, fix.single ? kNanSingle : kNanDouble);
    a_.movq(fix.value, x86::rax);
    a_.jmp(fix.back);
  }
  for (const auto& code : out_of_line_) code();
}

void Emitter::body_out_of_line(const TraceOp& op, asmjit::Label slow, asmjit::Label back) {
  const uint32_t dirty = float_dirty_;
  out_of_line([=, this, &op] {
    a_.bind(slow);
    store_float_registers(dirty);
    call_helper(op);
    const unsigned rd = op.fields.rd;
    if (writes_integer(op.kind)) {
      if (rd < 32) a_.mov(target(rd), guest(rd));
    } else if (float_assigned(rd)) {
      a_.movsd(float_host(rd), guest_float(rd & 31));
    }
    a_.jmp(back);
  });
}

void Emitter::store_float_registers(uint32_t mask) {
  for (unsigned reg = 0; reg < 32; ++reg)
    if (mask & bit(reg)) a_.movsd(guest_float(reg), float_host(reg));
}

bool Emitter::emit_float(const TraceOp& op) {
  const char precision = kPrecision[static_cast<size_t>(op.kind)];
  const bool single = precision == 's' || precision == 'h';
  if (emit_float_access(op) || emit_half_bits(op)) return true;
  if (is_half(op.kind) && !features_.f16c) return false;
  return emit_float_arithmetic(op, single) || emit_float_fma(op, single) ||
         emit_float_sign(op, single) || emit_float_compare(op, single) ||
         emit_float_minmax(op, single) || emit_float_class(op, single) ||
         emit_float_immediate(op, single) || emit_float_round(op, single) ||
         emit_float_modulo(op) || emit_float_convert(op);
}

bool Emitter::emit_float_access(const TraceOp& op) {
  const bool load = op.kind == Op::fld || op.kind == Op::flw || op.kind == Op::flh;
  const bool store = op.kind == Op::fsd || op.kind == Op::fsw || op.kind == Op::fsh;
  if (!load && !store) return false;
  check_float(op, false);
  SlowAccess slow{.slow = a_.newLabel(), .back = a_.newLabel(), .op = &op};
  if (store && float_assigned(op.fields.rs2)) float_source(op, op.fields.rs2, false, x86::xmm0);
  emit_transfer(op, emit_address(op, slow));
  a_.bind(slow.back);
  if (!slow.found) slow_.push_back(slow);
  if (store) return true;
  const unsigned size = access_size(op.kind), rd = op.fields.rd & 31;
  if (size == 4) {
    a_.mov(x86::rcx, kBoxSingle);
    a_.or_(x86::rax, x86::rcx);
  } else if (size == 2) {
    a_.or_(x86::rax, kBoxHalf);
  }
  if (!float_assigned(rd)) {
    a_.mov(guest_float(rd), x86::rax);
  } else {
    if (size < 8) a_.movq(float_host(rd), x86::rax);
    float_written(rd, float_host(rd), size < 8);
  }
  // Not before the load, which may raise an exception.
  check_float(op, true);
  return true;
}

// Loads doubles to where they belong, else to rax, without a box.
void Emitter::emit_float_transfer(const TraceOp& op, x86::Mem memory) {
  if (!op_has(op.kind, op_flags::kWrites)) {
    if (memory.size() == 2)
      a_.movzx(x86::eax, memory);
    else if (memory.size() == 4)
      a_.mov(x86::eax, memory);
    else if (float_assigned(op.fields.rd & 31))
      a_.movsd(float_host(op.fields.rd & 31), memory);
    else
      a_.mov(x86::rax, memory);
    return;
  }
  x86::Xmm value = x86::xmm0;
  if (float_assigned(op.fields.rs2))
    value = float_host(op.fields.rs2);
  else
    a_.movsd(value, guest_float(op.fields.rs2));
  if (memory.size() == 2) {
    a_.movd(x86::edx, value);
    a_.mov(memory, x86::dx);
  } else if (memory.size() == 4) {
    a_.movss(memory, value);
  } else {
    a_.movsd(memory, value);
  }
}

bool Emitter::emit_float_arithmetic(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_ALL(fadd) : HV_ALL(fsub) : HV_ALL(fmul) : HV_ALL(fdiv) : HV_ALL(fsqrt) : break;
    default:
      return false;
  }
  if (rm_of(op) == fp::kNearestMaxMagnitude) return false;
  check_float(op, true);
  const bool half = is_half(op.kind);
  const bool root = op.kind == Op::fsqrt_h || op.kind == Op::fsqrt_s || op.kind == Op::fsqrt_d;
  const x86::Xmm a = operand(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = root ? a : operand(op, op.fields.rs2, single, x86::xmm1);
  const unsigned rd = op.fields.rd & 31;
  // In place where the second operand is not lost by it.
  const x86::Xmm d = !half && float_assigned(rd) && (float_host(rd) == a || float_host(rd) != b)
                         ? float_host(rd)
                         : x86::Xmm(x86::xmm0);
  if (d != a) a_.movaps(d, a);
  begin_rounding(op);
  switch (op.kind) {
    case Op::fadd_h:
    case Op::fadd_s:
      a_.addss(d, b);
      break;
    case Op::fadd_d:
      a_.addsd(d, b);
      break;
    case Op::fsub_h:
    case Op::fsub_s:
      a_.subss(d, b);
      break;
    case Op::fsub_d:
      a_.subsd(d, b);
      break;
    case Op::fmul_h:
    case Op::fmul_s:
      a_.mulss(d, b);
      break;
    case Op::fmul_d:
      a_.mulsd(d, b);
      break;
    case Op::fdiv_h:
    case Op::fdiv_s:
      a_.divss(d, b);
      break;
    case Op::fdiv_d:
      a_.divsd(d, b);
      break;
    case Op::fsqrt_h:
    case Op::fsqrt_s:
      a_.sqrtss(d, d);
      break;
    default:
      a_.sqrtsd(d, d);
      break;
  }
  if (half) round_to_half();
  end_rounding(op);
  if (!half) canonical(d, single);
  float_written(rd, d, single);
  return true;
}

bool Emitter::emit_float_fma(const TraceOp& op, bool single) {
  switch (op.kind) {
    HV_BOTH(fmadd) : HV_BOTH(fmsub) : HV_BOTH(fnmadd) : HV_BOTH(fnmsub) : break;
    default:
      return false;
  }
  if (rm_of(op) == fp::kNearestMaxMagnitude || !features_.fma) return false;
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
  begin_rounding(op);
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
  end_rounding(op);
  // Which NaNs raise invalid differs: inf * 0 + a quiet NaN.
  const asmjit::Label nan = a_.newLabel(), back = a_.newLabel();
  body_out_of_line(op, nan, back);
  if (single)
    a_.ucomiss(x86::xmm0, x86::xmm0);
  else
    a_.ucomisd(x86::xmm0, x86::xmm0);
  a_.jp(nan);
  float_written(op.fields.rd & 31, x86::xmm0, single);
  a_.bind(back);
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
    HV_ALL(feq) : HV_ALL(flt) : HV_ALL(fle) : HV_ALL(fltq) : HV_ALL(fleq) : break;
    default:
      return false;
  }
  check_float(op, true);
  const unsigned rd = op.fields.rd;
  const x86::Xmm a = operand(op, op.fields.rs1, single, x86::xmm0);
  const x86::Xmm b = operand(op, op.fields.rs2, single, x86::xmm1);
  switch (op.kind) {
    HV_ALL(feq) : if (single) a_.ucomiss(a, b);
    else a_.ucomisd(a, b);
    a_.sete(x86::al);
    a_.setnp(x86::cl);
    a_.and_(x86::al, x86::cl);
    break;
    // Exchanged: "above" is false when unordered.
    HV_ALL(fltq) : HV_ALL(fleq) : if (single) a_.ucomiss(b, a);
    else a_.ucomisd(b, a);
    break;
    default:
      if (single)
        a_.comiss(b, a);
      else
        a_.comisd(b, a);
      break;
  }
  switch (op.kind) {
    HV_ALL(feq) : break;
    HV_ALL(flt) : HV_ALL(fltq) : a_.seta(x86::al);
    break;
    default:
      a_.setae(x86::al);
      break;
  }
  if (rd >= 32) return true;
  a_.movzx(target(rd).r32(), x86::al);
  written(rd);
  return true;
}

}  // namespace hv::jit
