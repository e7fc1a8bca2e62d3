// The machine's time base: mtime, the time CSR, and what timers are compared with.
#pragma once

#include <atomic>
#include <cstdint>

namespace hv {

// Counts at kFrequency from 0 at power-on while the machine runs; stands still while it is paused.
// Thread-safe: now() and set() from any thread; pause() and resume() from the main thread while no
// hart runs.
class GuestClock {
 public:
  static constexpr uint64_t kFrequency = 10'000'000;  // Hz, QEMU's virt timebase-frequency
  static constexpr uint64_t kNsPerTick = 1'000'000'000 / kFrequency;

  // Ticks since power-on, or since set() on top of what it gave.
  uint64_t now() const { return counted() + offset_.load(std::memory_order_relaxed); }
  // Makes `ticks` the time, from which it goes on counting. Who waits for a time must look again.
  void set(uint64_t ticks) { offset_.store(ticks - counted(), std::memory_order_relaxed); }
  // Host CLOCK_MONOTONIC nanoseconds at which now() reaches `ticks` (saturates at INT64_MAX; some
  // time past if it has); valid until the next pause() or set().
  int64_t host_deadline_ns(uint64_t ticks) const;
  // Host CLOCK_MONOTONIC, nanoseconds.
  static int64_t host_now_ns();

  void pause();
  void resume();

 private:
  // Ticks that the machine has run: running ? (host - origin_ns) / kNsPerTick : frozen_ticks
  uint64_t counted() const;

  std::atomic<int64_t> origin_ns_{0};
  std::atomic<uint64_t> frozen_ticks_{0};
  std::atomic<bool> running_{false};
  std::atomic<uint64_t> offset_{0};  // now() - counted(), modulo 2^64
};

}  // namespace hv
