// What the files of the emitter's F and D share.
#pragma once

#include <cstdint>

#include "cpu/jit/emitter.h"

namespace hv::jit {

inline constexpr uint64_t kNanDouble = 0x7ff8'0000'0000'0000, kNanSingle = 0xffff'ffff'7fc0'0000;
inline constexpr uint64_t kBoxSingle = 0xffff'ffff'0000'0000;
inline constexpr uint64_t kNanHalf = 0xffff'ffff'ffff'7e00;
// As an immediate operand, which the host extends by its sign.
inline constexpr int32_t kBoxHalf = -0x10000;
inline constexpr unsigned kNoRm = 7;

inline unsigned rm_of(const TraceOp& op) {
  return static_cast<unsigned>(op.fields.imm) & 7;
}
inline unsigned rs3_of(const TraceOp& op) {
  return static_cast<unsigned>(op.fields.imm) >> 8 & 31;
}

// What F and D have each in a form of its own.
#define HV_BOTH(name) \
  case Op::name##_s:  \
  case Op::name##_d
// And what Zfh has too.
#define HV_ALL(name) \
  case Op::name##_h: \
    HV_BOTH(name)

// The operands are halves. Most such instructions compute in single precision, which has enough
// more bits that rounding twice is the same: 24, twice 11 and 2 (Figueroa, "When is double rounding
// innocuous?", 1995).
bool is_half(Op kind);

}  // namespace hv::jit
