#include <catch2/catch.hpp>

#include "cpu/wake_forecast.h"

using namespace hv;

namespace {

int64_t now = 1;

// A device wakes the first hart, which interrupts `second` after a time, and rests.
int chain(WakeForecast& forecast, int second, int64_t after_ns = 1000) {
  const int expected = forecast.device_woke(now);
  if (expected != WakeForecast::kNone) forecast.acted_on();
  now += after_ns;
  forecast.interrupts(second, now);
  forecast.rests();
  return expected;
}

void train(WakeForecast& forecast, int second) {
  for (int i = 0; i < WakeForecast::kMost; ++i) chain(forecast, second);
  REQUIRE(forecast.device_woke(now) == second);
  forecast.rests();
}

// After how many rounds nobody is expected any more.
template <class Round>
int rounds_until_none(WakeForecast& forecast, Round round) {
  int rounds = 0;
  while (forecast.device_woke(now) != WakeForecast::kNone) {
    forecast.rests();
    round();
    REQUIRE(++rounds < 100);
  }
  forecast.rests();
  return rounds;
}

}  // namespace

TEST_CASE("A hart that the same hart interrupts again and again is expected") {
  WakeForecast forecast;
  for (int i = 0; i < WakeForecast::kTrusted; ++i) CHECK(chain(forecast, 3) == WakeForecast::kNone);
  CHECK(forecast.device_woke(now) == 3);
}

TEST_CASE("Only the first hart that is interrupted after a device's interrupt counts") {
  WakeForecast forecast;
  for (int i = 0; i < 10; ++i) forecast.interrupts(1, now);  // no device was there
  CHECK(forecast.device_woke(now) == WakeForecast::kNone);
  forecast.rests();
  for (int i = 0; i < 10; ++i) {
    forecast.device_woke(now);
    forecast.interrupts(2, now);
    forecast.interrupts(1, now);
    forecast.rests();
    forecast.interrupts(1, now);
  }
  CHECK(forecast.device_woke(now) == 2);
}

TEST_CASE("A wake-up is pending until the hart has interrupted another or rests") {
  WakeForecast forecast;
  CHECK_FALSE(forecast.pending());
  forecast.device_woke(now);
  CHECK(forecast.pending());
  forecast.interrupts(1, now);
  CHECK_FALSE(forecast.pending());
  forecast.device_woke(now);
  forecast.rests();
  CHECK_FALSE(forecast.pending());
}

TEST_CASE("A hart that was awake in vain is soon no longer expected, and must earn it again") {
  WakeForecast forecast;
  train(forecast, 1);
  const int in_vain = rounds_until_none(forecast, [&] {
    forecast.device_woke(now);
    forecast.acted_on();
    forecast.rests();
  });
  CHECK(in_vain >= 1);
  CHECK(in_vain <= 4);
  int rounds = 0;
  while (chain(forecast, 1) != 1) REQUIRE(++rounds < 10);
  CHECK(rounds >= 2);
}

TEST_CASE("A forecast that nobody acted on costs no trust") {
  WakeForecast forecast;
  train(forecast, 1);
  for (int i = 0; i < 100; ++i) {
    CHECK(forecast.device_woke(now) == 1);
    forecast.rests();
  }
}

TEST_CASE("A hart that is always interrupted too late is not expected, nor ever again") {
  WakeForecast forecast;
  train(forecast, 1);
  CHECK(rounds_until_none(forecast, [&] { chain(forecast, 1, WakeForecast::kWithinNs + 1); }) <= 4);
  for (int i = 0; i < 100; ++i)
    CHECK(chain(forecast, 1, WakeForecast::kWithinNs + 1) == WakeForecast::kNone);
}

TEST_CASE("One expectation gives way to another") {
  WakeForecast forecast;
  train(forecast, 1);
  int rounds = 0;
  while (chain(forecast, 2) != 2) REQUIRE(++rounds < 20);
  CHECK(forecast.device_woke(now) == 2);
}

TEST_CASE("Harts that take turns are not expected") {
  WakeForecast forecast;
  for (int i = 0; i < 100; ++i) CHECK(chain(forecast, i % 3) == WakeForecast::kNone);
}
