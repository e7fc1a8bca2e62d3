// Watched pages of code (cpu/code_pages.h): each transition, and that no store goes unseen.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "cpu/code_pages.h"
#include "cpu/memory_access.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

constexpr uint64_t kRam = TestMachine::kRam, kPage = GuestMemory::kPageSize;
constexpr uint64_t kCode = kRam + 0x10000;

// Two harts on one memory, with tickets that the test settles by hand.
struct TwoHarts {
  TwoHarts() : a(), b(a) {
    pages().set_harts(
        {.post = [this](unsigned hart) { return ++posted.at(hart); },
         .settled = [this](unsigned hart, uint64_t ticket) { return done.at(hart) >= ticket; }});
  }
  CodePages& pages() { return *a.code_pages; }
  uint32_t watch(TestMachine& m, uint64_t page = kCode) { return pages().watch(m.hart, page); }
  void release(TestMachine& m) {
    pages().release(m.hart);
    done.at(m.hart.id) = posted.at(m.hart.id);
  }
  // Stores as the guest does; the TLB has an entry for it afterwards if it may.
  void store(TestMachine& m, uint64_t address = kCode) {
    REQUIRE(store_memory<uint32_t>(m.hart, address, 0x13));
  }
  bool stores_fast(TestMachine& m, uint64_t address = kCode) {
    return m.hart.data_tlb[tlb_index(address)].write_tag == (address & kPageMask);
  }
  std::vector<uint64_t> changes() {
    std::vector<uint64_t> listed;
    REQUIRE(pages().changes(cursor, [&](uint64_t page) { listed.push_back(page); }));
    return listed;
  }

  TestMachine a, b;
  std::vector<uint64_t> posted = {0, 0}, done = {0, 0};
  uint64_t cursor = 0;
};

TEST_CASE("a page that nobody writes is watched at once") {
  TwoHarts t;
  const uint32_t version = t.watch(t.a);
  CHECK(version != 0);
  CHECK(t.pages().current(kCode, version));
  CHECK(t.watch(t.b) == version);
  CHECK(t.changes().empty());
  CHECK(t.posted == std::vector<uint64_t>{0, 0});
}

TEST_CASE("a store ends the watch before it happens, and is listed once") {
  TwoHarts t;
  const uint32_t version = t.watch(t.a);
  SECTION("by the hart itself") {
    t.store(t.a);
  }
  SECTION("by another") {
    t.store(t.b);
  }
  SECTION("by one that has read the page before") {
    uint32_t value;
    REQUIRE(load_memory<uint32_t>(t.b.hart, kCode, value));
    CHECK_FALSE(t.stores_fast(t.b));
    t.store(t.b);
  }
  SECTION("by a device") {
    t.a.poke<uint32_t>(kCode + 8, 1);
  }
  SECTION("by a device, from the page before") {
    const std::vector<uint8_t> bytes(kPage + 1);
    REQUIRE(t.a.memory->write(kCode - kPage, bytes.data(), bytes.size()));
  }
  CHECK_FALSE(t.pages().current(kCode, version));
  CHECK(t.changes() == std::vector<uint64_t>{kCode});
  CHECK(t.changes().empty());
  t.store(t.b, kCode + 4);
  CHECK(t.changes().empty());
}

TEST_CASE("a page is watched again, under another version, once its writer has let go") {
  TwoHarts t;
  const uint32_t version = t.watch(t.a);
  t.store(t.b);
  CHECK(t.stores_fast(t.b));
  CHECK(t.watch(t.a) == 0);
  CHECK(t.posted == std::vector<uint64_t>{0, 1});
  // Not asked twice, and b stores as before.
  CHECK(t.watch(t.a) == 0);
  CHECK(t.posted == std::vector<uint64_t>{0, 1});
  CHECK(t.stores_fast(t.b));
  t.release(t.b);
  CHECK_FALSE(t.stores_fast(t.b));
  const uint32_t again = t.watch(t.a);
  CHECK(again != 0);
  CHECK(again != version);
  t.store(t.b);
  CHECK_FALSE(t.pages().current(kCode, again));
}

TEST_CASE("a hart's own entry goes when it watches the page itself") {
  TwoHarts t;
  t.store(t.a);
  CHECK(t.stores_fast(t.a));
  CHECK(t.watch(t.a) != 0);
  CHECK_FALSE(t.stores_fast(t.a));
  CHECK(t.posted == std::vector<uint64_t>{0, 0});
}

TEST_CASE("a store while others are to let go ends that, too") {
  TwoHarts t;
  t.store(t.b);
  REQUIRE(t.watch(t.a) == 0);
  SECTION("by the watcher") {
    t.store(t.a);
  }
  SECTION("by a device") {
    t.a.poke<uint32_t>(kCode, 1);
  }
  CHECK(t.changes() == std::vector<uint64_t>{kCode});
  // What b was asked for still stands; it lets go, and so may be asked again.
  t.release(t.b);
  CHECK_FALSE(t.stores_fast(t.b));
  CHECK(t.watch(t.a) != 0);
}

TEST_CASE("a hart that lets go keeps its entries for other pages") {
  TwoHarts t;
  t.store(t.b);
  t.store(t.b, kCode + kPage);
  REQUIRE(t.watch(t.a) == 0);
  t.release(t.b);
  CHECK_FALSE(t.stores_fast(t.b));
  CHECK(t.stores_fast(t.b, kCode + kPage));
}

TEST_CASE("a page table that is executed is watched like other code") {
  TwoHarts t;
  constexpr uint64_t kRoot = kRam + 0x20000, kData = kRam + 0x40000;
  // A gigapage with A and D clear, which the walk sets in the root.
  t.a.poke<uint64_t>(kRoot + 8 * 2, kRam >> 12 << 10 | 0xf);
  t.a.hart.csr.menvcfg |= kEnvcfgAdue;
  t.a.hart.csr.satp = 8ull << 60 | kRoot >> 12;
  t.a.hart.priv = Priv::kSupervisor;
  t.a.hart.csr.pmpaddr[0] = ~0ull >> 10;
  t.a.hart.csr.pmpcfg[0] = 0x1f;
  t.a.hart.mmu->flush_all();
  const uint32_t version = t.watch(t.b, kRoot);
  REQUIRE(version != 0);
  t.changes();
  uint32_t value;
  REQUIRE(load_memory<uint32_t>(t.a.hart, kData, value));
  CHECK(t.changes() == std::vector<uint64_t>{kRoot});
}

TEST_CASE("a hart that rests is asked once, however often the page changes") {
  TwoHarts t;
  t.store(t.b);
  t.pages().set_harts({.post = [&](unsigned hart) { return ++t.posted.at(hart); },
                       .settled = [](unsigned, uint64_t) { return true; }});
  unsigned watched = 0;
  for (unsigned turn = 0; turn < 2000; ++turn) {
    if (!t.watch(t.a)) continue;
    ++watched;
    t.a.poke<uint32_t>(kCode, turn);
  }
  CHECK(watched > 10);
  CHECK(t.posted == std::vector<uint64_t>{0, 1});
  t.release(t.b);
  t.store(t.b);
  for (unsigned turn = 0; turn < 300 && t.posted[1] == 1; ++turn) t.watch(t.a);
  CHECK(t.posted == std::vector<uint64_t>{0, 2});
}

// b rests behind its store, which comes while the page begins to be watched.
TEST_CASE("fence.i shows what the last two bytes of a page became while it was decoded") {
  using namespace rv;
  TwoHarts t;
  constexpr uint64_t kLast = kCode + kPage - 2;
  constexpr uint16_t kOne = 0x4505, kTwo = 0x4509;  // c.li a0
  const auto store = [&](uint16_t code) { REQUIRE(store_memory<uint16_t>(t.b.hart, kLast, code)); };
  t.a.put(kCode + kPage, {wfi()});
  store(kOne);
  bool asked = false;
  t.pages().set_harts({.post =
                           [&](unsigned) {
                             if (!std::exchange(asked, true)) store(kTwo);
                             return uint64_t{1};
                           },
                       .settled = [](unsigned, uint64_t) { return true; }});
  t.a.run(kLast);
  REQUIRE(asked);
  t.a.engine->fence_i();
  t.a.run(kLast);
  CHECK(t.a.hart.x[a0] == 2);
}

TEST_CASE("a page that keeps changing is left alone for a while, not for ever") {
  TwoHarts t;
  unsigned refused = 0, longest = 0;
  for (unsigned turn = 0; turn < 4000; ++turn) {
    if (t.watch(t.a)) {
      longest = std::max(longest, refused);
      refused = 0;
      t.store(t.a);
    } else {
      ++refused;
    }
  }
  CHECK(longest >= 64);
  CHECK(longest <= 256);
}

TEST_CASE("a hart that is too late for the list of changes is told so") {
  TwoHarts t;
  for (unsigned turn = 0; turn < 6; ++turn) {
    for (uint64_t page = kCode; page < kCode + 3500 * kPage; page += kPage) {
      REQUIRE(t.watch(t.a, page));
      t.store(t.a, page);
    }
  }
  uint64_t late = 0;
  CHECK_FALSE(t.pages().changes(late, [](uint64_t) {}));
  CHECK(t.pages().changes(late, [](uint64_t) { FAIL(); }));
}

// The property that fence.i rests on: what a hart has read from a page stands, or the change is
// listed by the time that the writer tells of it.
TEST_CASE("no store to a watched page goes unseen") {
  TwoHarts t;
  std::atomic<unsigned> asked{0}, let_go{0};
  t.pages().set_harts(
      {.post = [&](unsigned) -> uint64_t { return asked.fetch_add(1) + 1; },
       .settled = [&](unsigned, uint64_t ticket) { return let_go.load() >= ticket; }});
  constexpr uint32_t kStores = 60'000;
  std::atomic<uint32_t> told{0};
  std::thread writer([&] {
    for (uint32_t i = 1; i <= kStores; ++i) {
      store_memory<uint32_t>(t.b.hart, kCode, i);
      told.store(i, std::memory_order_release);
      if (const unsigned wanted = asked.load(); wanted != let_go.load()) {
        t.pages().release(t.b.hart);
        let_go.store(wanted);
      }
    }
  });
  uint32_t kept = 0, version = 0;
  unsigned stale = 0;
  for (uint32_t seen = 0; seen < kStores;) {
    seen = told.load(std::memory_order_acquire);
    if (version && t.pages().current(kCode, version)) {
      stale += kept < seen;
      continue;
    }
    version = t.watch(t.a);
    kept = __atomic_load_n(reinterpret_cast<const uint32_t*>(t.a.memory->host(kCode, 4)),
                           __ATOMIC_RELAXED);
  }
  writer.join();
  CHECK(stale == 0);
}

}  // namespace
}  // namespace hv::test
