#include <catch2/catch.hpp>

#include "cpu/wake_forecast.h"

using namespace hv;

namespace {

// A device wakes the first hart, which wakes `second` and rests.
int chain(WakeForecast& forecast, int second) {
  const int expected = forecast.device_woke();
  forecast.woke(second);
  forecast.rests();
  return expected;
}

WakeForecast& trained(WakeForecast& forecast, int second) {
  for (int i = 0; i < WakeForecast::kMost; ++i) chain(forecast, second);
  return forecast;
}

}  // namespace

TEST_CASE("A hart that the same hart wakes again and again is expected") {
  WakeForecast forecast;
  for (int i = 0; i < WakeForecast::kTrusted; ++i)
    CHECK(chain(forecast, 3) == WakeForecast::kNone);
  CHECK(forecast.device_woke() == 3);
}

TEST_CASE("Only the first hart that is woken after a device's interrupt counts") {
  WakeForecast forecast;
  for (int i = 0; i < 10; ++i) forecast.woke(1);  // no device was there
  CHECK(forecast.device_woke() == WakeForecast::kNone);
  forecast.rests();
  for (int i = 0; i < 10; ++i) {
    forecast.device_woke();
    forecast.woke(2);
    forecast.woke(1);
    forecast.rests();
    forecast.woke(1);
  }
  CHECK(forecast.device_woke() == 2);
}

TEST_CASE("It is pending until the hart has woken another or rests") {
  WakeForecast forecast;
  CHECK_FALSE(forecast.pending());
  forecast.device_woke();
  CHECK(forecast.pending());
  forecast.woke(1);
  CHECK_FALSE(forecast.pending());
  forecast.device_woke();
  forecast.rests();
  CHECK_FALSE(forecast.pending());
}

TEST_CASE("A hart that is awake in vain is soon no longer expected, and must earn it again") {
  WakeForecast forecast;
  trained(forecast, 1);
  int in_vain = 0;
  for (; forecast.device_woke() == 1; ++in_vain) forecast.awaited(false);
  CHECK(in_vain <= 4);
  forecast.rests();
  int rounds = 0;
  while (chain(forecast, 1) != 1) REQUIRE(++rounds < 10);
  CHECK(rounds >= 2);
}

TEST_CASE("One expectation gives way to another") {
  WakeForecast forecast;
  trained(forecast, 1);
  int rounds = 0;
  while (chain(forecast, 2) != 2) REQUIRE(++rounds < 20);
  CHECK(forecast.device_woke() == 2);
}

TEST_CASE("Harts that take turns are not expected") {
  WakeForecast forecast;
  for (int i = 0; i < 100; ++i) CHECK(chain(forecast, i % 3) == WakeForecast::kNone);
}
