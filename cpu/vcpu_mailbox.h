// What other threads leave for a hart: functions to run and fences to apply. Private to
// cpu/vcpu*.cpp.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "cpu/engine.h"
#include "cpu/hart.h"
#include "cpu/vcpu.h"
#include "io/thread_safety.h"

namespace hv {

// Functions in the order they were posted. Any thread posts, the hart's thread drains.
class Mailbox {
 public:
  void post(std::function<void(Hart&)> fn) HV_EXCLUDES(mutex_);
  // Runs all that is queued, also what these functions post.
  void drain(Hart& hart) HV_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::vector<std::function<void(Hart&)>> queue_ HV_GUARDED_BY(mutex_);
};

// Remote fences not yet applied. Tickets count them, so a poster can tell when its own is done. No
// allocation: when the list is full, all become one fence of everything.
class FenceQueue {
 public:
  // Any thread: the ticket of this fence.
  uint64_t post(const RemoteFence& fence) HV_EXCLUDES(mutex_);
  bool done(uint64_t ticket) const { return applied_.load() >= ticket; }
  // Hart thread; true if there was anything.
  bool apply(Hart& hart, Engine& engine) HV_EXCLUDES(mutex_);

 private:
  static constexpr unsigned kCapacity = 8;

  Mutex mutex_;
  std::array<RemoteFence, kCapacity> fences_ HV_GUARDED_BY(mutex_);
  unsigned count_ HV_GUARDED_BY(mutex_) = 0;
  bool code_ HV_GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> posted_{0}, applied_{0};
};

// Drops what the fence names from this hart's caches. Hart thread.
void apply_fence(Hart& hart, Engine& engine, const RemoteFence& fence);

}  // namespace hv
