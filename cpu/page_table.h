// One walk of the page tables in guest memory: privileged specification 4.3.2 (Sv39, Sv48, Sv57),
// Svadu, Svnapot, Svpbmt.
#pragma once

#include <cstdint>

#include "cpu/mmu.h"
#include "cpu/pmp.h"

namespace hv {

inline constexpr uint64_t kPteValid = 1 << 0, kPteRead = 1 << 1, kPteWrite = 1 << 2,
                          kPteExecute = 1 << 3, kPteUser = 1 << 4, kPteGlobal = 1 << 5,
                          kPteAccessed = 1 << 6, kPteDirty = 1 << 7;

// satp.
inline constexpr uint64_t kSatpPpn = (1ull << 44) - 1;
inline uint64_t satp_mode(uint64_t satp) {
  return satp >> 60;
}
inline uint64_t satp_asid(uint64_t satp) {
  return satp >> 44 & 0xffff;
}
// Levels of the mode (0: no translation, or a mode that does not exist).
inline unsigned satp_levels(uint64_t satp) {
  const uint64_t mode = satp_mode(satp);
  return mode >= 8 && mode <= 10 ? static_cast<unsigned>(mode - 5) : 0;
}

// Who asks: what decides permissions besides the PTE.
struct WalkContext {
  uint64_t satp = 0;
  Priv priv = Priv::kMachine;
  bool sum = false, mxr = false;
  bool hardware_ad = false;  // set A and D instead of faulting (Svadu)
  bool napot = false;        // Svnapot
  bool pbmt = false;         // menvcfg.PBMTE
  bool dry_run = false;      // a debugger's look: no permissions asked, A and D left alone
};

enum class WalkResult : uint8_t { kMapped, kPageFault, kAccessFault };

struct Translation {
  uint64_t physical = 0;
  unsigned level = 0;       // of the leaf: 0 = 4 KiB, 1 = 2 MiB, ...; or kNapotLevel
  bool global = false;      // G in the leaf or above it
  uint8_t permissions = 0;  // PmpPermission bits that the context has by the leaf
  bool dirty = false;
};

// Stands for the size of a NAPOT leaf, 64 KiB, which the tables have at level 0. No paging mode has
// a level of that number.
inline constexpr unsigned kNapotLevel = 5;

// How many low bits of an address are the offset in a page of that level.
inline constexpr unsigned level_bits(unsigned level) {
  return level == kNapotLevel ? 16 : 12 + 9 * level;
}
inline constexpr uint64_t level_size(unsigned level) {
  return 1ull << level_bits(level);
}

WalkResult walk_page_table(const GuestMemory& memory, const Pmp& pmp, const WalkContext& context,
                           uint64_t address, Access access, Translation& result);

}  // namespace hv
