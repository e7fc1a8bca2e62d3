// Bookkeeping that the wait backends share. Internal to main-loop.
#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "main-loop/loop_backend.h"

namespace hv {

// Names records by a number that the kernel carries for us. A key of a record that is gone, or was
// armed anew since, finds nothing. Loop thread.
class FdTable {
 public:
  static constexpr unsigned kGenerationBits = 29;  // 3 bits are left for the backend's tags
  static constexpr uint32_t kGenerationMask = (1u << kGenerationBits) - 1;

  void insert(FdRecord& record) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.push_back({});
    }
    record.index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[record.index];
    slot.record = &record;
    renew(record);
  }

  void erase(FdRecord& record) {
    renew(record);
    slots_[record.index].record = nullptr;
    free_.push_back(record.index);
  }

  // Keys given out before find nothing any more.
  void renew(FdRecord& record) {
    Slot& slot = slots_[record.index];
    slot.generation = (slot.generation + 1) & kGenerationMask;
    record.generation = slot.generation;
  }

  static uint64_t key(const FdRecord& record) {
    return (uint64_t{record.index} << kGenerationBits) | record.generation;
  }

  FdRecord* find(uint64_t key) const {
    const uint64_t index = key >> kGenerationBits;
    if (index >= slots_.size()) return nullptr;
    const Slot& slot = slots_[index];
    return slot.generation == (key & kGenerationMask) ? slot.record : nullptr;
  }

  template <class F>
  void for_each(F&& f) {
    for (Slot& slot : slots_)
      if (slot.record) f(*slot.record);
  }

 private:
  struct Slot {
    FdRecord* record = nullptr;
    uint32_t generation = 0;
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

// Watched records that the kernel cannot poll and that are ready all the time (regular files).
class AlwaysReady {
 public:
  bool any() const { return !records_.empty(); }

  void set(FdRecord& record, bool watched) {
    std::erase(records_, &record);
    if (watched) records_.push_back(&record);
  }

  void report(std::deque<ReadyEvent>& ready) const {
    for (FdRecord* record : records_)
      ready.push_back(
          {.record = record, .result = static_cast<int>(record->events & (EPOLLIN | EPOLLOUT))});
  }

 private:
  std::vector<FdRecord*> records_;
};

}  // namespace hv
