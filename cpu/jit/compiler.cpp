#include "cpu/jit/compiler.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <iterator>

#include "cpu/jit/code_memory.h"
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"
#include "cpu/jit/optimize.h"
#include "cpu/jit/trace_log.h"
#include "io/log.h"

namespace hv {

namespace jit {
namespace {

using Enter = void (*)(Hart* hart, const void* code, JitCompiler::Result* result);

const std::array<x86::Gp, 6> kSaved = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};
// Of kPool, what a called function may change.
const std::array<x86::Gp, 6> kChanged = {x86::rsi, x86::rdi, x86::r8, x86::r9, x86::r10, x86::r11};

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

constexpr int32_t kReturnsBytes = sizeof(Hart::native_returns);
using Return = Hart::NativeReturn;

void emit_called(x86::Assembler& a) {
  const x86::Mem latest = x86::dword_ptr(kHart, HV_HART_OFFSET(native_returned));
  a.mov(x86::eax, latest);
  a.add(x86::eax, static_cast<int>(sizeof(Return)));
  a.and_(x86::eax, kReturnsBytes - 1);
  a.mov(latest, x86::eax);
  a.lea(x86::rax, x86::ptr(kHart, x86::rax, 0, HV_HART_OFFSET(native_returns)));
  a.mov(x86::qword_ptr(x86::rax, offsetof(Return, link)), x86::rdx);
  a.movzx(x86::edx, x86::word_ptr(x86::rdx, offsetof(NativeLink, page_offset)));
  a.add(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)));
  a.mov(x86::qword_ptr(x86::rax, offsetof(Return, pc)), x86::rdx);
  a.mov(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(fetch_generation)));
  a.mov(x86::qword_ptr(x86::rax, offsetof(Return, context)), x86::rdx);
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

enum class Call { kOp, kLoad, kStore, kSystem };

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

// What asmjit refuses would be missing in the code.
class NoErrors : public asmjit::ErrorHandler {
  void handleError(asmjit::Error, const char* message, asmjit::BaseEmitter*) override {
    report(fmt::format("compiler: {}", message));
    std::abort();
  }
};

HostFeatures host_features() {
  const auto& features = asmjit::CpuInfo::host().features().x86();
  return {.bmi1 = features.hasBMI(),
          .bmi2 = features.hasBMI2(),
          .lzcnt = features.hasLZCNT(),
          .popcnt = features.hasPOPCNT(),
          .fma = features.hasFMA(),
          .pclmulqdq = features.hasPCLMULQDQ(),
          .sse4_1 = features.hasSSE4_1(),
          .f16c = features.hasF16C(),
          .aesni = features.hasAESNI()};
}

}  // namespace
}  // namespace jit

using namespace jit;

struct JitCompiler::Impl {
  Impl(const GuestMemory& guest, CodeMemory& code) : memory(guest), code_memory(code) {
    make_stubs();
  }

  const GuestMemory& memory;
  CodeMemory& code_memory;
  size_t stub_bytes = 0;
  std::vector<Stub> stub_list{};
  const HostFeatures features = host_features();
  Stubs stubs{};
  Enter enter = nullptr;
  NoErrors no_errors{};
  asmjit::StringLogger logger{};
  asmjit::CodeHolder holder{};

  template <class Emit>
  size_t assemble(Emit emit) {
    holder.reset(asmjit::ResetPolicy::kSoft);
    holder.init(asmjit::Environment::host());
    holder.setErrorHandler(&no_errors);
    if (log_enabled(kLogOutAsm)) {
      logger.clear();
      logger.setFlags(asmjit::FormatFlags::kHexImms | asmjit::FormatFlags::kHexOffsets);
      logger.setIndentation(asmjit::FormatIndentationGroup::kCode, 2);
      holder.setLogger(&logger);
    }
    x86::Assembler assembler(&holder);
    emit(assembler);
    holder.flatten();
    holder.resolveUnresolvedLinks();
    return holder.codeSize();
  }
  std::vector<uint8_t> finish(const std::string& name, const void* at) {
    holder.relocateToBase(reinterpret_cast<uint64_t>(at));
    std::vector<uint8_t> code(holder.codeSize());
    holder.copyFlattenedData(code.data(), code.size());
    log(kLogOutAsm, "OUT: {}, {} bytes at {}\n{}", name, code.size(), at, logger.data());
    return code;
  }

  template <class Emit>
  const void* add(const std::string& name, Emit emit) {
    assemble(emit);
    const uint8_t* at = code_memory.address(stub_bytes);
    const std::vector<uint8_t> code = finish(name, at);
    if (stub_bytes + code.size() > kStubBytes) std::abort();
    code_memory.write(stub_bytes, code.data(), code.size());
    stub_list.push_back({name, {at, code.size()}});
    stub_bytes = (stub_bytes + code.size() + 15) / 16 * 16;
    return at;
  }

  void make_stubs() {
    enter = reinterpret_cast<Enter>(reinterpret_cast<uintptr_t>(add("jit_enter", emit_enter)));
    stubs.leave = add("jit_leave", emit_leave);
    stubs.far = add("jit_far", [&](auto& a) { emit_far(a, stubs.leave); });
    stubs.exception = add("jit_exception",
                          [&](auto& a) { emit_leave_at(a, NativeExit::kException, stubs.leave); });
    stubs.interpret = add("jit_interpret",
                          [&](auto& a) { emit_leave_at(a, NativeExit::kInterpret, stubs.leave); });
    stubs.returned = add("jit_returned", [&](auto& a) { emit_returned(a, stubs.far); });
    stubs.called = add("jit_called", emit_called);
    stubs.unlinked =
        add("jit_unlinked", [&](auto& a) { emit_leave_for(a, NativeExit::kPlace, stubs.leave); });
    stubs.request =
        add("jit_request", [&](auto& a) { emit_leave_for(a, NativeExit::kRequest, stubs.leave); });
    for (const bool floats : {false, true}) {
      const auto call = [&](const char* what, Call kind) {
        return add(fmt::format("jit_call_{}{}", what, floats ? "_keeping_f" : ""),
                   [&](auto& a) { emit_call(a, kind, floats); });
      };
      Stubs::Calls& calls = floats ? stubs.float_calls : stubs.calls;
      calls.op = call("op", Call::kOp);
      calls.load = call("load", Call::kLoad);
      calls.store = call("store", Call::kStore);
      calls.system = call("system", Call::kSystem);
    }
  }
};

JitCompiler::JitCompiler(const GuestMemory& memory, CodeMemory& code)
    : impl_(std::make_unique<Impl>(memory, code)) {}
JitCompiler::~JitCompiler() = default;

bool JitCompiler::compiles(Op kind) {
  return !op_has(kind, op_flags::kEndsBlock) || op_has(kind, op_flags::kBranch) ||
         op_has(kind, op_flags::kJump) || system_helper(kind);
}

bool JitCompiler::ends_path(Op kind) {
  return kind == Op::jalr || kind == Op::ecall || kind == Op::sret || kind == Op::mret;
}

size_t JitCompiler::assemble(const Trace& recorded, NativeTrace& native) {
  Trace trace = recorded;
  optimize(trace);
  if (log_enabled(kLogOp)) [[unlikely]]
    log(kLogOp, "{}", to_text(trace));
  return impl_->assemble([&](x86::Assembler& a) {
    Emitter(a, impl_->stubs, impl_->features, impl_->memory, trace, native).emit();
  });
}

std::vector<uint8_t> JitCompiler::finish(const Trace& trace, NativeTrace& native, const void* at) {
  native.code = at;
  return impl_->finish(code_name(trace), at);
}

// Clang's check of a function's type reads in front of it, where compiled code has nothing.
#ifdef __clang__
[[clang::no_sanitize("function")]]
#endif
JitCompiler::Result JitCompiler::enter(Hart& hart, const NativeTrace& trace, uint64_t pc) const {
  Result result;
  hart.native_page = pc & kPageMask;
  impl_->enter(&hart, trace.code, &result);
  return result;
}

const std::vector<JitCompiler::Stub>& JitCompiler::stubs() const {
  return impl_->stub_list;
}

const void* JitCompiler::unlinked() const {
  return impl_->stubs.unlinked;
}

}  // namespace hv
