// An execution engine: runs one hart's instructions.
#pragma once

#include <memory>

#include "cpu/hart.h"

namespace hv {

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
  // Drops all decoded code.
  virtual void flush_code() = 0;
};

std::unique_ptr<Engine> make_interpreter(Hart& hart);

}  // namespace hv
