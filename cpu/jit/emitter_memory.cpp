// Loads and stores of x registers, the TLB probe, and what a miss takes.
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"
#include "cpu/tlb.h"

namespace hv::jit {

unsigned Emitter::access_size(Op kind) {
  switch (kind) {
    case Op::lb:
    case Op::lbu:
    case Op::sb:
      return 1;
    case Op::lh:
    case Op::lhu:
    case Op::sh:
    case Op::flh:
    case Op::fsh:
      return 2;
    case Op::lw:
    case Op::lwu:
    case Op::sw:
    case Op::flw:
    case Op::fsw:
      return 4;
    default:
      return 8;
  }
}

// Leaves the guest's address in rax and what to add to it in rcx; uses rdx.
void Emitter::emit_probe(const TraceOp& op, unsigned size, bool store, asmjit::Label slow) {
  const int32_t imm = op.fields.imm;
  if (op.fields.rs1 == 0) {
    a_.mov(x86::rax, imm);
  } else {
    const x86::Gp base = source(op.fields.rs1, x86::rax);
    if (imm)
      a_.lea(x86::rax, x86::ptr(base, imm));
    else if (base != x86::rax)
      a_.mov(x86::rax, base);
  }
  // The page of the last byte: a misaligned access inside a page is a hit too.
  if (size == 1)
    a_.mov(x86::rdx, x86::rax);
  else
    a_.lea(x86::rdx, x86::ptr(x86::rax, static_cast<int32_t>(size - 1)));
  a_.and_(x86::rdx, static_cast<int32_t>(kPageMask));
  probe_tag(x86::rax, store, slow);
}

// For the guest's `address`, whose tag is in rdx: leaves what to add to it in rcx.
void Emitter::probe_tag(x86::Gp address, bool store, asmjit::Label slow) {
  static_assert(sizeof(TlbEntry) == 32 && GuestMemory::kPageSize == 4096);
  a_.mov(x86::ecx, address.r32());
  a_.shr(x86::ecx, 12 - 5);
  a_.and_(x86::ecx, static_cast<uint32_t>((kTlbEntries - 1) * sizeof(TlbEntry)));
  const auto tag =
      static_cast<int32_t>(store ? offsetof(TlbEntry, write_tag) : offsetof(TlbEntry, read_tag));
  a_.cmp(x86::rdx, x86::qword_ptr(kTlb, x86::rcx, 0, tag));
  a_.jne(slow);
  a_.mov(x86::rcx,
         x86::qword_ptr(kTlb, x86::rcx, 0, static_cast<int32_t>(offsetof(TlbEntry, addend))));
}

void Emitter::emit_load(const TraceOp& op) {
  SlowAccess slow{a_.newLabel(), a_.newLabel(), &op, {}};
  emit_probe(op, access_size(op.kind), false, slow.slow);
  slow.exception = exception_at(op);
  const x86::Gp d = target(op.fields.rd);
  if (op.fields.rd < 32) {
    switch (op.kind) {
      case Op::lb:
        a_.movsx(d, x86::byte_ptr(x86::rax, x86::rcx));
        break;
      case Op::lh:
        a_.movsx(d, x86::word_ptr(x86::rax, x86::rcx));
        break;
      case Op::lw:
        a_.movsxd(d, x86::dword_ptr(x86::rax, x86::rcx));
        break;
      case Op::lbu:
        a_.movzx(d.r32(), x86::byte_ptr(x86::rax, x86::rcx));
        break;
      case Op::lhu:
        a_.movzx(d.r32(), x86::word_ptr(x86::rax, x86::rcx));
        break;
      case Op::lwu:
        a_.mov(d.r32(), x86::dword_ptr(x86::rax, x86::rcx));
        break;
      default:
        a_.mov(d, x86::qword_ptr(x86::rax, x86::rcx));
        break;
    }
  }
  a_.bind(slow.back);
  slow_.push_back(slow);
  written(op.fields.rd);
}

void Emitter::emit_store(const TraceOp& op) {
  const unsigned size = access_size(op.kind);
  SlowAccess slow{a_.newLabel(), a_.newLabel(), &op, {}};
  // Before the probe, for it may load a register.
  if (op.fields.rs2 != 0 && assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  emit_probe(op, size, true, slow.slow);
  slow.exception = exception_at(op);
  const x86::Gp value = source(op.fields.rs2, x86::rdx);
  switch (size) {
    case 1:
      a_.mov(x86::byte_ptr(x86::rax, x86::rcx), value.r8());
      break;
    case 2:
      a_.mov(x86::word_ptr(x86::rax, x86::rcx), value.r16());
      break;
    case 4:
      a_.mov(x86::dword_ptr(x86::rax, x86::rcx), value.r32());
      break;
    default:
      a_.mov(x86::qword_ptr(x86::rax, x86::rcx), value);
      break;
  }
  a_.bind(slow.back);
  slow_.push_back(slow);
}

void Emitter::emit_slow_accesses() {
  for (const SlowOp& slow : slow_ops_) {
    const TraceOp& op = *slow.op;
    a_.bind(slow.slow);
    store_registers(slow.dirty);
    call_helper(op);
    a_.jz(slow.exception);
    if (op.fields.rd < 32) a_.mov(target(op.fields.rd), guest(op.fields.rd));
    a_.jmp(slow.back);
  }
  for (const SlowAccess& slow : slow_) {
    const TraceOp& op = *slow.op;
    a_.bind(slow.slow);
    if (op_has(op.kind, op_flags::kWrites)) {
      if (op_has(op.kind, op_flags::kFp)) {
        if (float_assigned(op.fields.rs2))
          a_.movq(x86::rdx, float_host(op.fields.rs2));
        else
          a_.mov(x86::rdx, guest_float(op.fields.rs2));
      } else if (op.fields.rs2 == 0)
        a_.xor_(x86::edx, x86::edx);
      else if (assigned(op.fields.rs2))
        a_.mov(x86::rdx, host(op.fields.rs2));
      else
        a_.mov(x86::rdx, guest(op.fields.rs2));
      a_.mov(x86::rcx,
             address_of(reinterpret_cast<const void*>(store_helper(access_size(op.kind)))));
      a_.call(address_of(calls().store));
      a_.jz(slow.exception);
    } else {
      a_.mov(x86::rcx, address_of(reinterpret_cast<const void*>(load_helper(op.kind))));
      a_.call(address_of(calls().load));
      a_.jz(slow.exception);
      if (!op_has(op.kind, op_flags::kFp) && assigned(op.fields.rd))
        a_.mov(host(op.fields.rd), x86::rax);
    }
    a_.jmp(slow.back);
  }
}

}  // namespace hv::jit
