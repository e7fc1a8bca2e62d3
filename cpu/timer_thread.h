// Delivers the timer deadlines of busy harts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "cpu/tick_forecast.h"
#include "io/futex.h"

namespace hv {

// One thread ("timer") that sleeps until the earliest deadline armed. A hart arms its own deadline
// while it executes and disarms it when it rests, for then it watches the deadline itself.
//
// Arming makes a syscall only when the thread sleeps past the new deadline; it does not sleep past
// the next tick of a hart that has lately armed anything (TickForecast). No deadline is lost:
// the armer stores the deadline, then reads sleeping_until_; the thread stores sleeping_until_,
// then reads all deadlines once more before it sleeps. Both orders are seq_cst, so at least one of
// the two sees the other.
class TimerThread {
 public:
  static constexpr unsigned kMaxSlots = 64;

  // `due(slot)` runs on the timer thread, once for each armed deadline that has passed.
  TimerThread(unsigned slots, std::function<void(unsigned)> due);
  ~TimerThread();

  // CLOCK_MONOTONIC nanoseconds. Any thread, for one slot by one thread at a time.
  void arm(unsigned slot, int64_t deadline_ns);
  void disarm(unsigned slot) { slots_[slot].deadline.store(kNoDeadline); }

 private:
  struct alignas(64) Slot {
    std::atomic<int64_t> deadline{kNoDeadline};
    std::atomic<bool> in_use{false};  // armed since the thread last looked
  };
  static constexpr int64_t kAwake = std::numeric_limits<int64_t>::min();

  void run();
  int64_t earliest() const;
  int64_t next_tick();
  void fire();

  const unsigned count_;
  const std::function<void(unsigned)> due_;
  std::array<Slot, kMaxSlots> slots_;
  TickForecast<kMaxSlots> forecast_;
  std::atomic<int64_t> sleeping_until_{kAwake};
  std::atomic<uint32_t> wake_word_{0};
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace hv
