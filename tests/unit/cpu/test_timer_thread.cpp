#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "cpu/timer_thread.h"
#include "io/guest_clock.h"
#include "tests/unit/cpu/scripted_harts.h"

using namespace hv;
using hv::test::Goal;

namespace {
constexpr int64_t kMs = 1'000'000;

// The calling thread's slice by sched_getattr(2), in ns; 0 where the host does not tell.
uint64_t own_slice() {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{};
  const bool told = syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) == 0;
  return told && attributes.policy == SCHED_OTHER ? attributes.runtime : 0;
}
}  // namespace

TEST_CASE("Every armed deadline fires once and not early") {
  constexpr unsigned kSlots = 8;
  Goal goal(kSlots);
  std::atomic<unsigned> fired[kSlots]{};
  std::atomic<bool> early{false};
  int64_t deadlines[kSlots];
  TimerThread timers(kSlots, [&](unsigned slot) {
    early = early || GuestClock::host_now_ns() < deadlines[slot];
    fired[slot].fetch_add(1);
    goal.add();
  });
  const int64_t now = GuestClock::host_now_ns();
  // The latest first: each next one is earlier than what the thread sleeps for.
  for (unsigned i = 0; i < kSlots; ++i) deadlines[i] = now + (kSlots - i) * kMs;
  for (unsigned i = 0; i < kSlots; ++i) timers.arm(i, deadlines[i]);
  goal.wait();
  for (auto& count : fired) CHECK(count == 1);
  CHECK_FALSE(early);
}

TEST_CASE("The timer thread asks the host for short slices") {
  Goal goal(1);
  uint64_t slice = 0;
  TimerThread timers(1, [&](unsigned) {
    slice = own_slice();
    goal.add();
  });
  timers.arm(0, GuestClock::host_now_ns());
  goal.wait();
  if (own_slice() != 0) CHECK(slice == 100'000);
}

TEST_CASE("A slot armed again and again by its own tick never stops") {
  Goal goal(500);
  TimerThread* timers = nullptr;
  std::atomic<bool> ready{false};
  TimerThread thread(1, [&](unsigned) {
    while (!ready) {
    }
    if (!goal.add()) timers->arm(0, GuestClock::host_now_ns() + 20'000);
  });
  timers = &thread;
  ready = true;
  thread.arm(0, GuestClock::host_now_ns());
  goal.wait();
  CHECK(goal.reached());
}

TEST_CASE("A disarmed deadline does not fire") {
  std::atomic<unsigned> fired[2]{};
  Goal goal(1);
  TimerThread timers(2, [&](unsigned slot) {
    fired[slot].fetch_add(1);
    if (slot == 1) goal.add();
  });
  const int64_t now = GuestClock::host_now_ns();
  timers.arm(0, now + 50 * kMs);
  timers.disarm(0);
  timers.arm(1, now + 60 * kMs);
  goal.wait();
  CHECK(fired[0] == 0);
}
