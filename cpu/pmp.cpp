#include "cpu/pmp.h"

#include <algorithm>

namespace hv {
namespace {

constexpr uint64_t kPmpAddressBits = (1ull << 54) - 1;  // physical address bits 55:2
constexpr unsigned kFirstPmpcfg = 0x3a0, kFirstPmpaddr = 0x3b0;

uint8_t needed(Access access) {
  switch (access) {
    case Access::kFetch:
      return kPmpExecute;
    case Access::kLoad:
      return kPmpRead;
    case Access::kStore:
      return kPmpWrite;
  }
  return kPmpAll;
}

}  // namespace

void Pmp::load(const CsrState& csr, unsigned regions) {
  regions_.clear();
  implemented_ = regions != 0;
  for (unsigned i = 0; i < regions; ++i) {
    const uint8_t config = csr.pmpcfg[i];
    const uint64_t address = csr.pmpaddr[i];
    switch (config & kPmpAddressMode) {
      case kPmpTor: {
        const uint64_t first = i ? csr.pmpaddr[i - 1] : 0;
        if (first < address) regions_.push_back({first << 2, (address << 2) - 1, config});
        break;
      }
      case kPmpNa4:
        regions_.push_back({address << 2, address << 2 | 3, config});
        break;
      case kPmpNapot: {
        // The trailing ones and the zero above them lie inside the region.
        const uint64_t inside = address ^ (address + 1);
        const uint64_t first = (address & ~inside) << 2;
        regions_.push_back({first, first | inside << 2 | 3, config});
        break;
      }
      default:
        break;
    }
  }
}

uint8_t Pmp::permissions(const Region& region, Priv priv) {
  if (priv == Priv::kMachine && !(region.config & kPmpLocked)) return kPmpAll;
  return region.config & kPmpAll;
}

bool Pmp::allows(uint64_t address, uint64_t size, Access access, Priv priv) const {
  const uint64_t last = address + (size - 1);
  for (const Region& region : regions_) {
    if (last < region.first || address > region.last) continue;
    // The lowest-numbered match decides, and fails unless it covers the whole access.
    return address >= region.first && last <= region.last &&
           (permissions(region, priv) & needed(access));
  }
  return unmatched(priv) & needed(access);
}

std::optional<uint8_t> Pmp::page_permissions(uint64_t page, Priv priv) const {
  const uint64_t last = page + (GuestMemory::kPageSize - 1);
  for (const Region& region : regions_) {
    if (last < region.first || page > region.last) continue;
    if (page >= region.first && last <= region.last) return permissions(region, priv);
    return std::nullopt;
  }
  return unmatched(priv);
}

uint64_t Pmp::fetchable(uint64_t address, uint64_t limit, Priv priv) const {
  // Entries begin and end on 4-byte boundaries, so each aligned word is uniform.
  uint64_t bytes = 0;
  while (bytes < limit) {
    const uint64_t step = std::min(limit - bytes, 4 - (address + bytes) % 4);
    if (!allows(address + bytes, step, Access::kFetch, priv)) break;
    bytes += step;
  }
  return bytes;
}

uint64_t read_pmpcfg(Hart& hart, unsigned csr) {
  const unsigned first = (csr - kFirstPmpcfg) * 4;
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= uint64_t{hart.csr.pmpcfg[first + i]} << (8 * i);
  return value;
}

void write_pmpcfg(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  const unsigned first = (csr - kFirstPmpcfg) * 4;
  for (unsigned i = 0; i < 8 && first + i < hart.config->pmp_regions; ++i) {
    uint8_t& config = hart.csr.pmpcfg[first + i];
    if (config & kPmpLocked) continue;
    auto wanted = static_cast<uint8_t>(value >> (8 * i) & (kPmpLocked | kPmpAddressMode | kPmpAll));
    // W without R is reserved; the field is WARL.
    if (!(wanted & kPmpRead)) wanted &= ~kPmpWrite;
    config = wanted;
  }
  hart.mmu->flush_all();
}

uint64_t read_pmpaddr(Hart& hart, unsigned csr) {
  return hart.csr.pmpaddr[csr - kFirstPmpaddr];
}

void write_pmpaddr(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  const unsigned i = csr - kFirstPmpaddr;
  if (i >= hart.config->pmp_regions || (hart.csr.pmpcfg[i] & kPmpLocked)) return;
  // A locked top-of-range entry locks its lower bound too.
  if (i + 1 < hart.config->pmp_regions) {
    const uint8_t above = hart.csr.pmpcfg[i + 1];
    if ((above & kPmpLocked) && (above & kPmpAddressMode) == kPmpTor) return;
  }
  hart.csr.pmpaddr[i] = value & kPmpAddressBits;
  hart.mmu->flush_all();
}

}  // namespace hv
