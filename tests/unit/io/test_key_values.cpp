#include <catch2/catch.hpp>

#include "io/key_values.h"

using namespace hv;

TEST_CASE("KeyValues takes an implied first key and key=value items") {
  auto values = KeyValues::parse("-device", "virtio-blk-device,drive=hd0,serial=a,,b", "driver");
  REQUIRE(values);
  CHECK(values->get("driver") == "virtio-blk-device");
  CHECK(values->get("drive") == "hd0");
  CHECK(values->get("serial") == "a,b");
  CHECK_FALSE(values->get("bus"));
}

TEST_CASE("KeyValues treats a bare later word as a switch") {
  auto values = KeyValues::parse("-chardev", "socket,server,wait=off", "backend");
  REQUIRE(values);
  CHECK(values->get("server") == "on");
  CHECK(values->get("wait") == "off");
}

TEST_CASE("KeyValues keeps the last of a repeated key and take removes all of them") {
  auto values = KeyValues::parse("-m", "size=1G,size=2G");
  REQUIRE(values);
  CHECK(values->take("size") == "2G");
  CHECK(values->empty());
}

TEST_CASE("KeyValues refuses a missing key and an empty item") {
  CHECK_FALSE(KeyValues::parse("-drive", "=x"));
  CHECK_FALSE(KeyValues::parse("-drive", "if=none, ,=a"));
  CHECK(KeyValues::parse("-drive", "file=a,,,if=none")->get("file") == "a,");
  CHECK(KeyValues::parse("-drive", "file=a,")->get("file") == "a");
}

TEST_CASE("KeyValues names the option and the key in its errors") {
  auto values = KeyValues::parse("-drive", "readonly=perhaps,size=ten");
  CHECK(values->take_bool("readonly").error().message ==
        "-drive: readonly=perhaps is not a switch: use on or off");
  CHECK(values->take_size("size").error().message.find("size=ten") != std::string::npos);
  values->add("colour", "red");
  CHECK(values->expect_empty("file, if").error().message ==
        "-drive: there is no 'colour' here; known: file, if");
}

TEST_CASE("parse_size knows suffixes, fractions and overflow") {
  CHECK(parse_size("512") == 512);
  CHECK(parse_size("512", 1 << 20) == 512ull << 20);
  CHECK(parse_size("4k") == 4096);
  CHECK(parse_size("1.5G") == 3ull << 29);
  CHECK(parse_size("524288k", 1 << 20) == 512ull << 20);
  CHECK(parse_size("0x1b") == 0x1b);
  CHECK_FALSE(parse_size(""));
  CHECK_FALSE(parse_size("G"));
  CHECK_FALSE(parse_size("-1"));
  CHECK_FALSE(parse_size("1x"));
  CHECK_FALSE(parse_size("99999999999999T"));
  CHECK_FALSE(parse_size("18446744073709551616"));
}
