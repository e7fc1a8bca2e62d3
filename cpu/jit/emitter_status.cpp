// sstatus, of whose accesses a kernel has most among CSRs: reads, SIE (interrupts off and on again)
// and SUM (access to a program's memory). What else is written, is written outside of S-mode or
// makes an interrupt due goes the way of all system instructions (cpu/jit/emitter_system.cpp).
#include "cpu/csr.h"
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"
#include "cpu/mmu.h"

namespace hv::jit {
namespace {

constexpr int32_t kSie = kMstatusSie, kSum = kMstatusSum, kFs = kMstatusFs;

bool by_register(const TraceOp& op) {
  return (op.kind == Op::csrrs || op.kind == Op::csrrc) && op.fields.rs1 != 0;
}

// Another data TLB is the context's, and nothing else changes.
bool set_sum(Hart* hart, const DecodedOp*) {
  hart->csr.mstatus |= kMstatusSum;
  hart->mmu->context_changed();
  return true;
}
bool clear_sum(Hart* hart, const DecodedOp*) {
  hart->csr.mstatus &= ~kMstatusSum;
  hart->mmu->context_changed();
  return true;
}

}  // namespace

bool is_status(const TraceOp& op) {
  if (static_cast<unsigned>(op.fields.imm) != kSstatus) return false;
  switch (op.kind) {
    case Op::csrrs:
    case Op::csrrc:
      return true;
    case Op::csrrsi:
    case Op::csrrci:
      return op.fields.rs1 == 0 || op.fields.rs1 == kMstatusSie;
    default:
      return false;
  }
}

bool is_plain_status(const TraceOp& op) {
  return is_status(op) && !by_register(op);
}

void Emitter::emit_status(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1;
  const bool sets = op.kind == Op::csrrs || op.kind == Op::csrrsi;
  const auto csr = [](size_t offset) {
    return x86::qword_ptr(kHart, HV_HART_OFFSET(csr) + static_cast<int32_t>(offset));
  };
  const x86::Mem mstatus = csr(offsetof(CsrState, mstatus));
  const x86::Mem priv = x86::byte_ptr(kHart, HV_HART_OFFSET(priv));
  const asmjit::Label slow = a_.newLabel(), back = a_.newLabel();
  // Bits to set or clear.
  x86::Gp bits = x86::rdx;
  if (by_register(op)) bits = source(rs1, x86::rdx);
  const uint32_t dirty = dirty_, float_dirty = float_dirty_, index = index_;
  a_.cmp(priv, static_cast<int>(Priv::kSupervisor));
  a_.jne(slow);
  if (by_register(op)) {
    const asmjit::Label others = rd < 32 ? slow : a_.newLabel();
    a_.test(bits, ~kSie);
    a_.jnz(others);
    if (rd >= 32)
      out_of_line([=, this] {
        a_.bind(others);
        a_.cmp(bits, kSum);
        a_.jne(slow);
        a_.mov(x86::rax, address_of(reinterpret_cast<const void*>(sets ? set_sum : clear_sum)));
        a_.call(address_of(calls().op));
        a_.mov(kTlb, x86::qword_ptr(kHart, HV_HART_OFFSET(data_tlb)));
        a_.jmp(back);
      });
    // What is written may be FS.
    float_checked_ = float_marked_ = false;
  }
  if (rs1 != 0 && sets) {
    // Another thread that makes one pending later has a request follow.
    a_.mov(x86::rcx, x86::qword_ptr(kHart, HV_HART_OFFSET(mip)));
    a_.or_(x86::rcx, csr(offsetof(CsrState, software_seip)));
    a_.test(csr(offsetof(CsrState, mie)), x86::rcx);
    a_.jnz(slow);
    a_.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
    a_.jne(slow);
  }
  a_.mov(x86::rax, mstatus);
  if (by_register(op)) {
    a_.mov(x86::rcx, bits);
    if (sets) {
      a_.or_(x86::rcx, x86::rax);
    } else {
      a_.not_(x86::rcx);
      a_.and_(x86::rcx, x86::rax);
    }
    a_.mov(mstatus, x86::rcx);
  } else if (rs1 != 0) {
    a_.mov(x86::ecx, x86::eax);
    if (sets)
      a_.or_(x86::ecx, kSie);
    else
      a_.and_(x86::ecx, ~kSie);
    a_.mov(x86::dword_ptr(kHart,
                          HV_HART_OFFSET(csr) + static_cast<int32_t>(offsetof(CsrState, mstatus))),
           x86::ecx);
  }
  if (rd < 32) {
    const x86::Gp d = target(rd);
    // SD, which is bit 63, says that FS is dirty: adding one carries to bit 15.
    a_.mov(x86::ecx, x86::eax);
    a_.and_(x86::ecx, kFs);
    a_.add(x86::ecx, 1 << 13);
    a_.shr(x86::ecx, 15);
    a_.shl(x86::rcx, 63);
    a_.bts(x86::rcx, 33);
    static_assert(kMstatusFs == 3 << 13 && kMstatusSd == 1ull << 63 && kMstatusUxl == 1ull << 33);
    if (d != x86::rax) a_.mov(d.r32(), x86::eax);
    a_.and_(d.r32(), static_cast<int32_t>(kSstatusStored));
    a_.or_(d, x86::rcx);
    written(rd);
  }
  a_.bind(back);
  out_of_line([=, this, &op] {
    a_.bind(slow);
    store_registers(dirty);
    store_float_registers(float_dirty);
    call_system(op, index);
    if (assigned(rd)) a_.mov(host(rd), guest(rd));
    a_.jmp(back);
  });
}

}  // namespace hv::jit
