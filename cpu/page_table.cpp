#include "cpu/page_table.h"

namespace hv {
namespace {

constexpr uint64_t kPtePbmt = 3ull << 61;
constexpr uint64_t kPteNapot = 1ull << 63;
// What the frame address of a 64 KiB leaf has below bit 16: PPN[3:0] = 1000.
constexpr uint64_t kNapot64KiB = 8ull << 12;
constexpr uint64_t kPteReserved = 0x7full << 54;

uint64_t pte_physical(uint64_t pte) {
  return (pte >> 10 & kSatpPpn) << 12;
}

bool canonical(uint64_t address, unsigned levels) {
  const unsigned unused = 64 - (12 + 9 * levels);
  return static_cast<uint64_t>(static_cast<int64_t>(address << unused) >> unused) == address;
}

// Reserved encodings that fault wherever they stand (step 3).
bool malformed(uint64_t pte, const WalkContext& context) {
  if (!(pte & kPteValid) || (pte & (kPteRead | kPteWrite)) == kPteWrite) return true;
  if (pte & kPteReserved || (pte & kPteNapot && !context.napot)) return true;
  return context.pbmt ? (pte & kPtePbmt) == kPtePbmt : pte & kPtePbmt;
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
    if (malformed(pte, context)) return WalkResult::kPageFault;
    global |= (pte & kPteGlobal) != 0;

    if (!(pte & (kPteRead | kPteExecute))) {
      if (pte & (kPteUser | kPteAccessed | kPteDirty | kPtePbmt | kPteNapot))
        return WalkResult::kPageFault;
      table = pte_physical(pte);
      continue;
    }

    const uint8_t permissions = leaf_permissions(pte, context);
    if (!context.dry_run && !(permissions & wanted(access))) return WalkResult::kPageFault;
    uint64_t frame = pte_physical(pte);
    const unsigned leaf = pte & kPteNapot ? kNapotLevel : level;
    const uint64_t offset_mask = level_size(leaf) - 1;
    if (pte & kPteNapot) {
      // Other sizes and levels are reserved (Svnapot, "Page table entry encodings when pte.N=1").
      if (level != 0 || (frame & offset_mask) != kNapot64KiB) return WalkResult::kPageFault;
      frame &= ~offset_mask;
    }
    if (frame & offset_mask) return WalkResult::kPageFault;  // misaligned superpage

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
      memory.note_written(pte_address, 8);
    }
    result.physical = frame | (address & offset_mask);
    result.level = leaf;
    result.global = global;
    result.permissions = permissions;
    result.dirty = updated & kPteDirty;
    return WalkResult::kMapped;
  }
  return WalkResult::kPageFault;
}

}  // namespace hv
