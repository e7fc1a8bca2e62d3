// Loads, stores, fences, and A (unprivileged specification, chapters 2 and 13).
#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/memory_access.h"
#include "cpu/semantics_integer.h"

namespace hv::semantics {

// Sign-extends a signed T, zero-extends an unsigned one.
template <class T>
uint64_t extend(T value) {
  return static_cast<uint64_t>(static_cast<int64_t>(value));
}

template <class T>
[[gnu::always_inline]] inline bool load_to_rd(Hart& h, const DecodedOp& op) {
  T value;
  if (!load_memory<T>(h, h.x[op.rs1] + imm64(op), value)) [[unlikely]]
    return false;
  h.x[op.rd] = extend(value);
  return true;
}

template <class T>
[[gnu::always_inline]] inline bool store_rs2(Hart& h, const DecodedOp& op) {
  return store_memory<T>(h, h.x[op.rs1] + imm64(op), static_cast<T>(h.x[op.rs2]));
}

#define HV_MEMORY(name, body, type)                    \
  HV_OP_BODY bool name(Hart& h, const DecodedOp& op) { \
    return body<type>(h, op);                          \
  }
HV_MEMORY(lb, load_to_rd, int8_t)
HV_MEMORY(lh, load_to_rd, int16_t)
HV_MEMORY(lw, load_to_rd, int32_t)
HV_MEMORY(ld, load_to_rd, int64_t)
HV_MEMORY(lbu, load_to_rd, uint8_t)
HV_MEMORY(lhu, load_to_rd, uint16_t)
HV_MEMORY(lwu, load_to_rd, uint32_t)
HV_MEMORY(sb, store_rs2, uint8_t)
HV_MEMORY(sh, store_rs2, uint16_t)
HV_MEMORY(sw, store_rs2, uint32_t)
HV_MEMORY(sd, store_rs2, uint64_t)
#undef HV_MEMORY

inline void fence(Hart&, const DecodedOp& op) {
  guest_fence(static_cast<uint32_t>(op.imm) >> 20);
}

// LR notes the physical address, the size and the value it saw. SC succeeds when address and size
// are those of the reservation and a host compare-and-swap still finds that value there: it fails
// after another hart's store of a different value; that other harts stored and restored the same
// value in between goes unnoticed (ABA), which no lock or counter built on LR/SC can tell apart
// from no store. T is the signed type of the access.
template <class T>
bool load_reserved(Hart& h, const DecodedOp& op) {
  uint64_t physical;
  T* host = atomic_memory<T>(h, h.x[op.rs1], Access::kLoad, physical);
  if (!host) return false;
  const T value = __atomic_load_n(host, __ATOMIC_SEQ_CST);
  h.reservation_address = physical;
  h.reservation_value = extend(value);
  h.reservation_size = sizeof(T);
  h.x[op.rd] = extend(value);
  return true;
}

template <class T>
bool store_conditional(Hart& h, const DecodedOp& op) {
  uint64_t physical;
  T* host = atomic_memory<T>(h, h.x[op.rs1], Access::kStore, physical);
  if (!host) return false;
  const bool reserved = h.reservation_address == physical && h.reservation_size == sizeof(T);
  h.reservation_address = ~0ull;
  T expected = static_cast<T>(h.reservation_value);
  const bool stored =
      reserved && __atomic_compare_exchange_n(host, &expected, static_cast<T>(h.x[op.rs2]), false,
                                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  h.x[op.rd] = stored ? 0 : 1;
  return true;
}

// An AMO whose host form is `update(pointer, operand)`, returning the old value.
template <class T, class Update>
[[gnu::always_inline]] inline bool atomic_update(Hart& h, const DecodedOp& op, Update update) {
  uint64_t physical;
  T* host = atomic_memory<T>(h, h.x[op.rs1], Access::kStore, physical);
  if (!host) [[unlikely]]
    return false;
  const T old = update(host, static_cast<T>(h.x[op.rs2]));
  h.x[op.rd] = extend(static_cast<std::make_signed_t<T>>(old));
  return true;
}

// For operations without a host instruction: compare-and-swap until nobody interferes.
template <class T, class Choose>
T atomic_choose(T* host, T operand, Choose choose) {
  T old = __atomic_load_n(host, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(host, &old, choose(old, operand) ? old : operand, true,
                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  return old;
}

// Zacas: rd gives the value to compare with and takes the one found. x0 as rd is the sink, which
// holds nothing, but compares as 0.
inline uint64_t compared(const Hart& h, unsigned rd) {
  return rd == kRegSink ? 0 : h.x[rd];
}

template <class T>
bool compare_and_swap(Hart& h, const DecodedOp& op) {
  uint64_t physical;
  T* host = atomic_memory<T>(h, h.x[op.rs1], Access::kStore, physical);
  if (!host) return false;
  T found = static_cast<T>(compared(h, op.rd));
  __atomic_compare_exchange_n(host, &found, static_cast<T>(h.x[op.rs2]), false, __ATOMIC_SEQ_CST,
                              __ATOMIC_SEQ_CST);
  h.x[op.rd] = extend(found);
  return true;
}

// A pair of registers that begins with x0 reads as 0 in both halves and takes nothing.
inline bool amocas_q(Hart& h, const DecodedOp& op) {
  struct alignas(16) Quad {
    uint64_t low, high;
  };
  uint64_t physical;
  Quad* host = atomic_memory<Quad>(h, h.x[op.rs1], Access::kStore, physical);
  if (!host) return false;
  const bool has_rd = op.rd != kRegSink;
  Quad found{};
  if (has_rd) found = {h.x[op.rd], h.x[op.rd + 1]};
  const uint64_t low = h.x[op.rs2], high = op.rs2 ? h.x[op.rs2 + 1] : 0;
  // The compiler's builtin would call a library that may take a lock instead.
  asm volatile("lock cmpxchg16b %0"
               : "+m"(*host), "+a"(found.low), "+d"(found.high)
               : "b"(low), "c"(high)
               : "cc", "memory");
  if (has_rd) {
    h.x[op.rd] = found.low;
    h.x[op.rd + 1] = found.high;
  }
  return true;
}

#define HV_AMO(name, type, expression)                                             \
  inline bool name(Hart& h, const DecodedOp& op) {                                 \
    return atomic_update<type>(h, op, [](type* p, type v) { return expression; }); \
  }
#define HV_LESS [](auto a, auto b) { return a < b; }
#define HV_MORE [](auto a, auto b) { return a > b; }
#define HV_AMOS(suffix, sint, uint)                                           \
  HV_AMO(amoswap_##suffix, uint, __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)) \
  HV_AMO(amoadd_##suffix, uint, __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))   \
  HV_AMO(amoxor_##suffix, uint, __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST))   \
  HV_AMO(amoand_##suffix, uint, __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))   \
  HV_AMO(amoor_##suffix, uint, __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))     \
  HV_AMO(amomin_##suffix, sint, atomic_choose(p, v, HV_LESS))                 \
  HV_AMO(amomax_##suffix, sint, atomic_choose(p, v, HV_MORE))                 \
  HV_AMO(amominu_##suffix, uint, atomic_choose(p, v, HV_LESS))                \
  HV_AMO(amomaxu_##suffix, uint, atomic_choose(p, v, HV_MORE))                \
  inline bool amocas_##suffix(Hart& h, const DecodedOp& op) {                 \
    return compare_and_swap<sint>(h, op);                                     \
  }
#define HV_RESERVED(suffix, sint)                         \
  inline bool lr_##suffix(Hart& h, const DecodedOp& op) { \
    return load_reserved<sint>(h, op);                    \
  }                                                       \
  inline bool sc_##suffix(Hart& h, const DecodedOp& op) { \
    return store_conditional<sint>(h, op);                \
  }
HV_AMOS(b, int8_t, uint8_t)
HV_AMOS(h, int16_t, uint16_t)
HV_AMOS(w, int32_t, uint32_t)
HV_AMOS(d, int64_t, uint64_t)
HV_RESERVED(w, int32_t)
HV_RESERVED(d, int64_t)
#undef HV_RESERVED
#undef HV_AMOS
#undef HV_MORE
#undef HV_LESS
#undef HV_AMO

}  // namespace hv::semantics
