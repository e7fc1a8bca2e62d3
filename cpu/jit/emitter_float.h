// What the files of the emitter's F and D share.
#pragma once

#include <cstdint>

#include "cpu/jit/emitter.h"

namespace hv::jit {

inline constexpr uint64_t kNanDouble = 0x7ff8'0000'0000'0000, kNanSingle = 0xffff'ffff'7fc0'0000;
inline constexpr uint64_t kBoxSingle = 0xffff'ffff'0000'0000;
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

}  // namespace hv::jit
