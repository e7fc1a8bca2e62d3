// A: host atomics, as in cpu/semantics_memory.h. AMOs without a host instruction that returns the
// old value, and Zacas, are left to their rows' bodies.
#include "cpu/jit/emitter.h"

namespace hv::jit {

// As emit_probe(), for an aligned access at rs1; afterwards rcx is the host's address.
void Emitter::probe_atomic(const TraceOp& op, unsigned size, bool store, asmjit::Label slow) {
  const x86::Gp address = source(op.fields.rs1, x86::rax);
  a_.mov(x86::rdx, address);
  a_.and_(x86::rdx, static_cast<int32_t>(kPageMask | (size - 1)));
  probe_tag(address, store, slow);
  a_.add(x86::rcx, address);
}

bool Emitter::emit_atomic(const TraceOp& op) {
  switch (op.kind) {
    case Op::amoswap_w:
    case Op::amoadd_w:
      emit_update(op, 4);
      return true;
    case Op::amoswap_d:
    case Op::amoadd_d:
      emit_update(op, 8);
      return true;
    case Op::amoor_w:
    case Op::amoand_w:
    case Op::amoxor_w:
      if (op.fields.rd < 32) return false;
      emit_update(op, 4);
      return true;
    case Op::amoor_d:
    case Op::amoand_d:
    case Op::amoxor_d:
      if (op.fields.rd < 32) return false;
      emit_update(op, 8);
      return true;
    case Op::lr_w:
    case Op::sc_w:
      emit_reserved(op, 4);
      return true;
    case Op::lr_d:
    case Op::sc_d:
      emit_reserved(op, 8);
      return true;
    default:
      return false;
  }
}

void Emitter::emit_update(const TraceOp& op, unsigned size) {
  SlowOp slow{a_.newLabel(), a_.newLabel(), &op, 0, {}};
  // Loads registers before the way divides.
  if (assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  probe_atomic(op, size, true, slow.slow);
  slow.dirty = dirty_;
  slow.exception = exception_at(op);
  const x86::Gp operand = source(op.fields.rs2, x86::rdx);
  if (operand != x86::rdx) a_.mov(x86::rdx, operand);
  const bool word = size == 4;
  const x86::Gp value = word ? x86::Gp(x86::edx) : x86::Gp(x86::rdx);
  const x86::Mem memory = word ? x86::dword_ptr(x86::rcx) : x86::qword_ptr(x86::rcx);
  switch (op.kind) {
    case Op::amoswap_w:
    case Op::amoswap_d:
      a_.xchg(memory, value);
      break;
    case Op::amoadd_w:
    case Op::amoadd_d:
      a_.lock().xadd(memory, value);
      break;
    case Op::amoor_w:
    case Op::amoor_d:
      a_.lock().or_(memory, value);
      break;
    case Op::amoand_w:
    case Op::amoand_d:
      a_.lock().and_(memory, value);
      break;
    default:
      a_.lock().xor_(memory, value);
      break;
  }
  if (op.fields.rd < 32) {
    if (word)
      a_.movsxd(target(op.fields.rd), x86::edx);
    else
      a_.mov(target(op.fields.rd), x86::rdx);
  }
  a_.bind(slow.back);
  slow_ops_.push_back(slow);
  written(op.fields.rd);
}

// The reservation is a physical address, a size and the value that LR saw.
void Emitter::emit_reserved(const TraceOp& op, unsigned size) {
  const bool load = op.kind == Op::lr_w || op.kind == Op::lr_d;
  const bool word = size == 4;
  const auto reservation = [&](int32_t offset) { return x86::qword_ptr(kHart, offset); };
  const x86::Mem address = reservation(HV_HART_OFFSET(reservation_address));
  const x86::Mem seen = reservation(HV_HART_OFFSET(reservation_value));
  const x86::Mem width = x86::byte_ptr(kHart, HV_HART_OFFSET(reservation_size));
  const x86::Mem memory = word ? x86::dword_ptr(x86::rcx) : x86::qword_ptr(x86::rcx);
  SlowOp slow{a_.newLabel(), a_.newLabel(), &op, 0, {}};
  if (!load && assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  probe_atomic(op, size, !load, slow.slow);
  slow.dirty = dirty_;
  slow.exception = exception_at(op);
  // Physical = host + a constant.
  const uint64_t to_physical = memory_.base() - reinterpret_cast<uint64_t>(memory_.data());
  if (load) {
    if (word)
      a_.movsxd(x86::rdx, memory);
    else
      a_.mov(x86::rdx, memory);
    a_.mov(x86::rax, to_physical);
    a_.add(x86::rax, x86::rcx);
    a_.mov(address, x86::rax);
    a_.mov(seen, x86::rdx);
    a_.mov(width, size);
    if (op.fields.rd < 32) a_.mov(target(op.fields.rd), x86::rdx);
  } else {
    const asmjit::Label failed = a_.newLabel(), done = a_.newLabel();
    a_.mov(x86::rax, to_physical);
    a_.add(x86::rax, x86::rcx);
    a_.cmp(x86::rax, address);
    a_.mov(address, -1);
    a_.jne(failed);
    a_.cmp(width, size);
    a_.jne(failed);
    const x86::Gp operand = source(op.fields.rs2, x86::rdx);
    a_.mov(x86::rax, seen);
    a_.lock().cmpxchg(memory, word ? operand.r32() : operand);
    a_.jne(failed);
    a_.xor_(x86::eax, x86::eax);
    a_.jmp(done);
    a_.bind(failed);
    a_.mov(x86::eax, 1);
    a_.bind(done);
    if (op.fields.rd < 32 && target(op.fields.rd) != x86::rax)
      a_.mov(target(op.fields.rd), x86::rax);
  }
  a_.bind(slow.back);
  slow_ops_.push_back(slow);
  written(op.fields.rd);
}

}  // namespace hv::jit
