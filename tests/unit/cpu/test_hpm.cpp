// Expected results: privileged specification 3.1.10 and 3.1.11, and the chapter on Sscofpmf.
#include <catch2/catch.hpp>

#include <thread>

#include "cpu/hpm.h"
#include "cpu/vcpu.h"
#include "tests/unit/cpu/bare_hart.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

constexpr unsigned kCounter3 = 0xb03, kEvent3 = 0x323, kInhibit = 0x320, kScountovf = 0xda0;
constexpr uint64_t kBit3 = 8;

// Counter 3 counts instructions from `start` on.
struct Counting : BareHart {
  explicit Counting(uint64_t flags = 0, uint64_t start = 0) : BareHart("rv64,sscofpmf=on") {
    REQUIRE(csrw(kCounter3, start));
    ++hart.instret;
    REQUIRE(csrw(kEvent3, kHpmEventInstructions | flags));
    ++hart.instret;
  }
  void execute(unsigned instructions) { hart.instret += instructions; }
  void change_mode(Priv priv) {
    hpm_mode_change(hart, false);
    enter(priv);
  }
  uint64_t count() { return hpm_read(hart, 3); }
};

TEST_CASE("A counter counts from the instruction behind the write on") {
  using namespace rv;
  TestMachine m;
  const uint64_t code = TestMachine::kRam + 0x1000;
  m.put(code, {csrw(kEvent3, a0), csrw(kCounter3, a1), nop(), nop(), csrr(a2, kCounter3),
               csrr(a3, kCounter3), wfi()});
  m.hart.x[a0] = kHpmEventInstructions;
  m.hart.x[a1] = 100;
  m.hart.pc = code;
  for (int i = 0; i < 6; ++i) m.engine->step(m.hart);
  CHECK(m.hart.x[a2] == 102);
  CHECK(m.hart.x[a3] == 103);
}

TEST_CASE("A counter whose event is unknown stands still but keeps what is written") {
  Counting h;
  REQUIRE(h.csrw(kEvent3, 0x12345));
  CHECK(h.csrr(kEvent3) == 0x12345);
  REQUIRE(h.csrw(kCounter3, 7));
  h.execute(10);
  CHECK(h.csrr(kCounter3) == 7);
}

TEST_CASE("mcountinhibit stops a counter where it is and lets it go on from there") {
  Counting h;
  h.execute(10);
  REQUIRE(h.csrs(kInhibit, kBit3));
  h.execute(100);
  CHECK(h.count() == 10);
  REQUIRE(h.csrc(kInhibit, kBit3));
  h.execute(6);
  CHECK(h.count() == 15);  // the instruction that let it go does not count
}

TEST_CASE("hpmcounter3 is for S and U as mcounteren and scounteren say") {
  Counting h;
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.csrr(0xc03));
  h.hart.csr.mcounteren = kBit3;
  CHECK(h.csrr(0xc03));
  CHECK_FALSE(h.csrr(0xc04));
  h.enter(Priv::kUser);
  CHECK_FALSE(h.csrr(0xc03));
  h.hart.csr.scounteren = kBit3;
  CHECK(h.csrr(0xc03));
  BareHart without("rv64,zihpm=off");
  CHECK_FALSE(without.csrr(0xc03));
  REQUIRE(without.csrw(0x306, ~0ull));
  CHECK(without.csrr(0x306) == 7);
  REQUIRE(without.csrw(kEvent3, ~0ull));
  CHECK(without.csrr(kEvent3) == 0);
}

TEST_CASE("MINH, SINH and UINH keep a counter still in their modes") {
  struct Row {
    uint64_t flags;
    uint64_t count;
  };
  const Row row = GENERATE(Row{0, 111}, Row{kHpmMinh, 110}, Row{kHpmSinh, 101}, Row{kHpmUinh, 11},
                           Row{kHpmMinh | kHpmUinh, 10}, Row{kHpmMinh | kHpmSinh | kHpmUinh, 0});
  Counting h(row.flags);
  h.execute(1);
  h.change_mode(Priv::kSupervisor);
  h.execute(10);
  h.change_mode(Priv::kUser);
  h.execute(100);
  h.change_mode(Priv::kMachine);
  CHECK(h.count() == row.count);
}

TEST_CASE("The instruction that changes the mode counts in the mode in which it ran") {
  Counting h(kHpmSinh);
  h.hart.csr.mstatus = 1ull << 11;  // MPP = S
  h.execute(1);
  REQUIRE(exec_mret(h.hart, 0) == SysResult::kRedirect);
  h.execute(1);  // the mret
  h.execute(5);
  h.hart.exception_cause = Cause::kIllegalInstruction;
  take_exception(h.hart);
  CHECK(h.hart.priv == Priv::kMachine);
  CHECK(h.count() == 2);
}

TEST_CASE("Overflow sets OF and LCOFIP once; scountovf shows it") {
  Counting h(0, ~0ull - 9);
  h.execute(9);
  CHECK(h.count() == ~0ull);
  CHECK((*h.csrr(kEvent3) & kHpmOf) == 0);
  CHECK((h.hart.mip & kMipLcofip) == 0);
  h.execute(1);
  CHECK((*h.csrr(kEvent3) & kHpmOf) != 0);
  CHECK(h.count() == 0);
  CHECK((h.hart.mip & kMipLcofip) != 0);
  CHECK(h.csrr(kScountovf) == kBit3);

  // With OF set there is no further interrupt.
  REQUIRE(h.csrc(0x344, kMipLcofip));
  CHECK((h.hart.mip & kMipLcofip) == 0);
  REQUIRE(h.csrw(kCounter3, ~0ull));
  h.execute(5);
  CHECK(h.count() < 5);
  CHECK((h.hart.mip & kMipLcofip) == 0);
}

TEST_CASE("scountovf shows S-mode the counters that mcounteren gives it") {
  Counting h;
  REQUIRE(h.csrw(kEvent3, kHpmOf));
  REQUIRE(h.csrw(kEvent3 + 2, kHpmOf));
  CHECK(h.csrr(kScountovf) == 0x28);
  h.hart.csr.mcounteren = 0x20;
  h.enter(Priv::kSupervisor);
  CHECK(h.csrr(kScountovf) == 0x20);
  CHECK_FALSE(h.csrw(kScountovf, 0));
}

TEST_CASE("The overflow interrupt can be delegated and comes last") {
  Counting h;
  REQUIRE(h.csrw(0x303, ~0ull));
  REQUIRE(h.csrw(0x304, ~0ull));
  CHECK(h.csrr(0x303) == 0x2222);
  CHECK(h.csrr(0x304) == 0x2aaa);
  h.hart.mip = kMipLcofip | kMipSsip;
  h.enter(Priv::kUser);
  REQUIRE(take_interrupt(h.hart));
  CHECK(h.hart.csr.scause == (1ull << 63 | 1));
  CHECK(h.csrr(0x144) == (kMipLcofip | kMipSsip));
  REQUIRE(h.csrw(0x144, kMipLcofip));
  CHECK(h.csrr(0x144) == kMipLcofip);
  h.enter(Priv::kUser);
  REQUIRE(take_interrupt(h.hart));
  CHECK(h.hart.csr.scause == (1ull << 63 | 13));
  REQUIRE(h.csrw(0x144, 0));
  CHECK(h.csrr(0x144) == 0);
}

TEST_CASE("hpm_watch asks to look again before the counter can overflow") {
  Counting h(0, 0ull - 1'000'000);
  const uint64_t now = h.clock.now(), next = hpm_watch(h.hart);
  CHECK(next >= now + 1'000'000 / 100 - 100);
  CHECK(next <= h.clock.now() + 1'000'000 / 100 + 1);
  h.execute(2'000'000);
  CHECK(hpm_watch(h.hart) == ~0ull);
  CHECK((h.hart.mip & kMipLcofip) != 0);
}

TEST_CASE("TLB misses are counted by kind") {
  BareHart h;
  const uint64_t events[] = {kHpmEventLoadMisses, kHpmEventStoreMisses, kHpmEventFetchMisses};
  for (unsigned i = 0; i < 3; ++i) REQUIRE(h.csrw(kEvent3 + i, events[i]));
  uint64_t value;
  FetchResult fetched;
  for (int i = 0; i < 2; ++i) REQUIRE(h.mmu->load(BareHart::kRam, 8, value));
  for (int i = 1; i < 3; ++i) REQUIRE(h.mmu->store(BareHart::kRam + i * 0x1000, 8, 0));
  for (int i = 0; i < 3; ++i) REQUIRE(h.mmu->fetch(BareHart::kRam + i * 0x1000, fetched));
  CHECK(h.csrr(kCounter3) == 1);
  CHECK(h.csrr(kCounter3 + 1) == 2);
  CHECK(h.csrr(kCounter3 + 2) == 3);
}

TEST_CASE("A hart that only computes is interrupted by its overflow") {
  using namespace rv;
  constexpr uint64_t kRam = 0x8000'0000, kHandler = kRam + 0x100, kResult = kRam + 0x1000;
  const CpuConfig cpu = CpuConfig::parse("rv64,sscofpmf=on").value();
  auto memory = GuestMemory::create(kRam, 1 << 20).value();
  const uint32_t loop[] = {addi(a0, a0, 1), jal(zero, -4)};
  const uint32_t handler[] = {csrr(a1, kCounter3), sd(a1, a2, 8), csrr(a1, 0x342), sd(a1, a2, 0),
                              jal(zero, 0)};
  REQUIRE(memory->write(kRam, loop, sizeof loop));
  REQUIRE(memory->write(kHandler, handler, sizeof handler));
  MmioMap mmio;
  mmio.freeze();
  GuestClock clock;
  auto set = VcpuSet::create(
                 {.count = 1, .cpu = &cpu, .memory = memory.get(), .mmio = &mmio, .clock = &clock})
                 .value();
  set->set_reset_hook([&](Hart& hart) {
    hart.pc = kRam;
    hart.x[a2] = kResult;
    hart.csr.mtvec = kHandler;
    hart.csr.mie = kMipLcofip;
    hart.csr.mstatus |= kMstatusMie;
    hpm_set_event(hart, 3, kHpmEventInstructions);
    hpm_write(hart, 3, 0ull - 1'000'000);
    return true;
  });
  set->reset_all();
  clock.resume();
  set->resume_all();
  auto* result = reinterpret_cast<uint64_t*>(memory->host(kResult, 16));
  while (__atomic_load_n(result, __ATOMIC_ACQUIRE) == 0) std::this_thread::yield();
  set->pause_all();
  CHECK(result[0] == (1ull << 63 | 13));
  CHECK(result[1] < 1ull << 63);  // it has wrapped
}

}  // namespace
}  // namespace hv::test
