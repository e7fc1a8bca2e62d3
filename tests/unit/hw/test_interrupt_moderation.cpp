#include "hw/virtio/interrupt_moderation.h"

#include <catch2/catch.hpp>

using namespace hv;

namespace {

using Next = InterruptModeration::Next;

constexpr int64_t kSoonNs = InterruptModeration::kTooSoonNs / 2;
constexpr int64_t kLaterNs = InterruptModeration::kTooSoonNs * 2;

// A driver that makes requests every `step_ns`, and what interrupts it gets for them. Each time is
// a round of the loop.
struct Driver {
  InterruptModeration interrupts;
  int64_t now_ns = 1'000'000'000;
  unsigned sent = 0;

  void request(int64_t step_ns, unsigned count = 1) {
    now_ns += step_ns;
    interrupts.took_requests(now_ns);
    sent += interrupts.completed(count, now_ns) || interrupts.due(Next::kLook, now_ns);
  }
  void requests(unsigned count, int64_t step_ns) {
    for (unsigned i = 0; i < count; ++i) request(step_ns);
  }
  bool idle(Next next = Next::kSleep) {
    const bool due = interrupts.due(next, now_ns);
    sent += due;
    return due;
  }
};

}  // namespace

TEST_CASE("A driver that waits for each request gets each interrupt at once") {
  Driver driver;
  unsigned late = 0;
  for (unsigned i = 1; i <= 1000; ++i) {
    driver.request(kLaterNs);
    late += driver.idle();
    CHECK(driver.sent == i);
  }
  CHECK(late > 0);  // trials
  CHECK(late < 10);
}

TEST_CASE("A slow driver that goes on is found out by a trial") {
  Driver driver;
  driver.requests(1000, kLaterNs);
  CHECK(driver.sent < 1000 / 4);
}

TEST_CASE("A driver with three requests on its way is seldom held up") {
  Driver driver;
  unsigned late = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    driver.requests(3, kLaterNs);
    late += driver.idle();
  }
  CHECK(late < 100);
}

TEST_CASE("A driver whose interrupts go only after kLongestNs gets them at once after a while") {
  Driver driver;
  driver.requests(100, kSoonNs);
  unsigned late = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    const unsigned before = driver.sent;
    driver.request(kLaterNs);
    if (driver.sent > before) continue;
    ++late;
    driver.now_ns += InterruptModeration::kLongestNs;
    CHECK(driver.interrupts.due(Next::kLook, driver.now_ns));
  }
  CHECK(late < 200);
}

TEST_CASE("Interrupts are held for requests, not for rounds") {
  Driver driver;
  driver.requests(100, kSoonNs);
  driver.idle();
  driver.sent = 0;
  for (unsigned i = 0; i < 100; ++i) driver.request(kLaterNs, InterruptModeration::kMost);
  CHECK(driver.sent == 100);
}

TEST_CASE("A loop that sleeps to gather is no sign of a driver that stops") {
  Driver driver;
  driver.requests(100, kSoonNs);
  for (unsigned i = 0; i < 60; ++i) {
    driver.requests(2, kSoonNs);
    driver.idle(Next::kGather);
  }
  driver.sent = 0;
  driver.requests(160, kSoonNs);
  CHECK(driver.sent == 160 / InterruptModeration::kMost);
}

TEST_CASE("What completes in one round gets one interrupt, or one for each kMostInRound") {
  Driver driver;
  driver.now_ns += kLaterNs;
  driver.interrupts.took_requests(driver.now_ns);
  for (unsigned i = 1; i < InterruptModeration::kMostInRound; ++i)
    CHECK_FALSE(driver.interrupts.completed(1, driver.now_ns));
  CHECK(driver.interrupts.due(Next::kLook, driver.now_ns));
  CHECK_FALSE(driver.interrupts.due(Next::kSleep, driver.now_ns));
  for (unsigned i = 1; i < InterruptModeration::kMostInRound; ++i)
    CHECK_FALSE(driver.interrupts.completed(1, driver.now_ns));
  CHECK(driver.interrupts.completed(1, driver.now_ns));
}

TEST_CASE("A driver that goes on gets one interrupt for several requests") {
  Driver driver;
  driver.requests(1000, kSoonNs);
  CHECK(driver.sent < 1000 / 8);
  CHECK(driver.sent >= 1000 / InterruptModeration::kMost);
}

TEST_CASE("A held interrupt goes when nothing is left to do") {
  Driver driver;
  driver.requests(2, kSoonNs);
  CHECK(driver.sent == 1);
  CHECK(driver.interrupts.holding());
  CHECK_FALSE(driver.interrupts.due(Next::kLook, driver.now_ns));
  CHECK(driver.idle());
  CHECK_FALSE(driver.interrupts.holding());
  CHECK_FALSE(driver.idle());
}

TEST_CASE("A held interrupt goes after a while though the loop stays busy") {
  Driver driver;
  driver.requests(2, kSoonNs);
  CHECK_FALSE(
      driver.interrupts.due(Next::kLook, driver.now_ns + InterruptModeration::kLongestNs - 1));
  CHECK(driver.interrupts.due(Next::kLook, driver.now_ns + InterruptModeration::kLongestNs));
}

TEST_CASE("A driver that stops at what is held is asked for less, and for more again later") {
  Driver driver;
  driver.requests(100, kSoonNs);
  // Four requests at a time, and no more before their interrupts.
  unsigned waits = 0;
  for (unsigned i = 0; i < 60; ++i) {
    driver.requests(4, kSoonNs);
    waits += driver.idle();
    driver.now_ns += kLaterNs;
  }
  CHECK(waits < 20);
  driver.sent = 0;
  driver.requests(10000, kSoonNs);
  CHECK(driver.sent < 10000 / 8);
}

TEST_CASE("A reset forgets what is held") {
  Driver driver;
  driver.requests(2, kSoonNs);
  driver.interrupts.reset();
  CHECK_FALSE(driver.interrupts.holding());
  CHECK_FALSE(driver.idle());
}
