// The driver's side of a split virtqueue, for tests: builds rings in guest memory by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "hw/virtio/virtqueue.h"
#include "io/guest_memory.h"

namespace hv {

// Layout and flags follow virtio 1.2, section 2.7; nothing here is shared with the device's code.
class GuestQueue {
 public:
  static constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

  // Puts the table and the rings at `base`, 16 KiB each.
  GuestQueue(GuestMemory& memory, uint64_t base, uint16_t size)
      : memory_(memory), base_(base), size_(size) {}

  VirtQueueSetup setup() const { return {true, size_, desc_table(), avail(), used()}; }
  uint64_t desc_table() const { return base_; }
  uint64_t avail() const { return base_ + 0x4000; }
  uint64_t used() const { return base_ + 0x8000; }

  void set_desc(uint16_t index, uint64_t address, uint32_t length, uint16_t flags = 0,
                uint16_t next = 0) {
    set_desc_at(desc_table() + 16u * index, address, length, flags, next);
  }
  // One descriptor anywhere, as in an indirect table.
  void set_desc_at(uint64_t where, uint64_t address, uint32_t length, uint16_t flags = 0,
                   uint16_t next = 0) {
    put(where, address);
    put(where + 8, length);
    put(where + 12, flags);
    put(where + 14, next);
  }
  // A chain of buffers in descriptors first, first+1, ...
  struct Buffer {
    uint64_t address;
    uint32_t length;
    bool writable;
  };
  void set_chain(uint16_t first, const std::vector<Buffer>& buffers) {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const uint16_t at = static_cast<uint16_t>(first + i);
      const uint16_t flags =
          (buffers[i].writable ? kWrite : 0) | (i + 1 < buffers.size() ? kNext : 0);
      set_desc(at, buffers[i].address, buffers[i].length, flags, static_cast<uint16_t>(at + 1));
    }
  }

  // Empty rings, as a driver hands them to the device; descriptors stay.
  void clear_rings() {
    std::memset(memory_.host(avail(), 0x4000), 0, 0x4000);
    std::memset(memory_.host(used(), 0x4000), 0, 0x4000);
    avail_idx_ = 0;
  }
  // Makes a chain available.
  void submit(uint16_t head) {
    put(avail() + 4 + 2u * (avail_idx_ % size_), head);
    set_avail_idx(static_cast<uint16_t>(avail_idx_ + 1));
  }
  void set_avail_idx(uint16_t idx) {
    avail_idx_ = idx;
    store16(avail() + 2, idx);
  }
  uint16_t avail_idx() const { return avail_idx_; }
  void set_avail_flags(uint16_t flags) { store16(avail(), flags); }
  void set_used_event(uint16_t event) { store16(avail() + 4 + 2u * size_, event); }

  uint16_t used_flags() const { return load16(used()); }
  uint16_t used_idx() const { return load16(used() + 2); }
  uint16_t avail_event() const { return load16(used() + 4 + 8u * size_); }
  struct Used {
    uint32_t id, length;
  };
  Used used_entry(uint16_t idx) const {
    Used entry;
    memory_.read(used() + 4 + 8u * (idx % size_), &entry, sizeof entry);
    return entry;
  }

  template <class T>
  void put(uint64_t address, T value) {
    if (!memory_.write(address, &value, sizeof value)) abort();
  }
  template <class T>
  T get(uint64_t address) const {
    T value;
    if (!memory_.read(address, &value, sizeof value)) abort();
    return value;
  }

 private:
  // The index fields are shared with the device's thread.
  void store16(uint64_t address, uint16_t value) {
    __atomic_store_n(reinterpret_cast<uint16_t*>(memory_.host(address, 2)), value,
                     __ATOMIC_SEQ_CST);
  }
  uint16_t load16(uint64_t address) const {
    return __atomic_load_n(reinterpret_cast<uint16_t*>(memory_.host(address, 2)), __ATOMIC_SEQ_CST);
  }

  GuestMemory& memory_;
  const uint64_t base_;
  const uint16_t size_;
  uint16_t avail_idx_ = 0;
};

}  // namespace hv
