#include "cpu/jit/stubs.h"

#include <array>
#include <iterator>

#include "cpu/jit/helpers.h"

namespace hv::jit {
namespace {

const std::array<x86::Gp, 6> kSaved = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};
// Of kPool, what a called function may change.
const std::array<x86::Gp, 6> kChanged = {x86::rsi, x86::rdi, x86::r8, x86::r9, x86::r10, x86::r11};

constexpr int32_t kReturnsBytes = sizeof(Hart::native_returns);
using Return = Hart::NativeReturn;

}  // namespace

// From C++ to compiled code. The stack is aligned for calls there but for a return address.
void emit_enter(x86::Assembler& a) {
  for (const x86::Gp& reg : kSaved) a.push(reg);
  a.push(x86::rdx);
  a.lea(kHart, x86::ptr(x86::rdi, kHartBias));
  a.xor_(kRetired.r32(), kRetired.r32());
  a.mov(kTlb, x86::qword_ptr(kHart, HV_HART_OFFSET(data_tlb)));
  a.jmp(x86::rsi);
}

// And back: rax pc, rcx exit, rdx detail.
void emit_leave(x86::Assembler& a) {
  a.add(x86::qword_ptr(kHart, HV_HART_OFFSET(instret)), kRetired);
  a.pop(x86::rdi);
  a.mov(x86::qword_ptr(x86::rdi, offsetof(JitCompiler::Result, pc)), x86::rax);
  a.mov(x86::qword_ptr(x86::rdi, offsetof(JitCompiler::Result, exit)), x86::rcx);
  a.mov(x86::qword_ptr(x86::rdi, offsetof(JitCompiler::Result, detail)), x86::rdx);
  for (auto reg = kSaved.rbegin(); reg != kSaved.rend(); ++reg) a.pop(*reg);
  a.ret();
}

// rdx NativeLink.
void emit_leave_for(x86::Assembler& a, NativeExit exit, const void* leave) {
  a.movzx(x86::eax, x86::word_ptr(x86::rdx, offsetof(NativeLink, page_offset)));
  a.add(x86::rax, x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)));
  a.mov(x86::ecx, static_cast<uint32_t>(exit));
  a.jmp(reinterpret_cast<uint64_t>(leave));
}

// rax pc, which may be in any page and is in the hart's table if there is code for it.
void emit_far(x86::Assembler& a, const void* leave) {
  static_assert(sizeof(NativePlace) == 32);
  const asmjit::Label miss = a.newLabel();
  // native_place_index()
  a.imul(x86::ecx, x86::eax, kNativePcFactor);
  a.imul(x86::edx, x86::dword_ptr(kHart, HV_HART_OFFSET(fetch_generation)), kNativeContextFactor);
  a.add(x86::ecx, x86::edx);
  a.shr(x86::ecx, 32 - kNativePlaceBits);
  a.shl(x86::ecx, 5);
  a.add(x86::rcx, x86::qword_ptr(kHart, HV_HART_OFFSET(native_places)));
  a.cmp(x86::rax, x86::qword_ptr(x86::rcx));
  a.jne(miss);
  a.mov(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(fetch_generation)));
  a.cmp(x86::rdx, x86::qword_ptr(x86::rcx, offsetof(NativePlace, context)));
  a.jne(miss);
  a.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
  a.jne(miss);
  a.and_(x86::rax, static_cast<int32_t>(kPageMask));
  a.mov(x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)), x86::rax);
  a.jmp(x86::qword_ptr(x86::rcx, offsetof(NativePlace, code)));
  a.bind(miss);
  a.xor_(x86::edx, x86::edx);
  a.mov(x86::ecx, static_cast<uint32_t>(NativeExit::kPlace));
  a.jmp(reinterpret_cast<uint64_t>(leave));
}

void emit_called(x86::Assembler& a) {
  const x86::Mem latest = x86::dword_ptr(kHart, HV_HART_OFFSET(native_returned));
  // The link is needed when the call returns; to wait for it now would cost much.
  a.prefetcht0(x86::ptr(x86::rdx));
  a.mov(x86::ecx, latest);
  a.add(x86::ecx, static_cast<int>(sizeof(Return)));
  a.and_(x86::ecx, kReturnsBytes - 1);
  a.mov(latest, x86::ecx);
  a.lea(x86::rcx, x86::ptr(kHart, x86::rcx, 0, HV_HART_OFFSET(native_returns)));
  a.mov(x86::qword_ptr(x86::rcx, offsetof(Return, link)), x86::rdx);
  a.mov(x86::qword_ptr(x86::rcx, offsetof(Return, pc)), x86::rax);
  a.mov(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(fetch_generation)));
  a.mov(x86::qword_ptr(x86::rcx, offsetof(Return, context)), x86::rdx);
  a.ret();
}

// The context has been the same since the call, so pc is mapped to where it was.
void emit_returned(x86::Assembler& a, const void* far) {
  const asmjit::Label other = a.newLabel();
  const auto returns = [](size_t offset) {
    return x86::qword_ptr(kHart, x86::rcx, 0,
                          HV_HART_OFFSET(native_returns) + static_cast<int32_t>(offset));
  };
  a.mov(x86::ecx, x86::dword_ptr(kHart, HV_HART_OFFSET(native_returned)));
  a.cmp(x86::rax, returns(offsetof(Return, pc)));
  a.jne(other);
  a.mov(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(fetch_generation)));
  a.cmp(x86::rdx, returns(offsetof(Return, context)));
  a.jne(other);
  a.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
  a.jne(other);
  a.mov(x86::rdx, returns(offsetof(Return, link)));
  a.sub(x86::ecx, static_cast<int>(sizeof(Return)));
  a.and_(x86::ecx, kReturnsBytes - 1);
  a.mov(x86::dword_ptr(kHart, HV_HART_OFFSET(native_returned)), x86::ecx);
  a.and_(x86::rax, static_cast<int32_t>(kPageMask));
  a.mov(x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)), x86::rax);
  a.jmp(x86::qword_ptr(x86::rdx));
  a.bind(other);
  a.jmp(reinterpret_cast<uint64_t>(far));
}

// rdx NativePoint. Never comes back.
void emit_leave_at(x86::Assembler& a, NativeExit exit, const void* leave) {
  constexpr int kPoint = sizeof(NativeRegisters), kFrame = (kPoint + 8 + 15) / 16 * 16;
  static_assert(kPool.size() == std::size(NativeRegisters{}.x) &&
                kFloatPool == std::size(NativeRegisters{}.f));
  a.sub(x86::rsp, kFrame);
  for (size_t i = 0; i < kPool.size(); ++i)
    a.mov(x86::qword_ptr(x86::rsp, static_cast<int>(offsetof(NativeRegisters, x) + i * 8)),
          kPool[i]);
  for (unsigned i = 0; i < kFloatPool; ++i)
    a.movsd(x86::qword_ptr(x86::rsp, static_cast<int>(offsetof(NativeRegisters, f) + i * 8)),
            float_register(i));
  a.mov(x86::qword_ptr(x86::rsp, kPoint), x86::rdx);
  a.lea(x86::rdi, x86::ptr(kHart, -kHartBias));
  a.mov(x86::rsi, x86::rdx);
  a.mov(x86::rdx, x86::rsp);
  a.mov(x86::rcx, kRetired);
  a.mov(x86::rax, reinterpret_cast<uint64_t>(leave_at));
  a.call(x86::rax);
  a.xor_(kRetired.r32(), kRetired.r32());
  a.mov(x86::rdx, x86::qword_ptr(x86::rsp, kPoint));
  a.add(x86::rsp, kFrame);
  a.mov(x86::ecx, static_cast<uint32_t>(exit));
  a.jmp(reinterpret_cast<uint64_t>(leave));
}

void emit_call(x86::Assembler& a, Call call, bool floats) {
  for (const x86::Gp& reg : kChanged) a.push(reg);
  // 8 of the return address, 48 of registers; a result and f registers here.
  constexpr int kResult = 8, kFrame = kResult + static_cast<int>(kFloatPool) * 8;
  static_assert((8 + 48 + kFrame) % 16 == 0);
  a.sub(x86::rsp, kFrame);
  if (floats)
    for (unsigned i = 0; i < kFloatPool; ++i)
      a.movsd(x86::qword_ptr(x86::rsp, static_cast<int>(kResult + i * 8)), float_register(i));
  a.lea(x86::rdi, x86::ptr(kHart, -kHartBias));
  switch (call) {
    case Call::kOp:
      a.mov(x86::rsi, x86::rdx);
      a.call(x86::rax);
      break;
    case Call::kSystem:
      a.mov(x86::rsi, x86::rdx);
      a.mov(x86::rdx, kRetired);
      a.call(x86::rax);
      break;
    case Call::kLoad:
      a.mov(x86::rsi, x86::rax);
      a.mov(x86::rdx, x86::rsp);
      a.call(x86::rcx);
      break;
    case Call::kStore:
      a.mov(x86::rsi, x86::rax);
      a.call(x86::rcx);
      break;
  }
  a.movzx(x86::ecx, x86::al);
  if (call == Call::kLoad) a.mov(x86::rax, x86::qword_ptr(x86::rsp));
  if (floats)
    for (unsigned i = 0; i < kFloatPool; ++i)
      a.movsd(float_register(i), x86::qword_ptr(x86::rsp, static_cast<int>(kResult + i * 8)));
  a.add(x86::rsp, kFrame);
  for (auto reg = kChanged.rbegin(); reg != kChanged.rend(); ++reg) a.pop(*reg);
  a.test(x86::ecx, x86::ecx);
  a.ret();
}

}  // namespace hv::jit
