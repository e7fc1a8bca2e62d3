// Paths as text, for -d op, -d out_asm and perf.
#pragma once

#include <string>

#include "cpu/jit/trace.h"

namespace hv {

// What people and tools call a path's code.
std::string code_name(const Trace& trace);
// One line, without its end: the instruction, the way that the path goes from it, and, if the
// compiler goes by something else than the instruction's own words, what that is.
std::string to_text(const Trace& trace, const TraceOp& op);
// All of them, behind a line about the path.
std::string to_text(const Trace& trace);

}  // namespace hv
