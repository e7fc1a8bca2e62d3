#include "io/guest_clock.h"

#include <time.h>

#include <limits>

namespace hv {

int64_t GuestClock::host_now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<int64_t>(ts.tv_sec) * 1'000'000'000 + ts.tv_nsec;
}

uint64_t GuestClock::counted() const {
  if (!running_.load(std::memory_order_acquire))
    return frozen_ticks_.load(std::memory_order_relaxed);
  return static_cast<uint64_t>(host_now_ns() - origin_ns_.load(std::memory_order_relaxed)) /
         kNsPerTick;
}

int64_t GuestClock::host_deadline_ns(uint64_t ticks) const {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const int64_t origin = origin_ns_.load(std::memory_order_relaxed);
  const uint64_t last = static_cast<uint64_t>(kMax - origin) / kNsPerTick;
  const uint64_t count = counted();
  // The offset is known modulo 2^64 only, so whether `ticks` is past is decided in guest time.
  const uint64_t time = count + offset_.load(std::memory_order_relaxed);
  const uint64_t left = ticks > time ? ticks - time : 0;
  if (left >= last - count) return kMax;
  return origin + static_cast<int64_t>((count + left) * kNsPerTick);
}

void GuestClock::pause() {
  if (!running_.load(std::memory_order_relaxed)) return;
  frozen_ticks_.store(counted(), std::memory_order_relaxed);
  running_.store(false, std::memory_order_release);
}

void GuestClock::resume() {
  if (running_.load(std::memory_order_relaxed)) return;
  origin_ns_.store(host_now_ns() - static_cast<int64_t>(
                                       frozen_ticks_.load(std::memory_order_relaxed) * kNsPerTick),
                   std::memory_order_relaxed);
  running_.store(true, std::memory_order_release);
}

}  // namespace hv
