#include "cpu/mmu.h"

#include "cpu/code_pages.h"
#include "cpu/mmu_impl.h"
#include "cpu/triggers.h"

#include <vector>

namespace hv {
namespace {

Cause page_fault(Access access) {
  return access == Access::kFetch  ? Cause::kFetchPageFault
         : access == Access::kLoad ? Cause::kLoadPageFault
                                   : Cause::kStorePageFault;
}

Cause access_fault(Access access) {
  return access == Access::kFetch  ? Cause::kFetchAccess
         : access == Access::kLoad ? Cause::kLoadAccess
                                   : Cause::kStoreAccess;
}

}  // namespace

Mmu::Mmu(Hart& hart) : impl_(std::make_unique<Impl>(hart)) {
  flush_all();
}

Mmu::~Mmu() = default;

WalkContext Mmu::Impl::walk_context(Priv priv) const {
  const CsrState& csr = hart.csr;
  WalkContext context;
  context.satp = csr.satp;
  context.priv = priv;
  context.sum = csr.mstatus & kMstatusSum;
  context.mxr = csr.mstatus & kMstatusMxr;
  // With neither Svade nor Svadu software must be ready for both behaviours, as QEMU's is.
  context.hardware_ad =
      hart.has(Ext::kSvadu) ? (csr.menvcfg & kEnvcfgAdue) != 0 : !hart.has(Ext::kSvade);
  context.napot = hart.has(Ext::kSvnapot);
  context.pbmt = hart.has(Ext::kSvpbmt) && (csr.menvcfg & kEnvcfgPbmte);
  return context;
}

void Mmu::Impl::select(Priv priv) {
  const uint64_t mstatus = hart.csr.mstatus;
  data_priv = priv;
  const bool paging = satp_mode(hart.csr.satp) != 0;
  data_paged = paging && data_priv != Priv::kMachine;
  fetch_paged = paging && hart.priv != Priv::kMachine;
  if (paging && (!paged_space || paged_space->satp != hart.csr.satp))
    paged_space = &tlbs.space(hart.csr.satp);

  size_t index;
  if (data_paged) {
    index = data_priv == Priv::kUser ? 0 : mstatus & kMstatusSum ? 2 : 1;
    if (mstatus & kMstatusMxr) index += 3;
  } else {
    index = data_priv == Priv::kMachine;
  }
  data = &tlbs.data(data_paged ? *paged_space : tlbs.bare(), index);
  hart.data_tlb = data->entries();
  fetch_global = fetch_paged && hart.priv == Priv::kSupervisor && !paged_space->own_supervisor_code;
  if (fetch_global) {
    fetch = &tlbs.global_fetch(satp_mode(hart.csr.satp));
    return;
  }
  fetch = &tlbs.fetch(fetch_paged ? *paged_space : tlbs.bare(),
                      fetch_paged ? hart.priv != Priv::kUser : hart.priv == Priv::kMachine);
}

void Mmu::context_changed() {
  Hart& hart = impl_->hart;
  Priv priv = hart.priv;
  if (priv == Priv::kMachine && (hart.csr.mstatus & kMstatusMprv))
    priv = static_cast<Priv>((hart.csr.mstatus & kMstatusMpp) >> 11);
  impl_->select(priv);
  impl_->hart.fetch_generation = impl_->fetch->generation();
}

void Mmu::flush(std::optional<uint64_t> address, std::optional<uint64_t> asid) {
  impl_->tlbs.fence(address, asid);
  impl_->hart.fetch_generation = impl_->fetch->generation();
}

void Mmu::flush_all() {
  const Hart& hart = impl_->hart;
  impl_->pmp.load(hart.csr, hart.config ? hart.config->pmp_regions : 0);
  impl_->tlbs.clear();
  context_changed();
}

void Mmu::drop_writable(std::span<const uint64_t> pages) {
  std::vector<uint64_t> host_pages;
  for (const uint64_t page : pages)
    host_pages.push_back(
        reinterpret_cast<uintptr_t>(impl_->hart.memory->host(page, GuestMemory::kPageSize)));
  impl_->tlbs.drop_writable(host_pages);
}

WalkResult Mmu::Impl::translate(uint64_t address, Access access, Priv priv, bool paged,
                                Translation& result) const {
  if (paged) return walk_page_table(*hart.memory, pmp, walk_context(priv), address, access, result);
  result = {.physical = address, .permissions = kPmpAll, .dirty = true};
  return WalkResult::kMapped;
}

bool Mmu::Impl::resolve(uint64_t address, uint64_t size, Access access, Target& target) {
  const TlbEntry& entry = data->entry(address);
  const uint64_t tag = access == Access::kStore ? entry.write_tag : entry.read_tag;
  if (tag != (address & kPageMask)) return resolve_slow(address, size, access, target);
  target.host = reinterpret_cast<uint8_t*>(address + entry.addend);
  target.physical = hart.memory->base() + static_cast<uint64_t>(target.host - hart.memory->data());
  return true;
}

bool Mmu::Impl::resolve_slow(uint64_t address, uint64_t size, Access access, Target& target) {
  ++(access == Access::kLoad ? hart.tlb_misses.load : hart.tlb_misses.store);
  Translation translation;
  switch (translate(address, access, data_priv, data_paged, translation)) {
    case WalkResult::kPageFault:
      return hart.raise(page_fault(access), address);
    case WalkResult::kAccessFault:
      return hart.raise(access_fault(access), address);
    case WalkResult::kMapped:
      break;
  }
  if (!pmp.allows(translation.physical, size, access, data_priv))
    return hart.raise(access_fault(access), address);
  target.physical = translation.physical;
  const uint64_t page = translation.physical & kPageMask;
  uint8_t* host_page = hart.memory->host(page, GuestMemory::kPageSize);
  target.host = host_page ? host_page + (translation.physical - page) : nullptr;
  if (!host_page) return true;
  if (hart.code_pages && access == Access::kStore) hart.code_pages->before_store(hart.id, page);
  if (hart.csr.watch_armed && has_trigger(hart, address & kPageMask, access)) return true;
  if (auto permissions = pmp.page_permissions(page, data_priv)) {
    *permissions &= translation.permissions;
    if (!translation.dirty) *permissions &= ~kPmpWrite;
    if (hart.code_pages && !hart.code_pages->stores_to(hart.id, page)) *permissions &= ~kPmpWrite;
    data->insert(address, host_page, translation, *permissions);
  }
  return true;
}

bool Mmu::fetch(uint64_t address, FetchResult& result) {
  Impl& m = *impl_;
  const uint64_t page = address & kPageMask, offset = address - page;
  // The second half of an instruction has no breakpoint of its own.
  if (m.hart.csr.break_armed && address == m.hart.pc &&
      !pass_triggers(m.hart, address, 1, Access::kFetch))
    return false;
  if (const auto* entry = m.fetch->find(page)) {
    result = {entry->host + offset, entry->physical + offset, GuestMemory::kPageSize - offset,
              true};
    return true;
  }
  Hart& hart = m.hart;
  ++hart.tlb_misses.fetch;
  Translation translation;
  switch (m.translate(address, Access::kFetch, hart.priv, m.fetch_paged, translation)) {
    case WalkResult::kPageFault:
      return hart.raise(Cause::kFetchPageFault, address);
    case WalkResult::kAccessFault:
      return hart.raise(Cause::kFetchAccess, address);
    case WalkResult::kMapped:
      break;
  }
  if (m.fetch_global && !translation.global) {
    m.paged_space->own_supervisor_code = true;
    context_changed();
  }
  const uint64_t physical_page = translation.physical & kPageMask;
  const uint8_t* host = hart.memory->host(physical_page, GuestMemory::kPageSize);
  if (!host) return hart.raise(Cause::kFetchAccess, address);
  const auto permissions = m.pmp.page_permissions(physical_page, hart.priv);
  result = {host + offset, translation.physical, GuestMemory::kPageSize - offset, true};
  const bool watched = hart.csr.break_armed && has_trigger(hart, page, Access::kFetch);
  if (watched) result.whole_page = false;
  if (!permissions) {
    result.whole_page = false;
    result.size = m.pmp.fetchable(translation.physical, result.size, hart.priv);
    if (result.size < 2) return hart.raise(Cause::kFetchAccess, address);
    m.fetch->note(page, translation);
    return true;
  }
  if (!(*permissions & kPmpExecute)) return hart.raise(Cause::kFetchAccess, address);
  if (result.whole_page)
    m.fetch->insert(page, host, translation);
  else
    m.fetch->note(page, translation);
  return true;
}

uint8_t* Mmu::atomic_host(uint64_t address, unsigned size, Access access, uint64_t& physical) {
  Impl& m = *impl_;
  if (address % size) {
    m.hart.raise(access == Access::kLoad ? Cause::kLoadMisaligned : Cause::kStoreMisaligned,
                 address);
    return nullptr;
  }
  if (m.hart.csr.watch_armed && !pass_atomic_triggers(m.hart, address, size, access))
    return nullptr;
  Impl::Target target;
  if (!m.resolve(address, size, access, target)) return nullptr;
  physical = target.physical;
  if (!target.host) m.hart.raise(access_fault(access), address);
  return target.host;
}

uint8_t* Mmu::cache_block(uint64_t address, Access access) {
  constexpr uint64_t kBlock = 64;
  Impl& m = *impl_;
  if (m.hart.csr.watch_armed && access == Access::kStore &&
      !pass_triggers(m.hart, address & ~(kBlock - 1), kBlock, access))
    return nullptr;
  Impl::Target target;
  const bool mapped = m.resolve(address & ~(kBlock - 1), kBlock, access, target);
  if (mapped && target.host) return target.host;
  // Cache-block instructions report as stores, with the address that they named (Zicbom 2.5.2).
  const bool paging = !mapped && (m.hart.exception_cause == Cause::kLoadPageFault ||
                                  m.hart.exception_cause == Cause::kStorePageFault);
  m.hart.raise(paging ? Cause::kStorePageFault : Cause::kStoreAccess, address);
  return nullptr;
}

std::optional<uint64_t> Mmu::translate_for_debug(uint64_t address) const {
  const Hart& hart = impl_->hart;
  if (hart.priv == Priv::kMachine || satp_mode(hart.csr.satp) == 0) return address;
  WalkContext context = impl_->walk_context(hart.priv);
  context.dry_run = true;
  Translation translation;
  if (walk_page_table(*hart.memory, Pmp(), context, address, Access::kLoad, translation) !=
      WalkResult::kMapped)
    return std::nullopt;
  return translation.physical;
}

}  // namespace hv
