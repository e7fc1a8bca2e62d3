// When a periodic timer is due next, before anybody has said so.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "io/futex.h"

namespace hv {

// A guest's tick ends a period and its handler, microseconds later, begins the next one. A thread
// that expects that need not be told.
//
// One thread.
template <unsigned kSlots>
class TickForecast {
 public:
  // Ticks are this long, nanoseconds (1000 to 100 Hz); what is shorter or longer is no tick.
  static constexpr int64_t kShortest = 900'000, kLongest = 11'000'000;
  // A guest sets its timer for a time from now, some instructions after it has read the clock. So
  // deadlines come a little after the end of the period, hardly ever later than this.
  static constexpr int64_t kJitter = 50'000;
  // What is expected is expected so much early.
  static constexpr int64_t kEarly = 3'000;

  // `deadline_ns` of `slot` has passed.
  void fired(unsigned slot, int64_t deadline_ns) {
    Tick& tick = ticks_[slot];
    const int64_t since = deadline_ns - tick.latest;
    if (tick.period != 0) {
      const int64_t periods = std::max<int64_t>((since + tick.period / 2) / tick.period, 1);
      const int64_t late = since - periods * tick.period;
      if (std::abs(late) <= kJitter) {
        tick.strangers = 0;
        tick.latest = deadline_ns - (late > 0 ? late * 7 / 8 : 0);
        tick.period = std::clamp(tick.period + late / (periods * 16), kShortest, kLongest);
        return;
      }
      // Other timers of the guest pass between ticks.
      if (++tick.strangers < kStrangers) return;
    }
    tick = {.latest = deadline_ns, .period = since >= kShortest && since <= kLongest ? since : 0};
  }

  // The next tick of `slot` after `now_ns`, or kNoDeadline if it has none.
  int64_t next(unsigned slot, int64_t now_ns) const {
    const Tick& tick = ticks_[slot];
    if (tick.period == 0) return kNoDeadline;
    const int64_t since = std::max<int64_t>(now_ns + kEarly - tick.latest, -1);
    return tick.latest + (since / tick.period + (since >= 0)) * tick.period - kEarly;
  }

 private:
  // So many deadlines that are no tick: the period was none either.
  static constexpr unsigned kStrangers = 4;
  struct Tick {
    int64_t latest = 0, period = 0;
    unsigned strangers = 0;  // one after the other
  };
  std::array<Tick, kSlots> ticks_{};
};

}  // namespace hv
