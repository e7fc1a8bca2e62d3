#include "cpu/tlb_set.h"

#include <algorithm>

namespace hv {
namespace {

// TlbEntry::page_info: virtual page | level << 1 | global.
constexpr uint64_t kInfoGlobal = 1;
unsigned info_level(uint64_t info) {
  return info >> 1 & 7;
}

}  // namespace

void DataTlb::insert(uint64_t address, const uint8_t* host_page, const Translation& translation,
                     uint8_t permissions) {
  const uint64_t page = address & kPageMask;
  TlbEntry& slot = entry(page);
  slot.read_tag = permissions & kPmpRead ? page : kTlbInvalid;
  slot.write_tag = permissions & kPmpWrite ? page : kTlbInvalid;
  slot.addend = reinterpret_cast<uintptr_t>(host_page) - page;
  slot.page_info = page | translation.level << 1 | (translation.global ? kInfoGlobal : 0);
  if (translation.level > 0) superpages_.add(page, translation.level);
  used_ = true;
}

void DataTlb::drop_writable(std::span<const uint64_t> pages) {
  if (!used_) return;
  for (TlbEntry& entry : entries_)
    if (entry.write_tag != kTlbInvalid &&
        std::ranges::binary_search(pages, entry.write_tag + entry.addend))
      entry.write_tag = kTlbInvalid;
}

bool DataTlb::dropped_by(const TlbEntry& entry, const FenceScope& scope) {
  if (scope.keep_global && entry.page_info & kInfoGlobal) return false;
  if (!scope.address) return true;
  const uint64_t leaf_mask = ~(level_size(info_level(entry.page_info)) - 1);
  return ((entry.page_info ^ *scope.address) & leaf_mask) == 0;
}

void DataTlb::fence(const FenceScope& scope) {
  if (!used_) return;
  if (!scope.address && !scope.keep_global) return clear();
  auto drop = [&](TlbEntry& entry) {
    if (dropped_by(entry, scope)) entry = {};
  };
  // A page of 4 KiB has one place; pages cut from a superpage may be anywhere.
  if (scope.address && !superpages_.may_hold(*scope.address, 1))
    drop(entry(*scope.address));
  else
    std::for_each(entries_.begin(), entries_.end(), drop);
}

void DataTlb::clear() {
  if (!used_) return;
  entries_.fill({});
  superpages_.clear();
  used_ = false;
}

void FetchTlb::note(uint64_t page, const Translation& translation) {
  pages_.add(page, translation.level);
  all_global_ &= translation.global;
  used_ = true;
}

void FetchTlb::insert(uint64_t page, const uint8_t* host, const Translation& translation) {
  entries_[index(page)] = {page, host, translation.physical & kPageMask};
  note(page, translation);
}

void FetchTlb::fence(const FenceScope& scope) {
  if (!used_ || (scope.keep_global && all_global_)) return;
  if (scope.address && !pages_.may_hold(*scope.address)) return;
  // Engines may hold any translation given out under this generation.
  clear();
}

void FetchTlb::clear() {
  if (!used_) return;
  entries_.fill({});
  pages_.clear();
  used_ = false;
  all_global_ = true;
  renew();
}

void AddressSpace::fence(const FenceScope& scope) {
  for (auto& tlb : data)
    if (tlb) tlb->fence(scope);
  for (auto& tlb : fetch)
    if (tlb) tlb->fence(scope);
}

void AddressSpace::clear() {
  own_supervisor_code = false;
  for (auto& tlb : data)
    if (tlb) tlb->clear();
  for (auto& tlb : fetch)
    if (tlb) tlb->clear();
}

AddressSpace& TlbSet::space(uint64_t satp) {
  AddressSpace* oldest = &spaces_[0];
  for (AddressSpace& space : spaces_) {
    if (space.in_use && space.satp == satp) {
      space.last_used = ++clock_;
      return space;
    }
    if (space.last_used < oldest->last_used) oldest = &space;
  }
  oldest->clear();
  oldest->in_use = true;
  oldest->satp = satp;
  oldest->last_used = ++clock_;
  return *oldest;
}

DataTlb& TlbSet::data(AddressSpace& space, size_t index) {
  auto& tlb = space.data[index];
  if (!tlb) tlb = std::make_unique<DataTlb>();
  return *tlb;
}

FetchTlb& TlbSet::fetch(AddressSpace& space, size_t index) {
  auto& tlb = space.fetch[index];
  if (!tlb) tlb = std::make_unique<FetchTlb>(generations_);
  return *tlb;
}

FetchTlb& TlbSet::global_fetch(unsigned satp_mode) {
  if (satp_mode != global_mode_) global_fetch_.clear();
  global_mode_ = satp_mode;
  return global_fetch_;
}

void TlbSet::fence(std::optional<uint64_t> address, std::optional<uint64_t> asid) {
  const FenceScope scope{address, asid.has_value()};
  global_fetch_.fence(scope);
  for (AddressSpace& space : spaces_)
    if (space.in_use && (!asid || satp_asid(space.satp) == *asid)) space.fence(scope);
}

void TlbSet::clear() {
  bare_.clear();
  global_fetch_.clear();
  for (AddressSpace& space : spaces_) space.clear();
}

void TlbSet::drop_writable(std::span<const uint64_t> host_pages) {
  const auto drop = [&](AddressSpace& space) {
    for (auto& tlb : space.data)
      if (tlb) tlb->drop_writable(host_pages);
  };
  drop(bare_);
  for (AddressSpace& space : spaces_)
    if (space.in_use) drop(space);
}

}  // namespace hv
