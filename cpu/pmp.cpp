#include "cpu/pmp.h"

#include <algorithm>

namespace hv {
namespace {

constexpr uint64_t kPmpAddressBits = (1ull << 54) - 1;  // physical address bits 55:2
constexpr unsigned kFirstPmpcfg = 0x3a0, kFirstPmpaddr = 0x3b0;

// Smepmp's truth table with MML set. L says whether an entry is M-mode's or that of S and U; the
// encodings that are reserved without MML share a region.
uint8_t lockdown_permissions(uint8_t config, bool machine) {
  const bool locked = config & kPmpLocked;
  switch (config & kPmpAll) {
    case kPmpWrite:
      if (locked) return kPmpExecute;
      return machine ? kPmpRead | kPmpWrite : kPmpRead;
    case kPmpWrite | kPmpExecute:
      if (!locked) return kPmpRead | kPmpWrite;
      return machine ? kPmpRead | kPmpExecute : kPmpExecute;
    case kPmpAll:
      if (locked) return kPmpRead;
      break;
    default:
      break;
  }
  return locked == machine ? config & kPmpAll : 0;
}

// With MML no entry may newly give M-mode something to execute: M-mode-only ones with X, and the
// shared code regions.
bool adds_machine_code(uint8_t config) {
  return (config & kPmpLocked) && (lockdown_permissions(config, true) & kPmpExecute);
}

// A lock holds unless mseccfg.RLB lifts it.
bool held(const Hart& hart, uint8_t config) {
  return (config & kPmpLocked) && !(hart.csr.mseccfg & kMseccfgRlb);
}

}  // namespace

void Pmp::load(const CsrState& csr, unsigned regions) {
  regions_.clear();
  recent_ = {};
  implemented_ = regions != 0;
  machine_lockdown_ = csr.mseccfg & kMseccfgMml;
  unmatched_machine_ = csr.mseccfg & kMseccfgMmwp ? 0
                       : machine_lockdown_        ? kPmpAll & ~kPmpExecute
                                                  : kPmpAll;
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

uint8_t Pmp::permissions(const Region& region, Priv priv) const {
  if (machine_lockdown_) return lockdown_permissions(region.config, priv == Priv::kMachine);
  if (priv == Priv::kMachine && !(region.config & kPmpLocked)) return kPmpAll;
  return region.config & kPmpAll;
}

Pmp::Span Pmp::span_around(uint64_t address) const {
  Span span{.first = 0, .last = ~0ull, .permissions = unmatched(Priv::kSupervisor)};
  for (const Region& region : regions_) {
    if (address > region.last) {
      span.first = std::max(span.first, region.last + 1);
    } else if (address < region.first) {
      span.last = std::min(span.last, region.first - 1);
    } else {
      return {.first = std::max(span.first, region.first),
              .last = std::min(span.last, region.last),
              .permissions = permissions(region, Priv::kSupervisor)};
    }
  }
  return span;
}

bool Pmp::allows_slow(uint64_t address, uint64_t last, Access access, Priv priv) const {
  if (priv != Priv::kMachine) recent_ = span_around(address);
  for (const Region& region : regions_) {
    if (last < region.first || address > region.last) continue;
    // The lowest-numbered match decides, and fails unless it covers the whole access.
    return address >= region.first && last <= region.last &&
           (permissions(region, priv) & needed(access));
  }
  return unmatched(priv) & needed(access);
}

std::optional<uint8_t> Pmp::slow_permissions(uint64_t page, Priv priv) const {
  if (priv != Priv::kMachine) recent_ = span_around(page);
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
    if (held(hart, config)) continue;
    auto wanted = static_cast<uint8_t>(value >> (8 * i) & (kPmpLocked | kPmpAddressMode | kPmpAll));
    // W without R is reserved without MML; the field is WARL.
    const uint64_t mseccfg = hart.csr.mseccfg;
    if (!(mseccfg & kMseccfgMml)) {
      if (!(wanted & kPmpRead)) wanted &= ~kPmpWrite;
    } else if (!(mseccfg & kMseccfgRlb) && adds_machine_code(wanted)) {
      continue;
    }
    config = wanted;
  }
  hart.mmu->flush_all();
}

uint64_t read_pmpaddr(Hart& hart, unsigned csr) {
  return hart.csr.pmpaddr[csr - kFirstPmpaddr];
}

void write_pmpaddr(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  const unsigned i = csr - kFirstPmpaddr;
  if (i >= hart.config->pmp_regions || held(hart, hart.csr.pmpcfg[i])) return;
  // A locked top-of-range entry locks its lower bound too.
  if (i + 1 < hart.config->pmp_regions) {
    const uint8_t above = hart.csr.pmpcfg[i + 1];
    if (held(hart, above) && (above & kPmpAddressMode) == kPmpTor) return;
  }
  hart.csr.pmpaddr[i] = value & kPmpAddressBits;
  hart.mmu->flush_all();
}

uint64_t read_mseccfg(Hart& hart, unsigned) {
  return hart.csr.mseccfg;
}

void write_mseccfg(Hart& hart, unsigned, uint64_t value, uint64_t) {
  uint64_t& mseccfg = hart.csr.mseccfg;
  constexpr uint64_t kSticky = kMseccfgMml | kMseccfgMmwp;
  value = (value & (kSticky | kMseccfgRlb)) | (mseccfg & kSticky);
  const auto locked = [](uint8_t config) { return (config & kPmpLocked) != 0; };
  if (!(mseccfg & kMseccfgRlb) && std::ranges::any_of(hart.csr.pmpcfg, locked))
    value &= ~kMseccfgRlb;
  mseccfg = value;
  hart.mmu->flush_all();
}

}  // namespace hv
