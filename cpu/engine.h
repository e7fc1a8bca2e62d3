// An execution engine: runs one hart's instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cpu/hart.h"

namespace hv {

class CodeListener;

enum class EngineExit {
  kRequest,  // hart.requests is not 0
  kWait,     // the guest executed WFI (pc is behind it)
};

// One per hart, hart thread only.
class Engine {
 public:
  virtual ~Engine() = default;
  // Runs from hart.pc, taking exceptions on the way, until there is a reason to leave; requests are
  // looked at once per block. On return pc, registers, fflags and instret are exact.
  virtual EngineExit run(Hart& hart) = 0;
  // Executes exactly one instruction (taking its exception): debuggers and tests.
  virtual void step(Hart& hart) = 0;
  // fence.i: code written before is seen from the next instruction on.
  virtual void fence_i() = 0;
  // Others wait for this hart to let go of pages that they want to watch (CodePages), or of code
  // that is to be dropped.
  virtual void release_code() {}
  // Drops all decoded code.
  virtual void flush_code() = 0;
};

std::unique_ptr<Engine> make_interpreter(Hart& hart);

struct JitOptions {
  // How often a block runs before its path is compiled. 0: before it first runs, and alone, for
  // nothing is known about its path: for tests.
  uint32_t threshold = 64;
  size_t code_bytes = size_t{256} << 20;  // room for code, of all harts
  // Compile on a thread of its own; else the hart does it, and the code is there at once.
  bool background = false;
  std::vector<std::shared_ptr<CodeListener>> listeners;  // cpu/jit/code_listener.h
};
// Makes each hart's engine: the interpreter with a compiler for hot code, which all harts share;
// without the latter where the host has none. To be called by one hart after the other.
std::function<std::unique_ptr<Engine>(Hart&)> jit_engines(const JitOptions& options);

}  // namespace hv
