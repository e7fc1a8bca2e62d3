// CSRs, translation fences, traps, returns and waiting: calls of their rows' bodies. Compiled code
// goes on behind those after which the same code would be fetched; after the others it looks where
// to go on, as after a jalr.
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"

namespace hv::jit {

// What the body may change but registers is looked at again: the data TLB, FS and frm.
void Emitter::emit_system(const TraceOp& op) {
  if (wait_helper(op.kind)) return emit_wait(op);
  if (op.kind == Op::ecall) {
    // It may be for the built-in SBI, where the hart may rest, which it must not do in here.
    const asmjit::Label interpret = interpret_at(op);
    a_.cmp(x86::byte_ptr(kHart, HV_HART_OFFSET(priv)), static_cast<int>(Priv::kSupervisor));
    a_.je(interpret);
  }
  store_registers(dirty_);
  store_float_registers(float_dirty_);
  dirty_ = float_dirty_ = 0;
  call_system(op, index_);
  float_checked_ = float_marked_ = false;
  const unsigned rd = op.fields.rd;
  if (rd < 32 && assigned(rd) && (loaded_ & bit(rd))) a_.mov(host(rd), guest(rd));
}

// All guest registers are stored.
void Emitter::call_system(const TraceOp& op, uint32_t index) {
  NativeSystem& system = out_.systems.add();
  system = {op.fields, op.word, index, op.page_offset, op.length};
  a_.mov(x86::rax, address_of(reinterpret_cast<const void*>(system_helper(op.kind))));
  a_.mov(x86::rdx, address_of(&system));
  a_.call(address_of(calls().system));
  leaves_.push_back(a_.newLabel());
  a_.jz(leaves_.back());
  // instret has been brought up to date.
  a_.mov(kRetired, -static_cast<int64_t>(index) - 1);
  a_.mov(kTlb, x86::qword_ptr(kHart, HV_HART_OFFSET(data_tlb)));
}

// Harts wait for a lock in here as long as wrs ends soon, and sleep in the interpreter alone, where
// others may change what compiled code holds meanwhile.
void Emitter::emit_wait(const TraceOp& op) {
  a_.mov(x86::rax, address_of(reinterpret_cast<const void*>(wait_helper(op.kind))));
  a_.call(address_of(calls().op));
  a_.jz(interpret_at(op));
}

// All guest registers are stored.
void Emitter::emit_leaves() {
  if (leaves_.empty()) return;
  for (const asmjit::Label& label : leaves_) a_.bind(label);
  a_.xor_(kRetired.r32(), kRetired.r32());
  a_.mov(kTlb, x86::qword_ptr(kHart, HV_HART_OFFSET(data_tlb)));
  a_.mov(x86::rax, x86::qword_ptr(kHart, HV_HART_OFFSET(pc)));
  a_.jmp(address_of(stubs_.far));
}

}  // namespace hv::jit
