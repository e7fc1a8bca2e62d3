// Translates paths (cpu/jit/trace.h) to x86-64. See docs/JIT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/hart.h"
#include "cpu/jit/native.h"
#include "cpu/jit/trace.h"

namespace hv {

// Where compiled code looks for the code of a place in another page. Direct-mapped by pc.
struct NativePlace {
  uint64_t pc;
  uint64_t context;  // Hart::fetch_generation
  const void* code;
  uint64_t unused;
};
inline constexpr size_t kNativePlaces = 8192;

inline size_t native_place_index(uint64_t pc) {
  return (static_cast<uint32_t>(pc) >> 1 ^ static_cast<uint32_t>(pc) >> 12) % kNativePlaces;
}

// Hart thread only.
class JitCompiler {
 public:
  // `places` has kNativePlaces entries; `bytes` is the room for code. nullptr: the host has no
  // memory to execute.
  static std::unique_ptr<JitCompiler> create(Hart& hart, const NativePlace* places, size_t bytes);
  ~JitCompiler();
  JitCompiler(const JitCompiler&) = delete;
  JitCompiler& operator=(const JitCompiler&) = delete;

  // Whether a path may hold this instruction; the others are the interpreter's.
  static bool compiles(Op kind);

  // Fills in the code and what it refers to. False: no room; clear() makes some.
  bool compile(const Trace& trace, NativeTrace& native);
  // Drops all code.
  void clear();

  struct Result {
    uint64_t pc;
    NativeExit exit;
    const void* detail;
  };
  // Runs `trace` from its beginning, whose virtual address is pc. Retired instructions are in
  // hart.instret afterwards, hart.pc is left alone.
  Result enter(const NativeTrace& trace, uint64_t pc);

  // NativeLink::target of one that leads nowhere yet.
  const void* unlinked() const;

 private:
  struct Impl;
  explicit JitCompiler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hv
