// RV64I computation and control flow, and M (unprivileged specification, chapters 2, 4, 12).
#pragma once

#include <cstdint>

#include "cpu/decoded_op.h"
#include "cpu/hart.h"

namespace hv::semantics {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;

// The result of the 32-bit forms: sign-extended.
inline uint64_t sext32(uint64_t value) {
  return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)));
}
inline uint64_t imm64(const DecodedOp& op) {
  return static_cast<uint64_t>(static_cast<int64_t>(op.imm));
}

// Bodies that pairs of ops use stand in many handlers each; without it the compiler would call
// them.
#define HV_OP_BODY [[gnu::always_inline]] inline

// The address of the instruction, for the bodies that ask for it.
struct Pc {
  uint64_t value;
};

// Bodies that write f(operands) to rd; `a` and `b` are the sources, `i` the immediate.
#define HV_R(name, expression)                         \
  HV_OP_BODY void name(Hart& h, const DecodedOp& op) { \
    [[maybe_unused]] const uint64_t a = h.x[op.rs1];   \
    [[maybe_unused]] const uint64_t b = h.x[op.rs2];   \
    h.x[op.rd] = static_cast<uint64_t>(expression);    \
  }
#define HV_I(name, expression)                         \
  HV_OP_BODY void name(Hart& h, const DecodedOp& op) { \
    [[maybe_unused]] const uint64_t a = h.x[op.rs1];   \
    [[maybe_unused]] const uint64_t i = imm64(op);     \
    h.x[op.rd] = static_cast<uint64_t>(expression);    \
  }

inline int64_t s64(uint64_t value) {
  return static_cast<int64_t>(value);
}
inline int32_t s32(uint64_t value) {
  return static_cast<int32_t>(value);
}
inline uint32_t u32(uint64_t value) {
  return static_cast<uint32_t>(value);
}

HV_I(lui, i)
HV_OP_BODY void auipc(Hart& h, const DecodedOp& op, Pc pc) {
  h.x[op.rd] = pc.value + imm64(op);
}

HV_I(addi, a + i)
HV_I(slti, s64(a) < s64(i))
HV_I(sltiu, a < i)
HV_I(xori, a ^ i)
HV_I(ori, a | i)
HV_I(andi, a& i)
HV_I(slli, a << (i & 63))
HV_I(srli, a >> (i & 63))
HV_I(srai, s64(a) >> (i & 63))
HV_I(addiw, sext32(a + i))
HV_I(slliw, sext32(a << (i & 31)))
HV_I(srliw, sext32(u32(a) >> (i & 31)))
HV_I(sraiw, sext32(static_cast<uint64_t>(s32(a) >> (i & 31))))

HV_R(add, a + b)
HV_R(sub, a - b)
HV_R(sll, a << (b & 63))
HV_R(slt, s64(a) < s64(b))
HV_R(sltu, a < b)
HV_R(xor_, a ^ b)
HV_R(srl, a >> (b & 63))
HV_R(sra, s64(a) >> (b & 63))
HV_R(or_, a | b)
HV_R(and_, a& b)
HV_R(addw, sext32(a + b))
HV_R(subw, sext32(a - b))
HV_R(sllw, sext32(a << (b & 31)))
HV_R(srlw, sext32(u32(a) >> (b & 31)))
HV_R(sraw, sext32(static_cast<uint64_t>(s32(a) >> (b & 31))))

// Multiply and divide. Division by zero and overflow give the values of table 12.1.
HV_R(mul, a* b)
HV_R(mulh, static_cast<Uint128>(static_cast<Int128>(s64(a)) * s64(b)) >> 64)
HV_R(mulhsu, static_cast<Uint128>(static_cast<Int128>(s64(a)) * static_cast<Int128>(b)) >> 64)
HV_R(mulhu, (static_cast<Uint128>(a) * b) >> 64)
HV_R(mulw, sext32(a* b))

inline uint64_t divide(int64_t a, int64_t b) {
  if (b == 0) return ~0ull;
  if (b == -1) return 0 - static_cast<uint64_t>(a);  // INT64_MIN / -1 overflows to itself
  return static_cast<uint64_t>(a / b);
}
inline uint64_t remainder(int64_t a, int64_t b) {
  if (b == 0) return static_cast<uint64_t>(a);
  if (b == -1) return 0;
  return static_cast<uint64_t>(a % b);
}

HV_R(div, divide(s64(a), s64(b)))
HV_R(divu, b ? a / b : ~0ull)
HV_R(rem, remainder(s64(a), s64(b)))
HV_R(remu, b ? a % b : a)
// The 64-bit quotient of 32-bit operands cannot overflow; sext32 gives the 32-bit wrap.
HV_R(divw, sext32(divide(s32(a), s32(b))))
HV_R(divuw, u32(b) ? sext32(u32(a) / u32(b)) : ~0ull)
HV_R(remw, sext32(remainder(s32(a), s32(b))))
HV_R(remuw, sext32(u32(b) ? u32(a) % u32(b) : u32(a)))

#undef HV_R
#undef HV_I

enum class Branch : bool { kNotTaken, kTaken };

#define HV_BRANCH(name, condition)                         \
  HV_OP_BODY Branch name(Hart& h, const DecodedOp& op) {   \
    const uint64_t a = h.x[op.rs1], b = h.x[op.rs2];       \
    return condition ? Branch::kTaken : Branch::kNotTaken; \
  }
HV_BRANCH(beq, a == b)
HV_BRANCH(bne, a != b)
HV_BRANCH(blt, s64(a) < s64(b))
HV_BRANCH(bge, s64(a) >= s64(b))
HV_BRANCH(bltu, a < b)
HV_BRANCH(bgeu, a >= b)
#undef HV_BRANCH

// Jumps return their target. Instructions are 2-aligned with C; without it the engine refuses a
// target that is not 4-aligned before it runs the body.
HV_OP_BODY uint64_t jal(Hart& h, const DecodedOp& op, Pc pc) {
  h.x[op.rd] = pc.value + op.rs2;
  return pc.value + imm64(op);
}
HV_OP_BODY uint64_t jalr_target(const Hart& h, const DecodedOp& op) {
  return (h.x[op.rs1] + imm64(op)) & ~1ull;
}
HV_OP_BODY uint64_t jalr(Hart& h, const DecodedOp& op, Pc pc) {
  const uint64_t target = jalr_target(h, op);
  h.x[op.rd] = pc.value + op.rs2;
  return target;
}

}  // namespace hv::semantics
