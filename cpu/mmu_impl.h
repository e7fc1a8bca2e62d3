// What Mmu keeps; private to cpu/mmu*.cpp.
#pragma once

#include "cpu/mmu.h"
#include "cpu/page_table.h"
#include "cpu/pmp.h"
#include "cpu/tlb_set.h"

namespace hv {

struct Mmu::Impl {
  explicit Impl(Hart& h) : hart(h) {}

  // Where a piece of an access that stays inside one page ends up.
  struct Target {
    uint8_t* host = nullptr;  // nullptr: not RAM
    uint64_t physical = 0;
  };

  // Loads and stores use MPP's privilege under MPRV (3.1.6.3).
  void select(Priv data_priv);
  WalkContext walk_context(Priv priv) const;
  // Translates and checks [address, address + size), which lies inside one page, and enters the
  // page into the current TLB. False: the exception is in the hart.
  // Only what a walk has found mapped is ever kept, and no inner entries: a store that makes an
  // entry valid is seen by the next access, which is Svvptc.
  bool resolve(uint64_t address, uint64_t size, Access access, Target& target);
  bool resolve_slow(uint64_t address, uint64_t size, Access access, Target& target);
  // Physical address of a page-table walk or of an untranslated access.
  WalkResult translate(uint64_t address, Access access, Priv priv, bool paged,
                       Translation& result) const;

  Hart& hart;
  Pmp pmp;
  TlbSet tlbs;

  // The current context.
  Priv data_priv = Priv::kMachine;
  bool data_paged = false, fetch_paged = false;
  bool fetch_global = false;            // TlbSet::global_fetch()
  AddressSpace* paged_space = nullptr;  // the space of satp; looked up again when satp changes
  DataTlb* data = nullptr;
  FetchTlb* fetch = nullptr;
};

}  // namespace hv
