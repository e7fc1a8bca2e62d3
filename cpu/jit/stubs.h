// The pieces of code that all paths share, and the jump to any place. Used by the compiler only.
#pragma once

#include "cpu/jit/emitter.h"

namespace hv::jit {

// What they take and leave in registers: Stubs (cpu/jit/emitter.h).
using Enter = void (*)(Hart* hart, const void* code, JitCompiler::Result* result);

void emit_enter(x86::Assembler& a);
void emit_leave(x86::Assembler& a);
void emit_leave_for(x86::Assembler& a, NativeExit exit, const void* leave);
// Ends code that goes on at the pc in rax. Not shared: the host predicts where each of its jumps
// goes.
void emit_far(x86::Assembler& a, const void* leave);
void emit_called(x86::Assembler& a);
void emit_returned(x86::Assembler& a, const void* far);
void emit_leave_at(x86::Assembler& a, NativeExit exit, const void* leave);

enum class Call { kOp, kLoad, kStore, kSystem };
void emit_call(x86::Assembler& a, Call call, bool floats);

}  // namespace hv::jit
