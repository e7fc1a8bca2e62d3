// Expected results: privileged specification 3.7, and the chapter on Smepmp.
#include <catch2/catch.hpp>
#include <random>

#include "tests/unit/cpu/bare_hart.h"

using namespace hv;
using hv::test::BareHart;

namespace {

constexpr unsigned kCfg0 = 0x3a0, kCfg2 = 0x3a2, kAddr0 = 0x3b0;
constexpr uint64_t kRam = BareHart::kRam;

struct Protected : BareHart {
  using BareHart::BareHart;
  bool load(uint64_t address, unsigned size = 8) {
    uint64_t value;
    return mmu->load(address, size, value);
  }
  bool store(uint64_t address, unsigned size = 8) { return mmu->store(address, size, 0); }
  bool fetch(uint64_t address) {
    FetchResult result;
    return mmu->fetch(address, result);
  }
  void set(unsigned entry, uint64_t pmpaddr, uint64_t config) {
    enter(Priv::kMachine);
    REQUIRE(csrw(kAddr0 + entry, pmpaddr));
    REQUIRE(csrs(kCfg0 + entry / 8 * 2, config << (entry % 8 * 8)));
  }
};

}  // namespace

TEST_CASE("Without an entry S and U get nothing and M everything") {
  Protected h;
  CHECK(h.load(kRam));
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.load(kRam));
  CHECK(h.hart.exception_cause == Cause::kLoadAccess);
  CHECK_FALSE(h.store(kRam));
  CHECK(h.hart.exception_cause == Cause::kStoreAccess);
  CHECK_FALSE(h.fetch(kRam));
  CHECK(h.hart.exception_cause == Cause::kFetchAccess);
}

TEST_CASE("Without a PMP nothing is denied") {
  Protected h;
  h.config.pmp_regions = 0;
  h.mmu->flush_all();
  h.enter(Priv::kUser);
  CHECK(h.load(kRam));
  CHECK_FALSE(h.csrr(kAddr0));
}

TEST_CASE("Address matching of the three modes") {
  Protected h;
  // TOR, entry 0 with address 0 .. 0x80001000; then NAPOT 8 KiB; NA4; TOR between the two before.
  h.set(0, 0x8000'1000 >> 2, kPmpTor | kPmpRead);
  h.set(1, (0x8000'2000 >> 2) | 0x3ff, kPmpNapot | kPmpRead);
  h.set(2, 0x8000'5004 >> 2, kPmpNa4 | kPmpRead);
  h.set(3, 0x8000'5010 >> 2, kPmpTor | kPmpRead);
  h.enter(Priv::kSupervisor);
  CHECK(h.load(kRam));
  CHECK(h.load(kRam + 0xff8));
  CHECK_FALSE(h.load(kRam + 0x1000));
  CHECK(h.load(kRam + 0x2000));
  CHECK(h.load(kRam + 0x3ff8));
  CHECK_FALSE(h.load(kRam + 0x4000));
  CHECK_FALSE(h.load(kRam + 0x5000, 4));
  CHECK(h.load(kRam + 0x5004, 4));
  CHECK(h.load(kRam + 0x5008, 8));
  CHECK_FALSE(h.load(kRam + 0x5010, 1));
  CHECK(h.load(kRam + 0x500f, 1));
  CHECK_FALSE(h.store(kRam));
  CHECK_FALSE(h.fetch(kRam));
}

TEST_CASE("NAPOT of all ones covers the whole address space") {
  Protected h;
  h.set(0, (1ull << 54) - 1, kPmpNapot | kPmpAll);
  CHECK(h.csrr(kAddr0) == (1ull << 54) - 1);
  h.enter(Priv::kUser);
  CHECK(h.load(kRam));
  CHECK(h.fetch(kRam + BareHart::kRamSize - 4));
}

TEST_CASE("An access that an entry matches in part fails, M-mode's too") {
  Protected h;
  h.set(0, (kRam + 0x104) >> 2, kPmpNa4 | kPmpAll | kPmpLocked);
  h.set(1, ~0ull, kPmpNapot | kPmpAll);
  for (Priv priv : {Priv::kSupervisor, Priv::kMachine}) {
    h.enter(priv);
    CHECK_FALSE(h.load(kRam + 0x100, 8));
    CHECK(h.load(kRam + 0x100, 4));
    CHECK(h.load(kRam + 0x104, 4));
    CHECK_FALSE(h.load(kRam + 0x102, 4));
    CHECK(h.load(kRam + 0x108, 8));
  }
}

TEST_CASE("The lowest-numbered entry decides") {
  Protected h;
  h.set(0, kRam >> 2 | 0x1ff, kPmpNapot);  // 4 KiB without any permission
  h.set(1, ~0ull, kPmpNapot | kPmpAll);
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.load(kRam));
  CHECK(h.load(kRam + 0x1000));
  h.enter(Priv::kMachine);
  CHECK(h.load(kRam));  // not locked: M is not bound
}

TEST_CASE("A locked entry binds M-mode and cannot be changed") {
  Protected h;
  h.set(1, kRam >> 2 | 0x1ff, kPmpNapot | kPmpRead | kPmpLocked);
  CHECK(h.load(kRam));
  CHECK_FALSE(h.store(kRam));
  CHECK_FALSE(h.fetch(kRam));
  CHECK(h.csrw(kAddr0 + 1, 0));
  CHECK(h.csrr(kAddr0 + 1) == (kRam >> 2 | 0x1ff));
  CHECK(h.csrw(kCfg0, 0));
  CHECK(h.csrr(kCfg0) == uint64_t{kPmpNapot | kPmpRead | kPmpLocked} << 8);
  // Entry 0 is free: entry 1 is not TOR.
  CHECK(h.csrw(kAddr0, 123));
  CHECK(h.csrr(kAddr0) == 123);
  reset_hart(h.hart, kRam);
  CHECK(h.csrr(kCfg0) == 0);
}

TEST_CASE("A locked TOR entry locks the address below it") {
  Protected h;
  REQUIRE(h.csrw(kAddr0 + 2, 100));
  h.set(3, 200, kPmpTor | kPmpLocked);
  CHECK(h.csrw(kAddr0 + 2, 1));
  CHECK(h.csrr(kAddr0 + 2) == 100);
  CHECK(h.csrw(kAddr0 + 1, 1));
  CHECK(h.csrr(kAddr0 + 1) == 1);
}

TEST_CASE("pmpcfg and pmpaddr keep legal values only") {
  Protected h;
  CHECK(h.csrw(kCfg0, 0x7f));
  CHECK(h.csrr(kCfg0) == 0x1f);  // bits 5 and 6 read as 0
  CHECK(h.csrw(kCfg0, kPmpWrite));
  CHECK((*h.csrr(kCfg0) & (kPmpRead | kPmpWrite)) != kPmpWrite);  // reserved
  CHECK(h.csrw(kAddr0, ~0ull));
  CHECK(h.csrr(kAddr0) == (1ull << 54) - 1);
  CHECK(h.csrw(kCfg2, 0x1f));
  CHECK(h.csrr(kCfg2) == 0x1f);
  CHECK_FALSE(h.csrr(0x3a1));  // odd pmpcfg do not exist in RV64
  CHECK_FALSE(h.csrr(0x3a4));  // 16 entries
  CHECK(h.csrr(kAddr0 + 15));
  CHECK_FALSE(h.csrr(kAddr0 + 16));
}

TEST_CASE("A page divided by an entry is checked at each access") {
  Protected h;
  h.set(0, (kRam + 0x800) >> 2, kPmpTor | kPmpAll);
  h.enter(Priv::kSupervisor);
  for (int i = 0; i < 2; ++i) {
    CHECK(h.load(kRam + 0x7f8));
    CHECK(h.store(kRam + 0x7f8));
    CHECK_FALSE(h.load(kRam + 0x800));
    CHECK_FALSE(h.load(kRam + 0x7fc));
    CHECK(h.fetch(kRam + 0x7fc));
    CHECK_FALSE(h.fetch(kRam + 0x800));
  }
  FetchResult fetched;
  REQUIRE(h.mmu->fetch(kRam + 0x7f0, fetched));
  CHECK_FALSE(fetched.whole_page);
  CHECK(fetched.size == 0x10);
}

TEST_CASE("The PMP checks page tables, before any A or D bit is set") {
  Protected h;
  constexpr uint64_t kRoot = kRam + 0x10'0000, kVa = 0x8000'0000;
  // A 1 GiB leaf with A and D clear.
  const uint64_t leaf = kVa >> 2 | kPteValid | kPteRead | kPteWrite;
  h.poke<uint64_t>(kRoot + 2 * 8, leaf);
  h.set(0, kRoot >> 2 | 0x1ff, kPmpNapot | kPmpRead);
  h.set(1, ~0ull, kPmpNapot | kPmpAll);
  h.hart.csr.satp = 8ull << 60 | kRoot >> 12;
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.load(kVa));
  CHECK(h.hart.exception_cause == Cause::kLoadAccess);
  CHECK(h.peek<uint64_t>(kRoot + 2 * 8) == leaf);
  h.enter(Priv::kMachine);
  REQUIRE(h.csrw(kCfg0, uint64_t{kPmpNapot | kPmpAll} << 8 | kPmpNapot));
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.store(kVa));
  CHECK(h.hart.exception_cause == Cause::kStoreAccess);
  h.enter(Priv::kMachine);
  REQUIRE(h.csrw(kCfg0, uint64_t{kPmpNapot | kPmpAll} << 8 | kPmpNapot | kPmpRead | kPmpWrite));
  h.enter(Priv::kSupervisor);
  CHECK(h.store(kVa));
  CHECK(h.peek<uint64_t>(kRoot + 2 * 8) == (leaf | kPteAccessed | kPteDirty));
}

// Smepmp, "Truth table when mseccfg.MML is set".
TEST_CASE("With MML each encoding gives M-mode and the others what the table says") {
  struct Row {
    unsigned lrwx;
    unsigned machine, others;  // R 4, W 2, X 1
  };
  const Row row =
      GENERATE(Row{0b0000, 0, 0}, Row{0b0001, 0, 1}, Row{0b0010, 6, 4}, Row{0b0011, 6, 6},
               Row{0b0100, 0, 4}, Row{0b0101, 0, 5}, Row{0b0110, 0, 6}, Row{0b0111, 0, 7},
               Row{0b1000, 0, 0}, Row{0b1001, 1, 0}, Row{0b1010, 1, 1}, Row{0b1011, 5, 1},
               Row{0b1100, 4, 0}, Row{0b1101, 5, 0}, Row{0b1110, 6, 0}, Row{0b1111, 4, 4});
  INFO("LRWX " << row.lrwx);
  Protected h("rv64,smepmp=on");
  REQUIRE(h.csrw(0x747, 5));  // MML, RLB
  const uint64_t config = (row.lrwx >> 3 & 1) << 7 | kPmpNapot | (row.lrwx & 1) << 2 |
                          (row.lrwx & 2) | (row.lrwx >> 2 & 1);
  REQUIRE(h.csrw(kAddr0, (kRam + 0x1000) >> 2 | 0x1ff));
  REQUIRE(h.csrw(kCfg0, config));
  CHECK(h.csrr(kCfg0) == config);
  for (const Priv priv : {Priv::kMachine, Priv::kSupervisor, Priv::kUser}) {
    h.enter(priv);
    const unsigned allowed = priv == Priv::kMachine ? row.machine : row.others;
    for (int i = 0; i < 2; ++i) {
      CHECK(h.load(kRam + 0x1000) == ((allowed & 4) != 0));
      CHECK(h.store(kRam + 0x1000) == ((allowed & 2) != 0));
      CHECK(h.fetch(kRam + 0x1000) == ((allowed & 1) != 0));
    }
  }
}

TEST_CASE("MML and MMWP take from M-mode what no entry matches, and stay set") {
  Protected h("rv64,smepmp=on");
  REQUIRE(h.csrw(0x747, 1));
  CHECK(h.load(kRam));
  CHECK(h.store(kRam));
  CHECK_FALSE(h.fetch(kRam));
  CHECK(h.hart.exception_cause == Cause::kFetchAccess);
  REQUIRE(h.csrw(0x747, 2));
  CHECK(h.csrr(0x747) == 3);
  CHECK_FALSE(h.load(kRam));
  CHECK_FALSE(h.store(kRam));
  REQUIRE(h.csrw(0x747, 0));
  CHECK(h.csrr(0x747) == 3);
  reset_hart(h.hart, kRam);
  CHECK(h.csrr(0x747) == 0);
  CHECK(h.fetch(kRam));
}

TEST_CASE("MMWP alone denies M-mode what no entry matches") {
  Protected h("rv64,smepmp=on");
  REQUIRE(h.csrw(0x747, 2));
  CHECK_FALSE(h.load(kRam));
  CHECK_FALSE(h.fetch(kRam));
  h.set(0, (kRam + 0x1000) >> 2 | 0x1ff, kPmpNapot);
  CHECK(h.load(kRam + 0x1000));  // without MML an unlocked entry allows M-mode everything
  CHECK(h.fetch(kRam + 0x1000));
}

TEST_CASE("With MML new entries cannot give M-mode code, unless RLB is set") {
  for (const uint64_t rlb : {0, 4}) {
    for (unsigned low = 0; low < 8; ++low) {
      Protected h("rv64,smepmp=on");
      REQUIRE(h.csrw(0x747, 1 | rlb));
      const uint64_t config = kPmpLocked | kPmpNapot | low;
      REQUIRE(h.csrw(kCfg0, config));
      // X, RX, and the shared code regions W and WX; RWX is shared data.
      const bool code = low == 4 || low == 5 || low == 2 || low == 6;
      CHECK(h.csrr(kCfg0) == (code && !rlb ? 0 : config));
    }
  }
}

TEST_CASE("RLB lifts locks, and cannot be set while there is one") {
  Protected h("rv64,smepmp=on");
  REQUIRE(h.csrw(0x747, 4));
  REQUIRE(h.csrw(kCfg0, kPmpLocked | kPmpRead));
  REQUIRE(h.csrw(kAddr0, 0x1234));
  CHECK(h.csrr(kAddr0) == 0x1234);
  REQUIRE(h.csrw(kCfg0, kPmpLocked | kPmpAll));
  CHECK(h.csrr(kCfg0) == (kPmpLocked | kPmpAll));
  REQUIRE(h.csrw(0x747, 0));
  REQUIRE(h.csrw(0x747, 4));
  CHECK(h.csrr(0x747) == 0);
  REQUIRE(h.csrw(kAddr0, 1));
  CHECK(h.csrr(kAddr0) == 0x1234);
}

TEST_CASE("Where an access was before does not change what the next one may do") {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 2000; ++round) {
    CsrState csr{};
    constexpr unsigned kRegions = 6;
    for (unsigned i = 0; i < kRegions; ++i) {
      csr.pmpcfg[i] = static_cast<uint8_t>(random() % 32);
      csr.pmpaddr[i] = random() % 4 ? random() % 0x1000 : random() % 0x1000 | 0x3ff;
    }
    Pmp used;
    used.load(csr, kRegions);
    for (unsigned n = 0; n < 60; ++n) {
      const uint64_t address = random() % 0x5000, size = 1u << random() % 4;
      const auto access = static_cast<Access>(random() % 3);
      const Priv priv = random() % 2 ? Priv::kUser : Priv::kSupervisor;
      Pmp fresh;
      fresh.load(csr, kRegions);
      const Pmp other = fresh;
      const uint64_t page = address & ~0xfffull;
      REQUIRE(used.allows(address, size, access, priv) ==
              fresh.allows(address, size, access, priv));
      REQUIRE(used.page_permissions(page, priv) == other.page_permissions(page, priv));
    }
  }
}
