#include <catch2/catch.hpp>

#include "cpu/tick_forecast.h"

using namespace hv;

namespace {
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kEarly = TickForecast<1>::kEarly;
}  // namespace

TEST_CASE("Two ticks make a period, whose ends are expected from then on") {
  TickForecast<2> forecast;
  CHECK(forecast.next(0, 5 * kMs) == kNoDeadline);
  forecast.fired(0, 1000 * kMs);
  CHECK(forecast.next(0, 1001 * kMs) == kNoDeadline);
  forecast.fired(0, 1004 * kMs);
  CHECK(forecast.next(0, 1004 * kMs) == 1008 * kMs - kEarly);
  CHECK(forecast.next(0, 1003 * kMs) == 1004 * kMs - kEarly);
  CHECK(forecast.next(0, 1009 * kMs) == 1012 * kMs - kEarly);
  CHECK(forecast.next(1, 1009 * kMs) == kNoDeadline);
}

TEST_CASE("Skipped ticks and a few other timers leave the period, many end it") {
  TickForecast<1> forecast;
  for (int64_t at : {1000, 1004, 1400}) forecast.fired(0, at * kMs);
  CHECK(forecast.next(0, 1401 * kMs) == 1404 * kMs - kEarly);
  for (int64_t at : {1501, 1503, 1505}) forecast.fired(0, at * kMs);
  CHECK(forecast.next(0, 1505 * kMs) == 1508 * kMs - kEarly);
  forecast.fired(0, 1510 * kMs);
  CHECK(forecast.next(0, 1511 * kMs) == kNoDeadline);
}

TEST_CASE("What is too short or too long for a tick is none") {
  TickForecast<1> forecast;
  forecast.fired(0, 1000 * kMs);
  forecast.fired(0, 1000 * kMs + TickForecast<1>::kShortest - 1);
  CHECK(forecast.next(0, 1001 * kMs) == kNoDeadline);
  forecast.fired(0, 1100 * kMs);
  CHECK(forecast.next(0, 1101 * kMs) == kNoDeadline);
}

TEST_CASE("A period that becomes shorter is found again") {
  TickForecast<1> forecast;
  for (int64_t at : {1000, 1010, 1020}) forecast.fired(0, at * kMs);
  for (int64_t at = 1024; at <= 1060; at += 4) forecast.fired(0, at * kMs);
  CHECK(forecast.next(0, 1060 * kMs) == 1064 * kMs - kEarly);
}

TEST_CASE("Ticks that come a little late are expected in time") {
  TickForecast<1> forecast;
  const auto deadline = [](int64_t i) { return 1000 * kMs + 4 * kMs * i + i * 7919 % 5000; };
  for (int64_t i = 0; i < 1000; ++i) {
    forecast.fired(0, deadline(i));
    if (i < 100) continue;
    const int64_t expected = forecast.next(0, deadline(i) + 50'000);
    CHECK(expected >= deadline(i + 1) - 20'000);
    CHECK(expected <= deadline(i + 1) + 1'000);
  }
}
