// Loads and stores that the TLB's fast path leaves over.
#include "cpu/mmu_impl.h"
#include "cpu/triggers.h"

namespace hv {
namespace {

uint64_t read_ram(const uint8_t* host, unsigned size) {
  switch (size) {
    case 1:
      return __atomic_load_n(host, __ATOMIC_RELAXED);
    case 2:
      return __atomic_load_n(reinterpret_cast<const uint16_t*>(host), __ATOMIC_RELAXED);
    case 4:
      return __atomic_load_n(reinterpret_cast<const uint32_t*>(host), __ATOMIC_RELAXED);
    default:
      return __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_RELAXED);
  }
}

void write_ram(uint8_t* host, unsigned size, uint64_t value) {
  switch (size) {
    case 1:
      return __atomic_store_n(host, static_cast<uint8_t>(value), __ATOMIC_RELAXED);
    case 2:
      return __atomic_store_n(reinterpret_cast<uint16_t*>(host), static_cast<uint16_t>(value),
                              __ATOMIC_RELAXED);
    case 4:
      return __atomic_store_n(reinterpret_cast<uint32_t*>(host), static_cast<uint32_t>(value),
                              __ATOMIC_RELAXED);
    default:
      return __atomic_store_n(reinterpret_cast<uint64_t*>(host), value, __ATOMIC_RELAXED);
  }
}

// A misaligned access in up to two pieces, each inside one page. Register windows are not divided.
struct Split {
  Split(uint64_t address, unsigned size) {
    const uint64_t to_page_end = GuestMemory::kPageSize - address % GuestMemory::kPageSize;
    first = to_page_end < size ? static_cast<unsigned>(to_page_end) : size;
    second = size - first;
  }
  unsigned first, second;
};

}  // namespace

bool Mmu::load(uint64_t address, unsigned size, uint64_t& value) {
  Impl& m = *impl_;
  if (m.hart.csr.watch_armed && !pass_triggers(m.hart, address, size, Access::kLoad)) return false;
  Impl::Target target;
  if (address % size == 0) [[likely]] {
    if (!m.resolve(address, size, Access::kLoad, target)) return false;
    if (target.host) {
      value = read_ram(target.host, size);
      return true;
    }
    return m.hart.mmio->read(target.physical, size, value) ||
           m.hart.raise(Cause::kLoadAccess, address);
  }

  const Split split(address, size);
  if (!m.resolve(address, split.first, Access::kLoad, target)) return false;
  if (!target.host) return m.hart.raise(Cause::kLoadAccess, address);
  value = 0;
  copy_from_guest(&value, target.host, split.first);
  if (split.second) {
    const uint64_t next = address + split.first;
    if (!m.resolve(next, split.second, Access::kLoad, target)) return false;
    if (!target.host) return m.hart.raise(Cause::kLoadAccess, next);
    copy_from_guest(reinterpret_cast<uint8_t*>(&value) + split.first, target.host, split.second);
  }
  return true;
}

bool Mmu::store(uint64_t address, unsigned size, uint64_t value) {
  Impl& m = *impl_;
  if (m.hart.csr.watch_armed && !pass_triggers(m.hart, address, size, Access::kStore)) return false;
  Impl::Target target;
  if (address % size == 0) [[likely]] {
    if (!m.resolve(address, size, Access::kStore, target)) return false;
    if (target.host) {
      write_ram(target.host, size, value);
      return true;
    }
    return m.hart.mmio->write(target.physical, size, value) ||
           m.hart.raise(Cause::kStoreAccess, address);
  }

  const Split split(address, size);
  if (!m.resolve(address, split.first, Access::kStore, target)) return false;
  if (!target.host) return m.hart.raise(Cause::kStoreAccess, address);
  if (split.second) {
    // Both pages are checked before the first byte is stored.
    const uint64_t next = address + split.first;
    Impl::Target rest;
    if (!m.resolve(next, split.second, Access::kStore, rest)) return false;
    if (!rest.host) return m.hart.raise(Cause::kStoreAccess, next);
    copy_to_guest(rest.host, reinterpret_cast<const uint8_t*>(&value) + split.first, split.second);
  }
  copy_to_guest(target.host, &value, split.first);
  return true;
}

}  // namespace hv
