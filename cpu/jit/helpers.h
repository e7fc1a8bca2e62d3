// Functions that compiled code calls.
#pragma once

#include <cstdint>

#include "cpu/decoded_op.h"
#include "cpu/hart.h"
#include "cpu/jit/native.h"
#include "cpu/op.h"

namespace hv {

// Runs the row's body on the hart's registers; false: it raised an exception.
using OpHelper = bool (*)(Hart* hart, const DecodedOp* op);
// Not for rows that end a block, nor for auipc.
OpHelper op_helper(Op kind);

// Runs a system instruction; `retired` counts what came before its path. False: execution goes on
// at hart.pc, or a request is to be looked at; both are exact then, and instret always.
using SystemHelper = bool (*)(Hart* hart, const NativeSystem* system, uint64_t retired);
// nullptr: not in compiled code.
SystemHelper system_helper(Op kind);

// What the inline TLB probe leaves over; false: an exception. Loads extend as the instruction does.
using LoadHelper = bool (*)(Hart* hart, uint64_t address, uint64_t* value);
using StoreHelper = bool (*)(Hart* hart, uint64_t address, uint64_t value);
LoadHelper load_helper(Op kind);
StoreHelper store_helper(unsigned size);

}  // namespace hv
