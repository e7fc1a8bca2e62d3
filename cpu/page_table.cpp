#include "cpu/page_table.h"

namespace hv {
namespace {

constexpr uint64_t kPtePbmt = 3ull << 61;
// N (no Svnapot) and bits 60:54.
constexpr uint64_t kPteReserved = 1ull << 63 | 0x7full << 54;

uint64_t pte_physical(uint64_t pte) {
  return (pte >> 10 & kSatpPpn) << 12;
}

bool canonical(uint64_t address, unsigned levels) {
  const unsigned unused = 64 - (12 + 9 * levels);
  return static_cast<uint64_t>(static_cast<int64_t>(address << unused) >> unused) == address;
}

// Reserved encodings that fault wherever they stand (step 3).
bool malformed(uint64_t pte, bool pbmt) {
  if (!(pte & kPteValid) || (pte & (kPteRead | kPteWrite)) == kPteWrite) return true;
  if (pte & kPteReserved) return true;
  return pbmt ? (pte & kPtePbmt) == kPtePbmt : pte & kPtePbmt;
}

uint8_t leaf_permissions(uint64_t pte, const WalkContext& context) {
  const bool user_page = pte & kPteUser;
  uint8_t permissions = 0;
  if (pte & kPteRead || (context.mxr && pte & kPteExecute)) permissions |= kPmpRead;
  if (pte & kPteWrite) permissions |= kPmpWrite;
  if (pte & kPteExecute) permissions |= kPmpExecute;
  if (context.priv == Priv::kUser) return user_page ? permissions : 0;
  if (!user_page) return permissions;
  // Supervisor code never runs from user pages, and touches their data only with SUM.
  return context.sum ? permissions & ~kPmpExecute : 0;
}

uint8_t wanted(Access access) {
  return access == Access::kFetch ? kPmpExecute : access == Access::kLoad ? kPmpRead : kPmpWrite;
}

}  // namespace

WalkResult walk_page_table(const GuestMemory& memory, const Pmp& pmp, const WalkContext& context,
                           uint64_t address, Access access, Translation& result) {
  const unsigned levels = satp_levels(context.satp);
  if (!canonical(address, levels)) return WalkResult::kPageFault;

restart:
  uint64_t table = (context.satp & kSatpPpn) << 12;
  bool global = false;
  for (unsigned level = levels; level-- > 0;) {
    const uint64_t pte_address = table + (address >> (12 + 9 * level) & 511) * 8;
    // Implicit accesses are made with S-mode's rights (3.7.1); tables must lie in RAM.
    auto* host = reinterpret_cast<uint64_t*>(memory.host(pte_address, 8));
    if (!host || !pmp.allows(pte_address, 8, Access::kLoad, Priv::kSupervisor))
      return WalkResult::kAccessFault;
    const uint64_t pte = __atomic_load_n(host, __ATOMIC_ACQUIRE);
    if (malformed(pte, context.pbmt)) return WalkResult::kPageFault;
    global |= (pte & kPteGlobal) != 0;

    if (!(pte & (kPteRead | kPteExecute))) {
      if (pte & (kPteUser | kPteAccessed | kPteDirty | kPtePbmt)) return WalkResult::kPageFault;
      table = pte_physical(pte);
      continue;
    }

    const uint8_t permissions = leaf_permissions(pte, context);
    if (!context.dry_run && !(permissions & wanted(access))) return WalkResult::kPageFault;
    const uint64_t offset_mask = level_size(level) - 1;
    if (pte_physical(pte) & offset_mask) return WalkResult::kPageFault;  // misaligned superpage

    const uint64_t needed = kPteAccessed | (access == Access::kStore ? kPteDirty : 0);
    uint64_t updated = pte;
    if (!context.dry_run && (pte & needed) != needed) {
      if (!context.hardware_ad) return WalkResult::kPageFault;
      if (!pmp.allows(pte_address, 8, Access::kStore, Priv::kSupervisor))
        return WalkResult::kAccessFault;
      uint64_t expected = pte;
      updated = pte | needed;
      if (!__atomic_compare_exchange_n(host, &expected, updated, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE))
        goto restart;
    }
    result.physical = pte_physical(pte) | (address & offset_mask);
    result.level = level;
    result.global = global;
    result.permissions = permissions;
    result.dirty = updated & kPteDirty;
    return WalkResult::kMapped;
  }
  return WalkResult::kPageFault;
}

}  // namespace hv
