#include "cpu/jit/compiler.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <iterator>

#include "cpu/jit/code_memory.h"
#include "cpu/jit/emitter.h"
#include "cpu/jit/helpers.h"
#include "cpu/jit/link_order.h"
#include "cpu/jit/optimize.h"
#include "cpu/jit/stubs.h"
#include "cpu/jit/trace_log.h"
#include "io/log.h"

namespace hv {

namespace jit {
namespace {

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
         op_has(kind, op_flags::kJump) || system_helper(kind) || wait_helper(kind);
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
  link_was_followed();
  return result;
}

const std::vector<JitCompiler::Stub>& JitCompiler::stubs() const {
  return impl_->stub_list;
}

const void* JitCompiler::unlinked() const {
  return impl_->stubs.unlinked;
}

}  // namespace hv
