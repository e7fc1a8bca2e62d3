// Physical memory protection: privileged specification 3.7, and Smepmp.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cpu/mmu.h"
#include "io/guest_memory.h"

namespace hv {

// Permission bits as pmpcfg and PTEs order them.
enum PmpPermission : uint8_t { kPmpRead = 1, kPmpWrite = 2, kPmpExecute = 4, kPmpAll = 7 };

// pmpcfg fields.
inline constexpr uint8_t kPmpAddressMode = 3 << 3, kPmpOff = 0 << 3, kPmpTor = 1 << 3,
                         kPmpNa4 = 2 << 3, kPmpNapot = 3 << 3, kPmpLocked = 1 << 7;

// The active entries of one hart's PMP, lowest number first, as address ranges. Hart thread.
class Pmp {
 public:
  // Recomputes the ranges; `regions` is how many entries the hart implements (0: no PMP).
  void load(const CsrState& csr, unsigned regions);

  // Whether every byte of [address, address + size) may be accessed; `size` is not 0.
  bool allows(uint64_t address, uint64_t size, Access access, Priv priv) const {
    const uint64_t last = address + (size - 1);
    if (priv == Priv::kMachine || !recent_.covers(address, last))
      return allows_slow(address, last, access, priv);
    return recent_.permissions & needed(access);
  }

  // The PmpPermission bits that hold for the whole 4 KiB page; nullopt when an entry covers a part
  // of it only, so that each access must be checked by itself.
  std::optional<uint8_t> page_permissions(uint64_t page, Priv priv) const {
    const uint64_t last = page + (GuestMemory::kPageSize - 1);
    if (priv == Priv::kMachine || !recent_.covers(page, last)) return slow_permissions(page, priv);
    return recent_.permissions;
  }

  // How many bytes from `address` on, up to `limit`, may be fetched; 0: not even the first.
  uint64_t fetchable(uint64_t address, uint64_t limit, Priv priv) const;

 private:
  struct Region {
    uint64_t first, last;  // inclusive
    uint8_t config;
  };
  // Addresses for which the same entry, or none, decides what S and U may do.
  struct Span {
    uint64_t first = 1, last = 0;  // inclusive
    uint8_t permissions = 0;
    bool covers(uint64_t from, uint64_t to) const { return from >= first && to <= last; }
  };
  static uint8_t needed(Access access) {
    return access == Access::kFetch ? kPmpExecute : access == Access::kLoad ? kPmpRead : kPmpWrite;
  }
  bool allows_slow(uint64_t address, uint64_t last, Access access, Priv priv) const;
  std::optional<uint8_t> slow_permissions(uint64_t page, Priv priv) const;
  Span span_around(uint64_t address) const;
  uint8_t permissions(const Region& region, Priv priv) const;
  // Where no entry matches: everything for M-mode or without a PMP, nothing for S and U.
  uint8_t unmatched(Priv priv) const {
    return priv == Priv::kMachine || !implemented_ ? unmatched_machine_ : 0;
  }

  std::vector<Region> regions_;
  bool implemented_ = false;
  // mseccfg.MML: entries are for M-mode or for the others. MML and MMWP take from M-mode what no
  // entry matches.
  bool machine_lockdown_ = false;
  uint8_t unmatched_machine_ = kPmpAll;
  // Where S or U was last: mostly all of the RAM that is theirs.
  mutable Span recent_;
};

// pmpcfg and pmpaddr CSRs, with their lock rules. `csr` is the CSR's number.
uint64_t read_pmpcfg(Hart& hart, unsigned csr);
void write_pmpcfg(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
uint64_t read_pmpaddr(Hart& hart, unsigned csr);
void write_pmpaddr(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
// Smepmp: MML and MMWP stay set; RLB stays clear while it would undo a lock.
uint64_t read_mseccfg(Hart& hart, unsigned csr);
void write_mseccfg(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);

}  // namespace hv
