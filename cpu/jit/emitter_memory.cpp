// Loads and stores of x registers, the TLB probe, and what a miss takes.
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"
#include "cpu/tlb.h"

namespace hv::jit {

// Leaves the guest's address, base + offset, in rax and what to add to it in rcx; uses rdx.
void Emitter::emit_probe(x86::Gp base, int32_t offset, unsigned size, bool store,
                         asmjit::Label slow) {
  if (offset)
    a_.lea(x86::rax, x86::ptr(base, offset));
  else if (base != x86::rax)
    a_.mov(x86::rax, base);
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

void Emitter::clear_slot(unsigned slot) {
  if (slot_assigned(slot))
    a_.xor_(slot_host(slot).r32(), slot_host(slot).r32());
  else
    a_.mov(slot_memory(slot), 0);
}

x86::Mem Emitter::emit_address(const TraceOp& op, SlowAccess& slow) {
  const unsigned size = access_size(op.kind);
  const bool store = op_has(op.kind, op_flags::kWrites);
  if (op.group < 0) {
    emit_probe(source(op.fields.rs1, x86::rax), op.fields.imm, size, store, slow.slow);
    slow.exception = exception_at(op);
    return x86::ptr(x86::rax, x86::rcx);
  }
  const ProbeGroup& group = group_of(op);
  const bool kept = slot_assigned(group.slot);
  const x86::Gp first = kept ? slot_host(group.slot) : x86::Gp(x86::rcx);
  if (in_strip_ && (group.carried || group.step)) {
    slow.found = true;
    if (!kept) a_.mov(first, slot_memory(group.slot));
    if (group.carried) return x86::ptr(first, op.group_offset);
    return x86::ptr(source(op.fields.rs1, x86::rax), first, 0, op.fields.imm);
  }
  slow.missed = a_.newLabel();
  const asmjit::Label found = a_.newLabel();
  if (op.probes) {
    // May load the register, so before the way divides.
    const x86::Gp address = source(op.fields.rs1, x86::rax);
    if (group.carried) {
      // In the rounds but the first.
      if (!kept) a_.mov(first, slot_memory(group.slot));
      a_.test(first, first);
      a_.jnz(found);
    }
    emit_probe(address, op.fields.imm - op.group_offset, group.bytes, group.stores, slow.missed);
    if (kept) {
      a_.lea(first, x86::ptr(x86::rax, x86::rcx));
    } else {
      a_.add(x86::rcx, x86::rax);
      a_.mov(slot_memory(group.slot), x86::rcx);
    }
    a_.bind(found);
  } else {
    if (!kept) a_.mov(first, slot_memory(group.slot));
    a_.test(first, first);
    a_.jz(slow.missed);
  }
  slow.address_loaded = assigned(op.fields.rs1) && (loaded_ & bit(op.fields.rs1));
  slow.exception = exception_at(op);
  // Sooner known than their sum.
  if (op.probes && kept && !group.carried) return x86::ptr(x86::rax, x86::rcx, 0, op.group_offset);
  return x86::ptr(first, op.group_offset);
}

// Between memory and the host register of an x register; of f registers: emit_float_transfer().
void Emitter::emit_transfer(const TraceOp& op, x86::Mem memory) {
  memory.setSize(access_size(op.kind));
  if (op_has(op.kind, op_flags::kFp)) {
    emit_float_transfer(op, memory);
  } else if (op_has(op.kind, op_flags::kWrites)) {
    if (op.fields.rs2 == 0) {
      a_.mov(memory, 0);
      return;
    }
    const x86::Gp value = source(op.fields.rs2, x86::rdx);
    switch (memory.size()) {
      case 1:
        a_.mov(memory, value.r8());
        break;
      case 2:
        a_.mov(memory, value.r16());
        break;
      case 4:
        a_.mov(memory, value.r32());
        break;
      default:
        a_.mov(memory, value);
        break;
    }
  } else if (op.fields.rd < 32) {
    const x86::Gp d = target(op.fields.rd);
    switch (op.kind) {
      case Op::lb:
      case Op::lh:
        a_.movsx(d, memory);
        break;
      case Op::lw:
        a_.movsxd(d, memory);
        break;
      case Op::lbu:
      case Op::lhu:
        a_.movzx(d.r32(), memory);
        break;
      case Op::lwu:
        a_.mov(d.r32(), memory);
        break;
      default:
        a_.mov(d, memory);
        break;
    }
  }
}

void Emitter::emit_load(const TraceOp& op) {
  SlowAccess slow{.slow = a_.newLabel(), .back = a_.newLabel(), .op = &op};
  emit_transfer(op, emit_address(op, slow));
  a_.bind(slow.back);
  if (!slow.found) slow_.push_back(slow);
  written(op.fields.rd);
}

void Emitter::emit_store(const TraceOp& op) {
  SlowAccess slow{.slow = a_.newLabel(), .back = a_.newLabel(), .op = &op};
  // Before the probe, for it may load a register.
  if (op.fields.rs2 != 0 && assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  emit_transfer(op, emit_address(op, slow));
  a_.bind(slow.back);
  if (!slow.found) slow_.push_back(slow);
}

// A member of a group without the host's address: its own probe, as if there were no group.
void Emitter::emit_missed(const SlowAccess& access) {
  const TraceOp& op = *access.op;
  const ProbeGroup& group = group_of(op);
  const unsigned size = access_size(op.kind), reg = op.fields.rs1;
  const bool store = op_has(op.kind, op_flags::kWrites);
  a_.bind(access.missed);
  x86::Gp address = x86::rax;
  int32_t offset = op.group_offset;
  if (op.probes) {
    // rax has the address of the group.
    clear_slot(group.slot);
  } else {
    if (reg == 0)
      a_.xor_(x86::eax, x86::eax);
    else if (access.address_loaded)
      address = host(reg);
    else
      a_.mov(x86::rax, guest(reg));
    offset = op.fields.imm;
  }
  emit_probe(address, offset, size, store, access.slow);
  emit_transfer(op, x86::ptr(x86::rax, x86::rcx));
  a_.jmp(access.back);
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
    if (op.group >= 0) emit_missed(slow);
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
      if (op.kind == Op::fld && float_assigned(op.fields.rd & 31))
        a_.movq(float_host(op.fields.rd & 31), x86::rax);
      else if (!op_has(op.kind, op_flags::kFp) && assigned(op.fields.rd))
        a_.mov(host(op.fields.rd), x86::rax);
    }
    a_.jmp(slow.back);
  }
}

}  // namespace hv::jit
