// The operations: one for each INSN row of cpu/isa/*.inc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hv {

// Named as the instruction with '.' written '_' (Op::fadd_s); and, or, xor are and_, or_, xor_.
// Compressed and other alternative forms (FORM rows) have no Op of their own.
enum class Op : uint16_t {
  kIllegal,
#define INSN(id, pattern, format, ext, flags) id,
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
  kCount
};

// The last column of a row.
namespace op_flags {
enum Flag : uint8_t {
  kEndsBlock = 1u << 0,  // a decoded block ends behind it
  kJump = 1u << 1,       // jal, jalr
  kBranch = 1u << 2,     // conditional branch
  kReads = 1u << 3,      // loads from memory
  kWrites = 1u << 4,     // stores to memory
  kFp = 1u << 5,         // illegal when mstatus.FS is Off
  kSystem = 1u << 6,     // touches privilege, CSRs or translation; see cpu/system_ops.h
  kSubset = 1u << 7,     // the row may match words of one more general row, and wins
};

inline constexpr uint8_t kTable[] = {
    kEndsBlock,
#define INSN(id, pattern, format, ext, flags) (flags),
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};
}  // namespace op_flags

constexpr bool op_has(Op op, op_flags::Flag flag) {
  return op_flags::kTable[static_cast<size_t>(op)] & flag;
}

}  // namespace hv
