// The compiled code of one hart: which paths there are, how they lead to each other, and that none
// runs whose instructions have changed. See docs/JIT.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/block_cache.h"
#include "cpu/engine.h"
#include "cpu/jit/compiler.h"
#include "cpu/jit/trace.h"

namespace hv {

// Hart thread only.
class Jit {
 public:
  // nullptr: the host cannot run compiled code.
  static std::unique_ptr<Jit> create(Hart& hart, const JitOptions& options);
  Jit(const Jit&) = delete;
  Jit& operator=(const Jit&) = delete;

  const JitOptions& options() const { return options_; }

  // Compiles what `blocks` hold, which ran one after the other; they are in one page. `loops`: the
  // last one led to the first. nullptr: nothing to compile, or no room (full() then).
  NativeTrace* compile(const std::vector<Block*>& blocks, bool loops);
  bool full() const { return full_; }

  // Before compiled code is entered after hart.code_generation may have changed.
  void sync() {
    if (generation_ != hart_.code_generation) [[unlikely]]
      unlink();
  }
  // Whether the path's instructions are still those in memory.
  bool current(NativeTrace& trace) {
    return trace.verified == hart_.code_generation || verify(trace);
  }
  JitCompiler::Result enter(const NativeTrace& trace, uint64_t pc) {
    return compiler_->enter(trace, pc);
  }
  // The next time, compiled code goes from the link, or from anywhere to pc in this context,
  // straight to `to`, which is current.
  void connect(const NativeLink* from, const NativeTrace& to);
  void remember(uint64_t pc, const NativeTrace& to);

  // Drops all code.
  void clear();

 private:
  Jit(Hart& hart, const JitOptions& options);
  void make_trace(const std::vector<Block*>& blocks, bool loops, Trace& trace,
                  NativeTrace& native) const;
  void unlink();
  bool verify(NativeTrace& trace);

  Hart& hart_;
  const JitOptions options_;
  std::vector<NativePlace> places_;
  std::unique_ptr<JitCompiler> compiler_;
  std::vector<std::unique_ptr<NativeTrace>> traces_;
  // Links that lead somewhere, and whether places_ holds anything.
  std::vector<NativeLink*> connected_;
  std::vector<NativePlace*> remembered_;
  uint64_t generation_ = 0;
  bool full_ = false;
};

}  // namespace hv
