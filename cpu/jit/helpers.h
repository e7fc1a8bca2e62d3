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

// For wrs.nto and wrs.sto, nullptr for others. False: the interpreter has to run it, for the hart
// would sleep, or get an exception.
OpHelper wait_helper(Op kind);

// The host registers of a path that is left at a point.
struct NativeRegisters {
  uint64_t x[9];   // jit::kPool
  uint64_t f[14];  // jit::float_register()
};
// Brings x, f and instret up to date; returns pc.
uint64_t leave_at(Hart* hart, const NativePoint* point, const NativeRegisters* registers,
                  uint64_t retired);

// What the inline TLB probe leaves over; false: an exception. Loads extend as the instruction does.
using LoadHelper = bool (*)(Hart* hart, uint64_t address, uint64_t* value);
using StoreHelper = bool (*)(Hart* hart, uint64_t address, uint64_t value);
LoadHelper load_helper(Op kind);
StoreHelper store_helper(unsigned size);

}  // namespace hv
