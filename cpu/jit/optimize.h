// Makes the ops of a path cheaper and leaves what a guest can see as it is: at each exit and each
// exception the registers hold what the instructions say. See docs/JIT.md.
#pragma once

#include "cpu/jit/trace.h"

namespace hv::jit {

void optimize(Trace& trace);

}  // namespace hv::jit
