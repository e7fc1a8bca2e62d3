// Addresses and interrupt numbers of the board "virt".
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hv {

struct MemoryRegion {
  std::string_view name;
  uint64_t base;
  uint64_t size;
};

namespace memory_map {
#define REGION(id, name, base, size) inline constexpr MemoryRegion id{name, base, size};
#include "hw/machine/memory_map.inc"
#undef REGION

// All regions, ascending and apart from each other.
inline constexpr auto kAll = std::to_array<MemoryRegion>({
#define REGION(id, name, base, size) id,
#include "hw/machine/memory_map.inc"
#undef REGION
});

inline constexpr uint64_t kRamBase = 0x80000000;

consteval bool is_sound() {
  for (size_t i = 0; i + 1 < kAll.size(); ++i)
    if (kAll[i].base + kAll[i].size > kAll[i + 1].base) return false;
  return kAll.back().base + kAll.back().size <= kRamBase;
}
static_assert(is_sound());

inline constexpr unsigned kVirtioSlots = 8;
inline constexpr uint64_t kVirtioSlotSize = 0x1000;
static_assert(kVirtioSlots * kVirtioSlotSize == kVirtioMmio.size);
}  // namespace memory_map

// Inputs of the interrupt controller.
namespace irq_map {
inline constexpr unsigned kVirtioMmio0 = 1;  // eight in a row
inline constexpr unsigned kUart0 = 10;
inline constexpr unsigned kRtc = 11;
}  // namespace irq_map

}  // namespace hv
