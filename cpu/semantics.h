// What each instruction does: one body per row of cpu/isa, named as the row's identifier.
//
// Every engine runs these bodies. The result type says what the engine must do next:
//   void       nothing can go wrong: the next op
//   bool       false: the exception is in the hart (an illegal instruction's tval is filled in by
//              the engine, which knows the instruction word)
//   Branch     whether the branch is taken
//   uint64_t   a jump's target
//   SysResult  see cpu/system_ops.h; the engine has made hart.pc and hart.instret exact before
// Bodies that need their own address take it as a Pc; hart.pc is exact for SysResult bodies only.
#pragma once

#include "cpu/semantics_bits.h"
#include "cpu/semantics_crypto.h"
#include "cpu/semantics_float.h"
#include "cpu/semantics_integer.h"
#include "cpu/semantics_memory.h"
#include "cpu/semantics_system.h"
