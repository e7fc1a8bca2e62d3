#include <catch2/catch.hpp>

#include "io/property.h"

using namespace hv;

namespace {
struct Config {
  std::string serial;
  uint16_t num_queues = 1;
  bool discard = true;
};
constexpr auto kProps =
    std::make_tuple(Prop{"serial", &Config::serial, "serial number"},
                    Prop{"num-queues", &Config::num_queues, "request queues", 1u, 64u},
                    Prop{"discard", &Config::discard, "accept DISCARD"});
}  // namespace

TEST_CASE("take_props fills a Config and leaves unknown keys behind") {
  auto values = KeyValues::parse("-device", "serial=x,num-queues=4,discard=off,other=1");
  auto config = take_props<Config>(*values, kProps);
  REQUIRE(config);
  CHECK(config->serial == "x");
  CHECK(config->num_queues == 4);
  CHECK_FALSE(config->discard);
  CHECK_FALSE(values->expect_empty(""));
}

TEST_CASE("take_props keeps the member initialisers as defaults") {
  KeyValues none("-device");
  auto config = take_props<Config>(none, kProps);
  REQUIRE(config);
  CHECK(config->num_queues == 1);
  CHECK(config->discard);
}

TEST_CASE("take_props refuses a value out of range and names the range") {
  auto values = KeyValues::parse("-device", "num-queues=65");
  CHECK(take_props<Config>(*values, kProps).error().message ==
        "-device: num-queues=65 is out of range: use 1 to 64");
  values = KeyValues::parse("-device", "num-queues=0");
  CHECK_FALSE(take_props<Config>(*values, kProps));
}

TEST_CASE("describe_props shows type and default") {
  const auto infos = describe_props<Config>(kProps);
  REQUIRE(infos.size() == 3);
  CHECK(infos[1].type == "uint16");
  CHECK(infos[1].default_value == "1");
  CHECK(infos[2].default_value == "on");
}
