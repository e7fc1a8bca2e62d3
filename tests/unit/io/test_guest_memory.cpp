#include <catch2/catch.hpp>

#include "io/guest_clock.h"
#include "io/guest_memory.h"

using namespace hv;

TEST_CASE("GuestMemory bounds are safe against wrap-around") {
  auto memory = GuestMemory::create(0x80000000, 1 << 20);
  REQUIRE(memory);
  auto& ram = **memory;
  CHECK(ram.contains(0x80000000, 1 << 20));
  CHECK_FALSE(ram.contains(0x80000000, (1 << 20) + 1));
  CHECK_FALSE(ram.contains(0x7fffffff, 2));
  CHECK_FALSE(ram.contains(0x800fffff, 2));
  CHECK_FALSE(ram.contains(0x80000010, ~0ull));
  CHECK_FALSE(ram.contains(~0ull, 2));
  CHECK(ram.host(0x80000004, 4) == ram.data() + 4);
  CHECK(ram.host(0, 1) == nullptr);
}

// An ELF segment without bytes in the file is such a write.
TEST_CASE("GuestMemory takes nothing from nowhere") {
  auto memory = std::move(*GuestMemory::create(0x80000000, GuestMemory::kPageSize));
  CHECK(memory->write(0x80000000, nullptr, 0));
  CHECK(memory->read(0x80000000, nullptr, 0));
}

TEST_CASE("GuestMemory clear returns pages to zero") {
  auto memory = GuestMemory::create(0x80000000, 1 << 20);
  const uint32_t word = 0x12345678;
  uint32_t back = 0;
  REQUIRE((*memory)->write(0x80001000, &word, 4));
  REQUIRE((*memory)->read(0x80001000, &back, 4));
  CHECK(back == word);
  (*memory)->clear();
  REQUIRE((*memory)->read(0x80001000, &back, 4));
  CHECK(back == 0);
}

TEST_CASE("GuestClock stands still while paused and goes on from there") {
  GuestClock clock;
  CHECK(clock.now() == 0);
  clock.resume();
  while (clock.now() < 1000) {
  }
  clock.pause();
  const uint64_t frozen = clock.now();
  CHECK(clock.now() == frozen);
  clock.resume();
  CHECK(clock.now() >= frozen);
  CHECK(clock.host_deadline_ns(~0ull) == INT64_MAX);
}
