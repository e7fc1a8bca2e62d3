// The machine's time base: mtime, the time CSR, and what timers are compared with.
#pragma once

#include <atomic>
#include <cstdint>

namespace hv {

// Counts at kFrequency from 0 at power-on while the machine runs; stands still while it is paused.
// Thread-safe: now() from any thread; pause() and resume() from the main thread while no
// hart runs.
class GuestClock {
 public:
  static constexpr uint64_t kFrequency = 10'000'000;  // Hz, QEMU's virt timebase-frequency
  static constexpr uint64_t kNsPerTick = 1'000'000'000 / kFrequency;

  // Ticks since power-on.
  uint64_t now() const;
  // Host CLOCK_MONOTONIC nanoseconds at which now() reaches `ticks` (saturates at INT64_MAX); valid
  // until the next pause().
  int64_t host_deadline_ns(uint64_t ticks) const;
  // Host CLOCK_MONOTONIC, nanoseconds.
  static int64_t host_now_ns();

  void pause();
  void resume();

 private:
  // now = running ? (host - origin_ns) / kNsPerTick : frozen_ticks
  std::atomic<int64_t> origin_ns_{0};
  std::atomic<uint64_t> frozen_ticks_{0};
  std::atomic<bool> running_{false};
};

}  // namespace hv
