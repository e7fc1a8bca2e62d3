// Translates paths (cpu/jit/trace.h) to x86-64. See docs/JIT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cpu/hart.h"
#include "cpu/jit/code_memory.h"
#include "cpu/jit/native.h"
#include "cpu/jit/trace.h"

namespace hv {

// Its code is for every hart of a machine.
class JitCompiler {
 public:
  // What all code needs goes to the first kStubBytes of `code`, which holds the rest as well.
  static constexpr size_t kStubBytes = 4096;
  JitCompiler(const GuestMemory& memory, jit::CodeMemory& code);
  ~JitCompiler();
  JitCompiler(const JitCompiler&) = delete;
  JitCompiler& operator=(const JitCompiler&) = delete;

  // What is there before any path is.
  struct Stub {
    std::string name;
    std::span<const uint8_t> code;
  };
  const std::vector<Stub>& stubs() const;

  // Whether a path may hold this instruction; the others are the interpreter's.
  static bool compiles(Op kind);
  // Whether nothing of it can come behind this one.
  static bool ends_path(Op kind);

  // Any thread, one at a time: the code of `trace`, to be put at the address that `place` gives for
  // its size; fills in what it refers to and native.code. Empty: no place (nullptr).
  template <class Place>
  std::vector<uint8_t> compile(const Trace& trace, NativeTrace& native, Place place) {
    const size_t size = assemble(trace, native);
    const void* at = place(size);
    return at ? finish(trace, native, at) : std::vector<uint8_t>();
  }

  struct Result {
    uint64_t pc;
    NativeExit exit;
    const void* detail;
  };
  // Hart thread: runs `trace` from its beginning, whose virtual address is pc. Retired instructions
  // are in hart.instret afterwards, hart.pc is left alone.
  Result enter(Hart& hart, const NativeTrace& trace, uint64_t pc) const;

  // NativeLink::code of a place without code: leaves for there.
  const void* unlinked() const;

 private:
  struct Impl;
  size_t assemble(const Trace& trace, NativeTrace& native);
  std::vector<uint8_t> finish(const Trace& trace, NativeTrace& native, const void* at);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hv
