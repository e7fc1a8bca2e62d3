// The translations that one hart keeps: data TLBs and fetch translations by address space.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cpu/page_table.h"
#include "cpu/tlb.h"

namespace hv {

// Which virtual pages a cache may hold, by leaf size: a Bloom filter that lets most address fences
// pass by without a search.
class PageFilter {
 public:
  void add(uint64_t address, unsigned level) {
    bits_[level].set(slot(address, level));
    levels_ |= 1u << level;
  }
  // Some page from `lowest_level` up that holds this address may have been added.
  bool may_hold(uint64_t address, unsigned lowest_level = 0) const {
    for (unsigned level = lowest_level; level < kLevels; ++level)
      if (levels_ >> level & 1 && bits_[level].test(slot(address, level))) return true;
    return false;
  }
  void clear() {
    if (!levels_) return;
    bits_ = {};
    levels_ = 0;
  }

 private:
  static constexpr unsigned kLevels = kNapotLevel + 1;
  static constexpr size_t kSlots = 512;
  static size_t slot(uint64_t address, unsigned level) {
    return (address >> level_bits(level)) % kSlots;
  }
  std::array<std::bitset<kSlots>, kLevels> bits_{};
  uint32_t levels_ = 0;
};

// What a fence drops. Global translations outlive a fence that names an ASID.
struct FenceScope {
  std::optional<uint64_t> address;
  bool keep_global = false;
};

class DataTlb {
 public:
  TlbEntry* entries() { return entries_.data(); }
  TlbEntry& entry(uint64_t address) { return entries_[tlb_index(address)]; }
  // Enters the page of `address` at `host_page`; permissions are PmpPermission bits (write only
  // with D set).
  void insert(uint64_t address, const uint8_t* host_page, const Translation& translation,
              uint8_t permissions);
  void fence(const FenceScope& scope);
  void clear();
  // Takes the write tag off each entry whose page on the host is one of `pages`, in order.
  void drop_writable(std::span<const uint64_t> pages);

 private:
  static bool dropped_by(const TlbEntry& entry, const FenceScope& scope);

  std::array<TlbEntry, kTlbEntries> entries_{};
  PageFilter superpages_;
  bool used_ = false;
};

// Fetch translations of one privilege in one address space.
class FetchTlb {
 public:
  struct Entry {
    uint64_t page = kTlbInvalid;
    const uint8_t* host = nullptr;
    uint64_t physical = 0;
  };
  explicit FetchTlb(uint64_t& generations) : generations_(generations) { renew(); }

  const Entry* find(uint64_t page) const {
    const Entry& entry = entries_[index(page)];
    return entry.page == page ? &entry : nullptr;
  }
  void insert(uint64_t page, const uint8_t* host, const Translation& translation);
  // Notes a translation that is given out but not kept.
  void note(uint64_t page, const Translation& translation);
  void fence(const FenceScope& scope);
  void clear();
  uint64_t generation() const { return generation_; }

 private:
  static constexpr size_t kEntries = 256;
  static size_t index(uint64_t page) { return page / GuestMemory::kPageSize % kEntries; }
  void renew() { generation_ = ++generations_; }

  std::array<Entry, kEntries> entries_{};
  PageFilter pages_;
  bool used_ = false;
  bool all_global_ = true;
  uint64_t generation_ = 0;
  uint64_t& generations_;
};

// Everything cached for one value of satp, or for accesses without translation.
struct AddressSpace {
  // Index of a data TLB: effective privilege and SUM, doubled for MXR.
  static constexpr size_t kDataTlbs = 6;

  bool in_use = false;
  uint64_t satp = 0;
  uint64_t last_used = 0;
  // Supervisor code of this space is not all global: it has fetch translations of its own for it.
  bool own_supervisor_code = false;
  std::array<std::unique_ptr<DataTlb>, kDataTlbs> data;
  std::array<std::unique_ptr<FetchTlb>, 2> fetch;

  void fence(const FenceScope& scope);
  void clear();
};

// A modest number of address spaces, the least recently used one given up for a new one. Hart
// thread.
class TlbSet {
 public:
  // Accesses that are not translated; only PMP changes drop what is cached here.
  AddressSpace& bare() { return bare_; }
  AddressSpace& space(uint64_t satp);
  DataTlb& data(AddressSpace& space, size_t index);
  FetchTlb& fetch(AddressSpace& space, size_t index);
  // Of supervisor code in global mappings, which are the same in all address spaces of satp's mode:
  // so a kernel's fetch context stays the same from process to process.
  FetchTlb& global_fetch(unsigned satp_mode);

  void fence(std::optional<uint64_t> address, std::optional<uint64_t> asid);
  void clear();
  void drop_writable(std::span<const uint64_t> host_pages);

 private:
  static constexpr size_t kSpaces = 16;

  AddressSpace bare_;
  std::array<AddressSpace, kSpaces> spaces_;
  uint64_t clock_ = 0;
  uint64_t generations_ = 0;
  unsigned global_mode_ = 0;
  FetchTlb global_fetch_{generations_};
};

}  // namespace hv
