#include <catch2/catch.hpp>

#include "io/mmio_map.h"

using namespace hv;

namespace {
struct Recorder : MmioDevice {
  uint64_t offset = ~0ull, value = 0;
  uint64_t mmio_read(uint64_t at, unsigned) override { return at + 100; }
  void mmio_write(uint64_t at, unsigned, uint64_t v) override { offset = at, value = v; }
};
}  // namespace

TEST_CASE("MmioMap finds windows and refuses wrong widths and alignment") {
  MmioMap map;
  Recorder a, b;
  REQUIRE(map.add("b", 0x2000, 0x100, b, 4, 4));
  REQUIRE(map.add("a", 0x1000, 0x1000, a));
  map.freeze();
  uint64_t value = 0;
  CHECK(map.read(0x1008, 8, value));
  CHECK(value == 108);
  CHECK_FALSE(map.read(0x2000, 1, value));
  CHECK_FALSE(map.read(0x1001, 2, value));
  CHECK_FALSE(map.read(0x2100, 4, value));
  CHECK_FALSE(map.read(0xfff, 1, value));
}

TEST_CASE("MmioMap refuses overlapping windows") {
  MmioMap map;
  Recorder device;
  REQUIRE(map.add("first", 0x1000, 0x100, device));
  CHECK_FALSE(map.add("same", 0x1000, 0x10, device));
  CHECK_FALSE(map.add("tail", 0x10ff, 0x10, device));
  CHECK_FALSE(map.add("around", 0x0, 0x10000, device));
  CHECK(map.add("after", 0x1100, 0x10, device));
}

TEST_CASE("A doorbell store sets its notifier and does not reach the device") {
  MmioMap map;
  Recorder device;
  EventNotifier bells[2];
  REQUIRE(map.add("dev", 0x1000, 0x100, device));
  map.add_doorbell(0x1050, 4, {&bells[0], &bells[1]});
  map.freeze();
  CHECK(map.write(0x1050, 4, 1));
  CHECK(bells[1].test_and_clear());
  CHECK_FALSE(bells[0].is_set());
  CHECK(device.offset == ~0ull);
  CHECK(map.write(0x1050, 4, 2));
  CHECK(device.offset == 0x50);
  CHECK(device.value == 2);
}
