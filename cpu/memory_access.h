// The fast side of loads, stores and atomics: the TLB hit, inlined into every engine's handlers;
// and the host fences that guest ordering needs.
//
// RAM is shared with other harts and with devices, so every access is a relaxed host atomic of its
// own size: on x86-64 that is the plain instruction, and it keeps naturally aligned accesses
// single-copy atomic.
//
// Guest order (RVWMO) on the host: x86-64 keeps all orders but store-to-load, so plain accesses
// need nothing, and only a fence that orders earlier writes before later reads costs an
// instruction. A weaker host gets the same from the fences below, but its AMO and LR/SC need the
// seq_cst forms used here.
#pragma once

#include <atomic>
#include <cstdint>

#include "cpu/hart.h"
#include "cpu/mmu.h"
#include "cpu/tlb.h"

namespace hv {

// Whether a misaligned access stays inside the page of `tag`. The last byte of one that does not
// lies in the page that follows, which has another index, so another tag.
template <class T>
bool tlb_hit_misaligned(uint64_t tag, uint64_t address) {
  return ((address + sizeof(T) - 1) & kPageMask) == tag;
}

// What tlb_hit() leaves over; a call, to keep the handlers small.
template <class T>
[[gnu::noinline]] bool load_missed(Hart& h, uint64_t address, T& value) {
  const TlbEntry& entry = h.data_tlb[tlb_index(address)];
  if (tlb_hit_misaligned<T>(entry.read_tag, address)) {
    value = read_unaligned<T>(reinterpret_cast<const void*>(address + entry.addend));
    return true;
  }
  uint64_t wide;
  if (!h.mmu->load(address, sizeof(T), wide)) return false;
  value = static_cast<T>(wide);
  return true;
}
template <class T>
[[gnu::noinline]] bool store_missed(Hart& h, uint64_t address, T value) {
  const TlbEntry& entry = h.data_tlb[tlb_index(address)];
  if (tlb_hit_misaligned<T>(entry.write_tag, address)) {
    write_unaligned<T>(reinterpret_cast<void*>(address + entry.addend), value);
    return true;
  }
  return h.mmu->store(address, sizeof(T), value);
}

template <class T>
[[gnu::always_inline]] inline bool load_memory(Hart& h, uint64_t address, T& value) {
  const TlbEntry& entry = h.data_tlb[tlb_index(address)];
  if (tlb_hit<T>(entry.read_tag, address)) [[likely]] {
    value = __atomic_load_n(reinterpret_cast<const T*>(address + entry.addend), __ATOMIC_RELAXED);
    return true;
  }
  return load_missed(h, address, value);
}

template <class T>
[[gnu::always_inline]] inline bool store_memory(Hart& h, uint64_t address, T value) {
  const TlbEntry& entry = h.data_tlb[tlb_index(address)];
  if (tlb_hit<T>(entry.write_tag, address)) [[likely]] {
    __atomic_store_n(reinterpret_cast<T*>(address + entry.addend), value, __ATOMIC_RELAXED);
    return true;
  }
  return store_missed(h, address, value);
}

// Host address of a naturally aligned T in RAM for LR (kLoad) or SC and AMO (kStore: a page in the
// TLB for stores is readable too, for write-only pages do not exist); nullptr: the exception is in
// the hart.
template <class T>
[[gnu::always_inline]] inline T* atomic_memory(Hart& h, uint64_t address, Access access,
                                               uint64_t& physical) {
  const TlbEntry& entry = h.data_tlb[tlb_index(address)];
  if (tlb_hit<T>(access == Access::kLoad ? entry.read_tag : entry.write_tag, address)) [[likely]] {
    auto* host = reinterpret_cast<uint8_t*>(address + entry.addend);
    physical = static_cast<uint64_t>(host - h.memory->data()) + h.memory->base();
    return reinterpret_cast<T*>(host);
  }
  return reinterpret_cast<T*>(h.mmu->atomic_host(address, sizeof(T), access, physical));
}

// FENCE with the sets of the instruction's immediate: bits 7:4 what came before, 3:0 what comes
// after, each I O R W from bit 3 down; 11:8 fm, 8 = TSO.
inline void guest_fence(uint32_t imm) {
  constexpr uint32_t kBeforeWrites = 5u << 4, kAfterReads = 10u;
  const bool tso = (imm >> 8 & 15) == 8;
  if (!tso && (imm & kBeforeWrites) && (imm & kAfterReads))
    std::atomic_thread_fence(std::memory_order_seq_cst);
  else
    std::atomic_thread_fence(std::memory_order_acq_rel);
}

}  // namespace hv
