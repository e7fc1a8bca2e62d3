// fflags, frm and fcsr. What programs do often, libm around comparisons, is here; the rest of their
// accesses are system instructions (cpu/jit/emitter_system.cpp).
#include "cpu/csr.h"
#include "cpu/fpu.h"
#include "cpu/jit/emitter_float.h"
#include "cpu/jit/values.h"

namespace hv::jit {
namespace {

constexpr int32_t kSticky = fp::host::kSticky;

unsigned csr_of(const TraceOp& op) {
  return static_cast<unsigned>(op.fields.imm);
}

bool replaces(Op kind) {
  return kind == Op::csrrw || kind == Op::csrrwi;
}

bool writes_csr(const TraceOp& op) {
  return replaces(op.kind) || op.fields.rs1 != 0;
}

}  // namespace

bool is_float_control(const TraceOp& op) {
  if (!accesses_csr(op.kind)) return false;
  const unsigned csr = csr_of(op);
  return csr == kFflags || ((csr == kFrm || csr == kFcsr) && !writes_csr(op));
}

// fflags are in the hart and in MXCSR. Loading MXCSR is slow, so flags stay there as long as they
// are to be set anyway.
void Emitter::emit_float_control(const TraceOp& op) {
  const unsigned csr = csr_of(op), rd = op.fields.rd;
  const bool writes = writes_csr(op);
  check_float(op, writes);
  // Below the stack's end, where signal handlers leave 128 bytes alone.
  const x86::Mem control = x86::dword_ptr(x86::rsp, -8);
  const x86::Mem fflags = x86::byte_ptr(kHart, HV_HART_OFFSET(fflags));
  if (csr != kFrm) {
    a_.stmxcsr(control);
    a_.mov(x86::ecx, control);
    a_.and_(x86::ecx, kSticky);
    a_.mov(x86::rax, address_of(fp::kFlagsOfHost.data()));
    a_.movzx(x86::ecx, x86::byte_ptr(x86::rax, x86::rcx));
    a_.movzx(x86::eax, fflags);
    a_.or_(x86::eax, x86::ecx);
  }
  if (writes) {
    if (format_of(op.kind) == Format::kCsrI) {
      a_.mov(x86::edx, unsigned{op.fields.rs1});
    } else {
      const x86::Gp s = source(op.fields.rs1, x86::rdx);
      if (s != x86::rdx) a_.mov(x86::edx, s.r32());
    }
    if (op.kind == Op::csrrs || op.kind == Op::csrrsi) {
      a_.or_(x86::edx, x86::eax);
    } else if (!replaces(op.kind)) {
      a_.not_(x86::edx);
      a_.and_(x86::edx, x86::eax);
    }
    a_.and_(x86::edx, 31);
    a_.mov(fflags, x86::dl);
    // What MXCSR has too many of.
    a_.not_(x86::edx);
    a_.test(x86::edx, x86::ecx);
    const asmjit::Label clear = a_.newLabel(), back = a_.newLabel();
    a_.jnz(clear);
    a_.bind(back);
    out_of_line([this, clear, back, control] {
      a_.bind(clear);
      a_.and_(control, ~kSticky);
      a_.ldmxcsr(control);
      a_.jmp(back);
    });
  }
  if (rd >= 32) return;
  const x86::Gp d = target(rd).r32();
  const x86::Mem frm = x86::byte_ptr(kHart, HV_HART_OFFSET(frm));
  if (csr == kFflags) {
    a_.mov(d, x86::eax);
  } else if (csr == kFrm) {
    a_.movzx(d, frm);
  } else {
    a_.movzx(x86::ecx, frm);
    a_.shl(x86::ecx, 5);
    a_.or_(x86::eax, x86::ecx);
    a_.mov(d, x86::eax);
  }
  written(rd);
}

}  // namespace hv::jit
