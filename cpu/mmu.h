// Address translation and protection of one hart: page walks, PMP, TLB contexts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cpu/hart.h"

namespace hv {

enum class Access : uint8_t { kFetch, kLoad, kStore };

// What a fetch found: `host` points at the instruction bytes in RAM. They may be executed to the
// end of the page, unless a PMP entry divides it: then only `size` bytes may, and the result must
// not be kept for other fetches. Where a breakpoint lies in the page, each instruction is fetched
// anew, too.
struct FetchResult {
  const uint8_t* host;
  uint64_t physical;
  uint64_t size;
  bool whole_page;
};

// One per hart, hart thread only. Contexts: a data TLB for each recent combination of effective
// privilege, SUM/MXR and (mode, ASID), so that neither a privilege change nor a switch to an
// address space with an ASID of its own flushes anything.
class Mmu {
 public:
  explicit Mmu(Hart& hart);
  ~Mmu();

  // After any change of priv, mstatus (MPRV, MPP, SUM, MXR), or satp: selects hart.data_tlb and the
  // fetch context (hart.fetch_generation). Cheap: called on every trap and return.
  void context_changed();
  // sfence.vma / sinval.vma semantics; nullopt = all.
  void flush(std::optional<uint64_t> address, std::optional<uint64_t> asid);
  void flush_all();  // also after a PMP change
  // The next store to one of these pages of RAM (physical addresses, in order) takes the slow way.
  void drop_writable(std::span<const uint64_t> pages);

  // Translates a fetch; on failure the exception is in the hart. Instructions that straddle a page
  // are fetched in two calls.
  bool fetch(uint64_t address, FetchResult& result);

  // The slow side of loads and stores: TLB miss, misaligned, page-crossing, register windows.
  // Sizes 1, 2, 4, 8. Values zero-extended. False: the exception is in the hart.
  bool load(uint64_t address, unsigned size, uint64_t& value);
  bool store(uint64_t address, unsigned size, uint64_t value);
  // Host address for an atomic read-modify-write of naturally aligned RAM (needs load and store
  // permission for kStore, load only for kLoad); misaligned raises the access's misaligned
  // exception, a register window an access fault. `physical` is for the reservation.
  uint8_t* atomic_host(uint64_t address, unsigned size, Access access, uint64_t& physical);
  // cbo.zero and friends: permission check of the block, host address.
  uint8_t* cache_block(uint64_t address, Access access);

  // Debugger and tests: physical address without side effects; nullopt when not mapped.
  std::optional<uint64_t> translate_for_debug(uint64_t address) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hv
