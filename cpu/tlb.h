// The software TLB that loads and stores look at first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/guest_memory.h"

namespace hv {

inline constexpr uint64_t kPageMask = ~(GuestMemory::kPageSize - 1);
// A tag that no access matches: a masked address never has all of its low 12 bits set.
inline constexpr uint64_t kTlbInvalid = ~0ull;

// Translation of one 4 KiB page of RAM for one context. A tag is the virtual page address when that
// kind of access may go straight to memory, else kTlbInvalid. Register windows, pages without
// permission, and (for stores) pages whose D bit is clear are never entered.
struct TlbEntry {
  uint64_t read_tag = kTlbInvalid;
  uint64_t write_tag = kTlbInvalid;
  uint64_t addend = 0;  // host address = virtual address + addend
  // The page's virtual address with the size of its leaf and its G bit in the low bits: what fences
  // look at. The Mmu's own.
  uint64_t page_info = 0;
};
static_assert(sizeof(TlbEntry) == 32);

inline constexpr size_t kTlbEntries = 1024;  // per context, direct mapped

inline size_t tlb_index(uint64_t address) {
  return address / GuestMemory::kPageSize % kTlbEntries;
}

// The hit test: one compare. `address` must be aligned to T's size; a misaligned address or another
// page misses.
template <class T>
bool tlb_hit(uint64_t tag, uint64_t address) {
  return (address & (kPageMask | (sizeof(T) - 1))) == tag;
}

}  // namespace hv
