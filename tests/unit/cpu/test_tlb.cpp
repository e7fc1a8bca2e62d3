// What fences drop and what they must leave: privileged specification 4.2.1 (SFENCE.VMA); and that
// contexts keep their translations (cpu/mmu.h).
#include <catch2/catch.hpp>

#include "cpu/memory_access.h"
#include "tests/unit/cpu/bare_hart.h"

using namespace hv;
using hv::test::BareHart;

namespace {

constexpr uint64_t kTables = BareHart::kRam + 0x10'0000;
constexpr uint64_t kOld = BareHart::kRam + 0x20'0000, kNew = BareHart::kRam + 0x40'0000;
constexpr uint64_t kLeaf =
    kPteValid | kPteRead | kPteWrite | kPteExecute | kPteAccessed | kPteDirty;

// Sv39 with one page (4 KiB or 2 MiB) per address; a remapped page shows by what a load finds.
struct Spaces : BareHart {
  Spaces() {
    open_pmp();
    poke<uint64_t>(kOld, 1);
    poke<uint64_t>(kNew, 2);
    enter(Priv::kSupervisor);
    use(1);
  }
  void use(uint64_t asid) {
    REQUIRE(debug_write_csr(hart, 0x180, 8ull << 60 | asid << 44 | kTables >> 12));
  }
  // Writes the PTEs without a fence.
  void map(uint64_t va, uint64_t physical, uint64_t bits = kLeaf, unsigned level = 0) {
    const uint64_t middle = kTables + 0x1000 * (1 + (va >> 30 & 3));
    const uint64_t low = kTables + 0x1000 * (8 + (va >> 30 & 3));
    poke<uint64_t>(kTables + (va >> 30 & 511) * 8, middle >> 2 | kPteValid);
    if (level == 1) return poke<uint64_t>(middle + (va >> 21 & 511) * 8, physical >> 2 | bits);
    poke<uint64_t>(middle + (va >> 21 & 511) * 8, low >> 2 | kPteValid);
    poke<uint64_t>(low + (va >> 12 & 511) * 8, physical >> 2 | bits);
  }
  uint64_t see(uint64_t va) {
    uint64_t value = 0;
    REQUIRE(mmu->load(va, 8, value));
    return value;
  }
  bool cached(uint64_t va) const {
    return hart.data_tlb[tlb_index(va)].read_tag == (va & kPageMask);
  }
};

constexpr uint64_t kVa = 0x4000'0000, kOther = 0x4000'1000, kFar = 0x8020'0000;

}  // namespace

TEST_CASE("A fence by address drops that page and no other") {
  Spaces s;
  s.map(kVa, kOld);
  s.map(kOther, kOld);
  CHECK(s.see(kVa) == 1);
  CHECK(s.see(kOther) == 1);
  s.map(kVa, kNew);
  s.mmu->flush(kVa + 0x123, std::nullopt);
  CHECK(s.cached(kOther));
  CHECK(s.see(kVa) == 2);
}

TEST_CASE("A fence by any address of a superpage drops all of it") {
  Spaces s;
  s.map(kVa, kOld, kLeaf, 1);
  s.poke<uint64_t>(kOld + 0x5000, 5);
  s.poke<uint64_t>(kNew + 0x5000, 6);
  CHECK(s.see(kVa) == 1);
  CHECK(s.see(kVa + 0x5000) == 5);
  s.map(kFar, kOld);
  CHECK(s.see(kFar) == 1);
  s.map(kVa, kNew, kLeaf, 1);
  s.mmu->flush(kVa + 0x1f'f000, std::nullopt);
  CHECK(s.see(kVa) == 2);
  CHECK(s.see(kVa + 0x5000) == 6);
}

TEST_CASE("A fence by ASID leaves global pages and other spaces") {
  Spaces s;
  s.map(kVa, kOld);
  s.map(kOther, kOld, kLeaf | kPteGlobal);
  CHECK(s.see(kVa) == 1);
  CHECK(s.see(kOther) == 1);
  s.use(2);
  CHECK(s.see(kVa) == 1);
  s.map(kVa, kNew);
  s.mmu->flush(std::nullopt, 1);
  CHECK(s.cached(kVa));
  s.use(1);
  CHECK_FALSE(s.cached(kVa));
  CHECK(s.cached(kOther));
  CHECK(s.see(kVa) == 2);
}

TEST_CASE("A global leaf by its pointer is global too") {
  Spaces s;
  s.map(kVa, kOld);
  s.poke<uint64_t>(kTables + 8, (kTables + 0x2000) >> 2 | kPteValid | kPteGlobal);
  CHECK(s.see(kVa) == 1);
  s.mmu->flush(std::nullopt, 1);
  CHECK(s.cached(kVa));
}

TEST_CASE("A fence of all ASIDs drops global pages in every space") {
  Spaces s;
  s.map(kVa, kOld, kLeaf | kPteGlobal);
  const bool by_address = GENERATE(false, true);
  CHECK(s.see(kVa) == 1);
  s.use(2);
  CHECK(s.see(kVa) == 1);
  s.map(kVa, kNew, kLeaf | kPteGlobal);
  s.mmu->flush(by_address ? std::optional<uint64_t>(kVa) : std::nullopt, std::nullopt);
  CHECK(s.see(kVa) == 2);
  s.use(1);
  CHECK(s.see(kVa) == 2);
}

TEST_CASE("Traps, SUM and a switch of address space keep the data TLBs") {
  Spaces s;
  s.map(kVa, kOld, kLeaf);
  CHECK(s.see(kVa) == 1);
  s.enter(Priv::kMachine);
  s.enter(Priv::kUser);
  s.enter(Priv::kSupervisor);
  CHECK(s.cached(kVa));
  s.hart.csr.mstatus |= kMstatusSum;
  state_changed(s.hart);
  CHECK(s.see(kVa) == 1);
  s.hart.csr.mstatus &= ~kMstatusSum;
  state_changed(s.hart);
  CHECK(s.cached(kVa));
  for (uint64_t asid = 2; asid < 10; ++asid) {
    s.use(asid);
    CHECK_FALSE(s.cached(kVa));
    CHECK(s.see(kVa) == 1);
  }
  s.use(1);
  CHECK(s.cached(kVa));
}

TEST_CASE("More address spaces than are kept still translate rightly") {
  Spaces s;
  s.map(kVa, kOld);
  for (uint64_t asid = 1; asid <= 100; ++asid) {
    s.use(asid);
    CHECK(s.see(kVa) == 1);
  }
  s.map(kVa, kNew);
  s.mmu->flush(std::nullopt, std::nullopt);
  for (uint64_t asid = 1; asid <= 100; ++asid) {
    s.use(asid);
    CHECK(s.see(kVa) == 2);
  }
}

TEST_CASE("Pages enter the TLB for stores only once dirty") {
  Spaces s;
  s.map(kVa, kOld, kLeaf & ~kPteDirty);
  CHECK(s.see(kVa) == 1);
  CHECK(s.hart.data_tlb[tlb_index(kVa)].write_tag == kTlbInvalid);
  REQUIRE(s.mmu->store(kVa, 8, 7));
  CHECK(s.hart.data_tlb[tlb_index(kVa)].write_tag == kVa);
  CHECK(s.cached(kVa));
}

TEST_CASE("A page in the TLB serves misaligned accesses to its last byte, and not beyond") {
  Spaces s;
  s.map(kVa, kOld);
  s.map(kOther, kNew, kLeaf & ~kPteWrite & ~kPteDirty);
  REQUIRE(s.mmu->store(kVa, 8, 0));
  CHECK(s.see(kOther) == 2);
  REQUIRE(s.cached(kVa));
  for (uint64_t offset : {0x1u, 0x102u, 0xff7u}) {
    uint64_t wide;
    uint32_t word;
    REQUIRE(store_memory<uint64_t>(s.hart, kVa + offset, 0x8877665544332211));
    REQUIRE(load_memory(s.hart, kVa + offset, wide));
    CHECK(wide == 0x8877665544332211);
    REQUIRE(load_memory(s.hart, kVa + offset + 1, word));
    CHECK(word == 0x55443322);
    CHECK(s.peek<uint8_t>(kOld + offset + 7) == 0x88);
  }
  // The next page may be read and not written.
  uint64_t value;
  s.poke<uint32_t>(kNew, 0xddccbbaa);
  REQUIRE(load_memory(s.hart, kVa + 0xffd, value));
  CHECK((value >> 24 & 0xffffffff) == 0xddccbbaa);
  s.poke<uint64_t>(kOld + 0xff8, 0);
  CHECK_FALSE(store_memory<uint64_t>(s.hart, kVa + 0xffd, ~0ull));
  CHECK(s.hart.exception_cause == Cause::kStorePageFault);
  CHECK(s.hart.exception_tval == kOther);
  CHECK(s.peek<uint64_t>(kOld + 0xff8) == 0);
  CHECK_FALSE(store_memory<uint16_t>(s.hart, kOther + 1, 0));
  CHECK(s.hart.exception_tval == kOther + 1);
}

TEST_CASE("Register windows never enter the TLB") {
  Spaces s;
  s.map(kVa, BareHart::kWindow);
  uint64_t value = 0;
  REQUIRE(s.mmu->load(kVa + 4, 4, value));
  CHECK(value == 0x1004);
  CHECK_FALSE(s.cached(kVa));
}

TEST_CASE("The fetch generation tells contexts apart and returns with them") {
  Spaces s;
  s.map(kVa, kOld);
  FetchResult fetched;
  REQUIRE(s.mmu->fetch(kVa, fetched));
  const uint64_t kernel = s.hart.fetch_generation;
  s.enter(Priv::kUser);
  const uint64_t user = s.hart.fetch_generation;
  CHECK(user != kernel);
  s.enter(Priv::kMachine);
  const uint64_t machine = s.hart.fetch_generation;
  CHECK(machine != kernel);
  CHECK(machine != user);
  s.enter(Priv::kSupervisor);
  CHECK(s.hart.fetch_generation == kernel);
  s.use(2);
  CHECK(s.hart.fetch_generation != kernel);
  s.use(1);
  CHECK(s.hart.fetch_generation == kernel);
}

TEST_CASE("The fetch generation changes with a fence that concerns code, and else stays") {
  Spaces s;
  s.map(kVa, kOld);
  s.map(kOther, kOld);
  FetchResult fetched;
  REQUIRE(s.mmu->fetch(kVa, fetched));
  CHECK(s.see(kOther) == 1);
  const uint64_t before = s.hart.fetch_generation;
  s.mmu->flush(kOther, std::nullopt);
  s.mmu->flush(std::nullopt, 7);
  CHECK(s.hart.fetch_generation == before);
  s.mmu->flush(kVa, std::nullopt);
  const uint64_t after = s.hart.fetch_generation;
  CHECK(after != before);
  REQUIRE(s.mmu->fetch(kVa, fetched));
  CHECK(s.hart.fetch_generation == after);
  s.mmu->flush(std::nullopt, 1);
  CHECK(s.hart.fetch_generation != after);
}

TEST_CASE("A fence reaches code whose own entry another page has displaced") {
  Spaces s;
  FetchResult fetched;
  s.map(kVa, kOld);
  REQUIRE(s.mmu->fetch(kVa, fetched));
  const uint64_t before = s.hart.fetch_generation;
  // Same place in the fetch TLB, whatever its power-of-two size up to 512.
  s.map(kFar, kOld);
  REQUIRE(s.mmu->fetch(kFar, fetched));
  s.mmu->flush(kVa, std::nullopt);
  CHECK(s.hart.fetch_generation != before);
}

TEST_CASE("A PMP change drops every translation") {
  Spaces s;
  s.map(kVa, kOld);
  FetchResult fetched;
  CHECK(s.see(kVa) == 1);
  REQUIRE(s.mmu->fetch(kVa, fetched));
  const uint64_t before = s.hart.fetch_generation;
  REQUIRE(debug_write_csr(s.hart, 0x3a0, kPmpNapot));
  CHECK(s.hart.fetch_generation != before);
  uint64_t value;
  CHECK_FALSE(s.mmu->load(kVa, 8, value));
  CHECK_FALSE(s.mmu->fetch(kVa, fetched));
}
