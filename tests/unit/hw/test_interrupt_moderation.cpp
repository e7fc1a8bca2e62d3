#include "hw/virtio/interrupt_moderation.h"

#include <catch2/catch.hpp>

using namespace hv;

namespace {

constexpr int64_t kSoonNs = InterruptModeration::kTooSoonNs / 2;
constexpr int64_t kLaterNs = InterruptModeration::kTooSoonNs * 2;

// A driver that makes a request every `step_ns`, and what interrupts it gets for them. Each is a
// round of the loop.
struct Driver {
  InterruptModeration interrupts;
  int64_t now_ns = 1'000'000'000;
  unsigned sent = 0;

  void request(int64_t step_ns) {
    now_ns += step_ns;
    interrupts.took_requests(now_ns);
    sent += interrupts.completed(now_ns) || interrupts.due(false, now_ns);
  }
  void requests(unsigned count, int64_t step_ns) {
    for (unsigned i = 0; i < count; ++i) request(step_ns);
  }
  bool idle() {
    const bool due = interrupts.due(true, now_ns);
    sent += due;
    return due;
  }
};

}  // namespace

TEST_CASE("A driver that waits for each request gets each interrupt at once") {
  Driver driver;
  for (unsigned i = 1; i <= 1000; ++i) {
    driver.request(kLaterNs);
    CHECK(driver.sent == i);
    CHECK_FALSE(driver.idle());
  }
}

TEST_CASE("What completes in one round gets one interrupt, or one for each kMost") {
  Driver driver;
  driver.now_ns += kLaterNs;
  driver.interrupts.took_requests(driver.now_ns);
  for (unsigned i = 1; i < InterruptModeration::kMost; ++i)
    CHECK_FALSE(driver.interrupts.completed(driver.now_ns));
  CHECK(driver.interrupts.due(false, driver.now_ns));
  CHECK_FALSE(driver.interrupts.due(true, driver.now_ns));
  for (unsigned i = 1; i < InterruptModeration::kMost; ++i)
    CHECK_FALSE(driver.interrupts.completed(driver.now_ns));
  CHECK(driver.interrupts.completed(driver.now_ns));
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
  CHECK_FALSE(driver.interrupts.due(false, driver.now_ns));
  CHECK(driver.idle());
  CHECK_FALSE(driver.interrupts.holding());
  CHECK_FALSE(driver.idle());
}

TEST_CASE("A held interrupt goes after a while though the loop stays busy") {
  Driver driver;
  driver.requests(2, kSoonNs);
  CHECK_FALSE(driver.interrupts.due(false, driver.now_ns + InterruptModeration::kLongestNs - 1));
  CHECK(driver.interrupts.due(false, driver.now_ns + InterruptModeration::kLongestNs));
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
