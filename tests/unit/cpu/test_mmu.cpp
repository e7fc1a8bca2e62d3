// Expected results: privileged specification, 4.3.2 (address translation process), 4.4-4.6
// (Sv39, Sv48, Sv57), and the chapters on Svadu, Svnapot and Svpbmt.
#include <catch2/catch.hpp>

#include "tests/unit/cpu/bare_hart.h"

using namespace hv;
using hv::test::BareHart;

namespace {

constexpr uint64_t kTables = BareHart::kRam + 0x10'0000, kData = BareHart::kRam + 0x20'0000;
constexpr uint64_t kV = 1, kR = 2, kW = 4, kX = 8, kU = 16, kA = 64, kD = 128;
constexpr uint64_t kRwxad = kV | kR | kW | kX | kA | kD;
constexpr uint64_t kPbmtNc = 1ull << 61, kPbmtReserved = 3ull << 61;

uint64_t pte(uint64_t physical, uint64_t bits) {
  return physical >> 12 << 10 | bits;
}

// Page tables with one table per level, so that mappings share their upper entries.
struct Paged : BareHart {
  explicit Paged(unsigned sv = 39, std::string_view cpu = "rv64")
      : BareHart(cpu), levels((sv - 12) / 9) {
    open_pmp();
    set_satp(1);
    enter(Priv::kSupervisor);
  }
  uint64_t table(unsigned level) const { return kTables + 0x1000 * level; }
  uint64_t slot(uint64_t address, unsigned level) const {
    return table(level) + (address >> (12 + 9 * level) & 511) * 8;
  }
  void set_satp(uint64_t asid) {
    hart.csr.satp = uint64_t{levels + 5} << 60 | asid << 44 | table(levels - 1) >> 12;
    state_changed(hart);
  }
  // Maps the page of `address` with a leaf at `level`; returns where the leaf stands.
  uint64_t map(uint64_t address, uint64_t leaf, unsigned level = 0) {
    for (unsigned above = levels - 1; above > level; --above)
      poke<uint64_t>(slot(address, above), pte(table(above - 1), kV));
    poke<uint64_t>(slot(address, level), leaf);
    mmu->flush(std::nullopt, std::nullopt);
    return slot(address, level);
  }
  bool load(uint64_t address, unsigned size = 8) { return mmu->load(address, size, value); }
  bool store(uint64_t address, uint64_t v = 0, unsigned size = 8) {
    return mmu->store(address, size, v);
  }
  bool fetch(uint64_t address) { return mmu->fetch(address, fetched); }
  // The exception of the last failed access.
  bool raised(Cause cause, uint64_t tval) const {
    return hart.exception_cause == cause && hart.exception_tval == tval;
  }

  unsigned levels;
  uint64_t value = 0;
  FetchResult fetched{};
};

constexpr uint64_t kVa = 0x4000'2000;

}  // namespace

TEST_CASE("Each paging mode translates its pages and superpages") {
  const unsigned sv = GENERATE(39u, 48u, 57u);
  Paged p(sv);
  for (unsigned level = 0; level < p.levels && level < 2; ++level) {
    p.map(kVa, pte(level ? kData : kData + 0x3000, kRwxad), level);
    const uint64_t expected = level ? kData + (kVa & 0x1fffff) + 0x128 : kData + 0x3128;
    p.poke<uint64_t>(expected, 0x1122334455667788 + level);
    REQUIRE(p.load(kVa + 0x128));
    CHECK(p.value == 0x1122334455667788u + level);
    CHECK(p.mmu->translate_for_debug(kVa + 0x128) == expected);
    REQUIRE(p.fetch(kVa + 0x128));
    CHECK(p.fetched.physical == expected);
  }
  // The top level's leaf maps a huge region; its low PPN bits must be 0.
  p.map(kVa, pte(0x8000'0000 & ~(level_size(p.levels - 1) - 1), kRwxad), p.levels - 1);
  if (sv == 39) {
    p.poke<uint32_t>(BareHart::kRam + 0x2004, 77);
    REQUIRE(p.load(kVa + 4, 4));
    CHECK(p.value == 77);
  }
}

TEST_CASE("Svnapot: any of its entries maps a 64 KiB region, and a fence in it drops all of it") {
  constexpr uint64_t kRegion = 0x4002'0000, kFrame = kData + 0x1'0000, kOther = kData + 0x4'0000;
  Paged p(GENERATE(39u, 48u, 57u), "rv64,svnapot=on");
  const auto leaf = [](uint64_t frame) { return pte(frame | 0x8000, kRwxad) | 1ull << 63; };
  const auto map_all = [&](uint64_t frame) {
    for (uint64_t at = 0; at < 0x1'0000; at += 0x1000)
      p.poke<uint64_t>(p.slot(kRegion + at, 0), leaf(frame));
  };
  p.map(kRegion, 0);
  map_all(kFrame);
  for (uint64_t at = 0; at < 0x1'0000; at += 0x1000) {
    p.poke<uint64_t>(kFrame + at + 8, at);
    p.poke<uint64_t>(kOther + at + 8, ~at);
    REQUIRE(p.load(kRegion + at + 8));
    CHECK(p.value == at);
    CHECK(p.store(kRegion + at + 16, at));
    CHECK(p.peek<uint64_t>(kFrame + at + 16) == at);
    CHECK(p.fetch(kRegion + at));
    CHECK(p.fetched.physical == kFrame + at);
    CHECK(p.mmu->translate_for_debug(kRegion + at + 8) == kFrame + at + 8);
  }
  // Beside the region there is nothing.
  CHECK_FALSE(p.load(kRegion + 0x1'0000));
  CHECK_FALSE(p.load(kRegion - 8));

  map_all(kOther);
  p.mmu->flush(kRegion + 0x5000, 1);
  for (uint64_t at = 0; at < 0x1'0000; at += 0x1000) {
    REQUIRE(p.load(kRegion + at + 8));
    CHECK(p.value == ~at);
    CHECK(p.fetch(kRegion + at));
    CHECK(p.fetched.physical == kOther + at);
  }
}

TEST_CASE("Svnapot: reserved encodings fault") {
  Paged p(39, "rv64,svnapot=on");
  constexpr uint64_t kN = 1ull << 63;
  const auto faults = [&](uint64_t leaf, unsigned level) {
    p.map(kVa, leaf, level);
    CHECK_FALSE(p.load(kVa));
    CHECK(p.raised(Cause::kLoadPageFault, kVa));
    CHECK_FALSE(p.fetch(kVa));
    CHECK(p.raised(Cause::kFetchPageFault, kVa));
  };
  // PPN[3:0] other than 1000.
  for (uint64_t low = 0; low < 16; ++low)
    if (low != 8) faults(pte(kData + (low << 12), kRwxad) | kN, 0);
  // Superpages, whatever their PPN.
  faults(pte(kData, kRwxad) | kN, 1);
  faults(pte(kData | 0x8000, kRwxad) | kN, 1);
  // A pointer to the next level.
  p.map(kVa, pte(kData, kRwxad));
  REQUIRE(p.load(kVa));
  p.poke<uint64_t>(p.slot(kVa, 1), pte(p.table(0), kV) | kN);
  p.mmu->flush(std::nullopt, std::nullopt);
  CHECK_FALSE(p.load(kVa));
}

TEST_CASE("Addresses that are not sign-extended fault") {
  const unsigned sv = GENERATE(39u, 48u, 57u);
  Paged p(sv);
  const uint64_t lowest_bad = uint64_t{1} << (sv - 1);
  for (const uint64_t address : {lowest_bad, uint64_t{~0ull << sv}, uint64_t{1} << 63}) {
    CHECK_FALSE(p.load(address));
    CHECK(p.raised(Cause::kLoadPageFault, address));
    CHECK_FALSE(p.store(address));
    CHECK(p.raised(Cause::kStorePageFault, address));
    CHECK_FALSE(p.fetch(address));
    CHECK(p.raised(Cause::kFetchPageFault, address));
  }
  // The upper half is legal.
  const uint64_t high = ~0ull << (sv - 1);
  p.map(high, pte(kData, kRwxad));
  CHECK(p.load(high));
}

TEST_CASE("Malformed entries fault") {
  struct Row {
    const char* what;
    uint64_t leaf;
  };
  const Row row = GENERATE(Row{"not valid", pte(kData, kRwxad & ~kV)},
                           Row{"W without R", pte(kData, kV | kW | kA | kD)},
                           Row{"W and X without R", pte(kData, kV | kW | kX | kA | kD)},
                           Row{"pointer in the last level", pte(kData, kV)},
                           Row{"reserved bit 54", pte(kData, kRwxad) | 1ull << 54},
                           Row{"reserved bit 60", pte(kData, kRwxad) | 1ull << 60},
                           Row{"N without Svnapot", pte(kData, kRwxad) | 1ull << 63},
                           Row{"PBMT 3", pte(kData, kRwxad) | kPbmtReserved});
  Paged p;
  INFO(row.what);
  p.map(kVa, row.leaf);
  CHECK_FALSE(p.load(kVa + 8));
  CHECK(p.raised(Cause::kLoadPageFault, kVa + 8));
  CHECK_FALSE(p.store(kVa + 8));
  CHECK(p.raised(Cause::kStorePageFault, kVa + 8));
  CHECK_FALSE(p.fetch(kVa + 8));
  CHECK(p.raised(Cause::kFetchPageFault, kVa + 8));
  CHECK_FALSE(p.mmu->translate_for_debug(kVa));
}

TEST_CASE("Pointers to the next level must not carry leaf bits") {
  const uint64_t bit = GENERATE(kU, kA, kD, kPbmtNc);
  Paged p;
  p.map(kVa, pte(kData, kRwxad));
  REQUIRE(p.load(kVa));
  p.poke<uint64_t>(p.slot(kVa, 1), pte(p.table(0), kV | bit));
  p.mmu->flush(std::nullopt, std::nullopt);
  CHECK_FALSE(p.load(kVa));
  CHECK(p.raised(Cause::kLoadPageFault, kVa));
}

TEST_CASE("A superpage whose low PPN bits are set faults") {
  Paged p;
  p.map(kVa, pte(kData + 0x1000, kRwxad), 1);
  CHECK_FALSE(p.load(kVa));
  CHECK(p.raised(Cause::kLoadPageFault, kVa));
}

TEST_CASE("PBMT is legal on leaves once menvcfg.PBMTE is set") {
  Paged p;
  p.map(kVa, pte(kData, kRwxad) | kPbmtNc);
  REQUIRE(debug_write_csr(p.hart, 0x30a, 0));
  CHECK_FALSE(p.load(kVa));
  REQUIRE(debug_write_csr(p.hart, 0x30a, 1ull << 62));
  CHECK(p.load(kVa));
}

TEST_CASE("Leaf permissions by privilege, SUM and MXR") {
  struct Row {
    uint64_t bits;
    Priv priv;
    bool sum, mxr;
    bool load, store, fetch;
  };
  constexpr Priv kS = Priv::kSupervisor, kUser = Priv::kUser;
  // clang-format off
  const Row row = GENERATE(
      Row{kR,                kS,    0, 0, 1, 0, 0}, Row{kR | kW,           kS,    0, 0, 1, 1, 0},
      Row{kX,                kS,    0, 0, 0, 0, 1}, Row{kX,                kS,    0, 1, 1, 0, 1},
      Row{kR | kX,           kS,    0, 0, 1, 0, 1}, Row{kR | kW | kX,      kS,    0, 0, 1, 1, 1},
      Row{kR | kW | kX | kU, kS,    0, 0, 0, 0, 0}, Row{kR | kW | kX | kU, kS,    1, 0, 1, 1, 0},
      Row{kX | kU,           kS,    1, 0, 0, 0, 0}, Row{kX | kU,           kS,    1, 1, 1, 0, 0},
      Row{kX | kU,           kS,    0, 1, 0, 0, 0},
      Row{kR | kW | kX,      kUser, 0, 0, 0, 0, 0}, Row{kR | kW | kX,      kUser, 1, 1, 0, 0, 0},
      Row{kR | kU,           kUser, 0, 0, 1, 0, 0}, Row{kR | kW | kX | kU, kUser, 0, 0, 1, 1, 1},
      Row{kX | kU,           kUser, 0, 0, 0, 0, 1}, Row{kX | kU,           kUser, 0, 1, 1, 0, 1});
  // clang-format on
  Paged p;
  p.map(kVa, pte(kData, row.bits | kV | kA | kD));
  p.hart.csr.mstatus |= (row.sum ? kMstatusSum : 0) | (row.mxr ? kMstatusMxr : 0);
  p.enter(row.priv);
  // Twice: by the walk, then by what the TLB keeps.
  for (int i = 0; i < 2; ++i) {
    CHECK(p.load(kVa) == row.load);
    if (!row.load) CHECK(p.raised(Cause::kLoadPageFault, kVa));
    CHECK(p.store(kVa) == row.store);
    if (!row.store) CHECK(p.raised(Cause::kStorePageFault, kVa));
    CHECK(p.fetch(kVa) == row.fetch);
    if (!row.fetch) CHECK(p.raised(Cause::kFetchPageFault, kVa));
  }
}

TEST_CASE("Svadu sets A and D, and only when the access needs them") {
  Paged p;
  const uint64_t slot = p.map(kVa, pte(kData, kV | kR | kW | kX));
  REQUIRE(p.fetch(kVa));
  CHECK(p.peek<uint64_t>(slot) == pte(kData, kV | kR | kW | kX | kA));
  REQUIRE(p.load(kVa));
  CHECK(p.peek<uint64_t>(slot) == pte(kData, kV | kR | kW | kX | kA));
  REQUIRE(p.store(kVa, 5));
  CHECK(p.peek<uint64_t>(slot) == pte(kData, kRwxad));
  CHECK(p.peek<uint64_t>(kData) == 5);
}

TEST_CASE("A store to a read-only page does not set D") {
  Paged p;
  const uint64_t slot = p.map(kVa, pte(kData, kV | kR));
  CHECK_FALSE(p.store(kVa));
  CHECK(p.peek<uint64_t>(slot) == pte(kData, kV | kR));
}

TEST_CASE("Without Svadu clear A or D bits fault and stay clear") {
  Paged p;
  REQUIRE(debug_write_csr(p.hart, 0x30a, 0));
  const uint64_t slot = p.map(kVa, pte(kData, kV | kR | kW | kX));
  CHECK_FALSE(p.load(kVa));
  CHECK(p.raised(Cause::kLoadPageFault, kVa));
  CHECK_FALSE(p.fetch(kVa));
  CHECK(p.raised(Cause::kFetchPageFault, kVa));
  p.map(kVa, pte(kData, kV | kR | kW | kA));
  CHECK(p.load(kVa));
  CHECK_FALSE(p.store(kVa));
  CHECK(p.raised(Cause::kStorePageFault, kVa));
  CHECK(p.peek<uint64_t>(slot) == pte(kData, kV | kR | kW | kA));
}

TEST_CASE("Svade and Svadu: who sets A and D after reset, and by menvcfg.ADUE") {
  struct Row {
    const char* cpu;
    bool at_reset, adue_writable;
  };
  const Row row =
      GENERATE(Row{"rv64", true, true}, Row{"max", true, true}, Row{"rv64,svade=on", false, true},
               Row{"rv64,svade=on,svadu=off", false, false}, Row{"rv64,svadu=off", true, false});
  INFO(row.cpu);
  Paged p(39, row.cpu);
  p.map(kVa, pte(kData, kV | kR | kW | kX));
  CHECK(p.fetch(kVa) == row.at_reset);
  CHECK(p.store(kVa) == row.at_reset);
  if (!row.at_reset) CHECK(p.raised(Cause::kStorePageFault, kVa));
  for (const bool on : {true, false}) {
    REQUIRE(debug_write_csr(p.hart, 0x30a, on ? kEnvcfgAdue : 0));
    p.map(kVa, pte(kData, kV | kR | kW | kX));
    CHECK(p.store(kVa) == (row.adue_writable ? on : row.at_reset));
  }
}

TEST_CASE("Svvptc: entries made valid are seen without a fence, at every level") {
  Paged p;
  CHECK_FALSE(p.load(kVa));
  CHECK_FALSE(p.fetch(kVa));
  p.poke<uint64_t>(p.slot(kVa, 2), pte(p.table(1), kV));
  CHECK_FALSE(p.load(kVa));
  p.poke<uint64_t>(p.slot(kVa, 1), pte(p.table(0), kV));
  CHECK_FALSE(p.load(kVa));
  CHECK_FALSE(p.fetch(kVa));
  p.poke<uint64_t>(p.slot(kVa, 0), pte(kData, kRwxad));
  CHECK(p.load(kVa));
  CHECK(p.store(kVa));
  CHECK(p.fetch(kVa));
}

TEST_CASE("Tables outside RAM give access faults of the original access") {
  Paged p;
  p.poke<uint64_t>(p.slot(kVa, 2), pte(0x1000'0000, kV));
  CHECK_FALSE(p.load(kVa));
  CHECK(p.raised(Cause::kLoadAccess, kVa));
  CHECK_FALSE(p.store(kVa));
  CHECK(p.raised(Cause::kStoreAccess, kVa));
  CHECK_FALSE(p.fetch(kVa));
  CHECK(p.raised(Cause::kFetchAccess, kVa));
}

TEST_CASE("A page straddled by an access reports the part that faulted") {
  Paged p;
  p.map(kVa, pte(kData, kRwxad));
  const uint64_t address = kVa + 0xffd;
  CHECK_FALSE(p.load(address, 8));
  CHECK(p.raised(Cause::kLoadPageFault, kVa + 0x1000));
  p.poke<uint64_t>(kData + 0xff8, 0);
  CHECK_FALSE(p.store(address, ~0ull, 8));
  CHECK(p.raised(Cause::kStorePageFault, kVa + 0x1000));
  CHECK(p.peek<uint64_t>(kData + 0xff8) == 0);  // nothing of it was stored

  // The second page lies elsewhere.
  p.map(kVa + 0x1000, pte(kData + 0x8000, kRwxad));
  REQUIRE(p.store(address, 0x8877665544332211, 8));
  CHECK(p.peek<uint8_t>(kData + 0xfff) == 0x33);
  CHECK(p.peek<uint32_t>(kData + 0x8000) == 0x77665544);
  CHECK(p.peek<uint8_t>(kData + 0x8004) == 0x88);
  REQUIRE(p.load(address, 8));
  CHECK(p.value == 0x8877665544332211);
  REQUIRE(p.load(address + 2, 2));
  CHECK(p.value == 0x4433);

  p.map(kVa, 0);
  CHECK_FALSE(p.load(address, 8));
  CHECK(p.raised(Cause::kLoadPageFault, address));
}

TEST_CASE("Misaligned accesses inside a page work for every size and offset") {
  BareHart h;
  for (unsigned size : {2u, 4u, 8u}) {
    for (unsigned offset = 0; offset < 16; ++offset) {
      h.poke<uint64_t>(BareHart::kRam + 0x100, 0);
      h.poke<uint64_t>(BareHart::kRam + 0x108, 0);
      h.poke<uint64_t>(BareHart::kRam + 0x110, 0);
      const uint64_t pattern = 0xf1e2d3c4b5a69788;
      REQUIRE(h.mmu->store(BareHart::kRam + 0x100 + offset, size, pattern));
      for (unsigned i = 0; i < 24; ++i) {
        const bool inside = i >= offset && i < offset + size;
        const uint64_t byte = inside ? pattern >> (8 * (i - offset)) & 0xff : 0;
        REQUIRE(h.peek<uint8_t>(BareHart::kRam + 0x100 + i) == byte);
      }
      uint64_t value = ~0ull;
      REQUIRE(h.mmu->load(BareHart::kRam + 0x100 + offset, size, value));
      CHECK(value == (size == 8 ? pattern : pattern & ((1ull << (8 * size)) - 1)));
    }
  }
}

TEST_CASE("Register windows: aligned accesses of their width only") {
  BareHart h;
  uint64_t value = 0;
  REQUIRE(h.mmu->load(BareHart::kWindow + 8, 4, value));
  CHECK(value == 0x1008);
  REQUIRE(h.mmu->store(BareHart::kWindow + 12, 4, 0xabcd));
  CHECK(h.device.last_offset == 12);
  CHECK(h.device.last_value == 0xabcd);
  CHECK_FALSE(h.mmu->load(BareHart::kWindow, 8, value));
  CHECK(h.hart.exception_cause == Cause::kLoadAccess);
  CHECK_FALSE(h.mmu->store(BareHart::kWindow + 2, 4, 0));
  CHECK(h.hart.exception_cause == Cause::kStoreAccess);
  CHECK(h.hart.exception_tval == BareHart::kWindow + 2);
  CHECK_FALSE(h.mmu->load(0, 4, value));
  CHECK(h.hart.exception_cause == Cause::kLoadAccess);
  FetchResult fetched;
  CHECK_FALSE(h.mmu->fetch(BareHart::kWindow, fetched));
  CHECK(h.hart.exception_cause == Cause::kFetchAccess);
  // Half in RAM, half beyond its end.
  const uint64_t end = BareHart::kRam + BareHart::kRamSize;
  CHECK_FALSE(h.mmu->store(end - 4, 8, 1));  // aligned to 4 only: crosses the end
  CHECK(h.hart.exception_cause == Cause::kStoreAccess);
  CHECK(h.hart.exception_tval == end);
}

TEST_CASE("Atomics need alignment, RAM and store permission") {
  Paged p;
  uint64_t physical = 0;
  p.map(kVa, pte(kData, kV | kR | kA));
  CHECK(p.mmu->atomic_host(kVa + 8, 8, Access::kLoad, physical));
  CHECK(physical == kData + 8);
  CHECK_FALSE(p.mmu->atomic_host(kVa + 8, 8, Access::kStore, physical));
  CHECK(p.raised(Cause::kStorePageFault, kVa + 8));
  CHECK_FALSE(p.mmu->atomic_host(kVa + 4, 8, Access::kStore, physical));
  CHECK(p.raised(Cause::kStoreMisaligned, kVa + 4));
  CHECK_FALSE(p.mmu->atomic_host(kVa + 2, 4, Access::kLoad, physical));
  CHECK(p.raised(Cause::kLoadMisaligned, kVa + 2));
  p.map(kVa, pte(BareHart::kWindow, kRwxad));
  CHECK_FALSE(p.mmu->atomic_host(kVa, 4, Access::kStore, physical));
  CHECK(p.raised(Cause::kStoreAccess, kVa));
}

TEST_CASE("Cache-block instructions report store faults with their own address") {
  Paged p;
  REQUIRE(debug_write_csr(p.hart, 0x30a, 0xf0 | 3ull << 61));
  p.map(kVa, pte(kData, kV | kR | kA));
  p.poke<uint64_t>(kData + 0x40, ~0ull);
  CHECK(exec_cbo(p.hart, Cbo::kFlush, kVa + 0x47, 0));
  CHECK_FALSE(exec_cbo(p.hart, Cbo::kZero, kVa + 0x47, 0));
  CHECK(p.raised(Cause::kStorePageFault, kVa + 0x47));
  CHECK_FALSE(exec_cbo(p.hart, Cbo::kClean, kVa + 0x1047, 0));
  CHECK(p.raised(Cause::kStorePageFault, kVa + 0x1047));
  p.map(kVa, pte(kData, kRwxad));
  p.poke<uint64_t>(kData + 0x38, ~0ull);
  p.poke<uint64_t>(kData + 0x80, ~0ull);
  CHECK(exec_cbo(p.hart, Cbo::kZero, kVa + 0x47, 0));
  for (unsigned i = 0; i < 8; ++i) CHECK(p.peek<uint64_t>(kData + 0x40 + 8 * i) == 0);
  CHECK(p.peek<uint64_t>(kData + 0x38) == ~0ull);
  CHECK(p.peek<uint64_t>(kData + 0x80) == ~0ull);
}

TEST_CASE("MPRV: loads and stores use MPP's privilege, fetches do not") {
  Paged p;
  p.map(kVa, pte(kData, kRwxad | kU));
  p.poke<uint64_t>(kData, 42);
  p.hart.csr.mstatus |= kMstatusMprv;  // MPP = U
  p.enter(Priv::kMachine);
  REQUIRE(p.load(kVa));
  CHECK(p.value == 42);
  CHECK_FALSE(p.fetch(kVa));
  CHECK(p.raised(Cause::kFetchAccess, kVa));
  p.hart.csr.mstatus |= 1ull << 11;  // S: a user page needs SUM
  state_changed(p.hart);
  CHECK_FALSE(p.load(kVa));
  p.hart.csr.mstatus |= kMstatusSum;
  state_changed(p.hart);
  CHECK(p.load(kVa));
  p.hart.csr.mstatus |= kMstatusMpp;  // M: no translation
  state_changed(p.hart);
  CHECK_FALSE(p.load(kVa));
  CHECK(p.raised(Cause::kLoadAccess, kVa));
}
