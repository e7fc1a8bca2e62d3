#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>

#include "io/guest_clock.h"

using namespace hv;

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr uint64_t kHour = 3600 * GuestClock::kFrequency;

}  // namespace

TEST_CASE("guest clock: goes on from the time it is set to") {
  GuestClock clock;
  clock.set(1000);
  CHECK(clock.now() == 1000);  // not started
  clock.resume();
  CHECK(clock.now() >= 1000);
  for (const uint64_t ticks : {uint64_t{0}, 5 * kHour, uint64_t{1} << 63}) {
    clock.set(ticks);
    const uint64_t seen = clock.now();
    CHECK(seen - ticks < kHour);
    clock.pause();
    const uint64_t frozen = clock.now();
    CHECK(frozen >= seen);
    CHECK(clock.now() == frozen);
    clock.resume();
    CHECK(clock.now() - frozen < kHour);
  }
}

TEST_CASE("guest clock: deadlines follow the time it is set to") {
  GuestClock clock;
  clock.resume();
  const int64_t hour_ns = static_cast<int64_t>(kHour * GuestClock::kNsPerTick);
  // From below, from above, and where guest time and host time differ by more than half their
  // range.
  for (const uint64_t ticks : {5 * kHour, uint64_t{0}, uint64_t{3} << 62, uint64_t{7}}) {
    clock.set(ticks);
    const int64_t before = GuestClock::host_now_ns();
    const int64_t deadline = clock.host_deadline_ns(ticks + 2 * kHour);
    CHECK(deadline > before + hour_ns);
    CHECK(deadline < before + 3 * hour_ns);
    CHECK(clock.host_deadline_ns(ticks + 2 * kHour) == deadline);
    for (const uint64_t past : {ticks, uint64_t{0}}) {
      const int64_t reached = clock.host_deadline_ns(past);
      CHECK(reached <= GuestClock::host_now_ns());
    }
    CHECK(clock.host_deadline_ns(~0ull) == kNever);
  }
}
