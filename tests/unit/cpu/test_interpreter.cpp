// The engine's contract: exceptions, requests, single steps, misaligned targets.
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kCode = TestMachine::kRam + 0x1000;
constexpr uint64_t kNoRam = 0x1234'5678;

uint64_t cause_of(const TestMachine& m) {
  return m.hart.csr.mcause;
}

TEST_CASE("an exception inside a block reports the instruction and what retired before it") {
  TestMachine m;
  m.hart.x[a1] = kNoRam;
  m.put(kCode, {li(a0, 1), addi(a0, a0, 1), lw(a2, a1, 8), addi(a0, a0, 1)});
  const uint64_t before = m.hart.instret;
  CHECK(m.run(kCode) == EngineExit::kWait);
  REQUIRE(m.trapped());
  CHECK(cause_of(m) == 5);  // load access fault
  CHECK(m.hart.csr.mepc == kCode + 8);
  CHECK(m.hart.csr.mtval == kNoRam + 8);
  CHECK(m.hart.x[a0] == 2);
  CHECK(m.hart.instret == before + 2 + 1);  // and the wfi of the trap handler
}

TEST_CASE("an illegal instruction leaves its bits in mtval") {
  TestMachine m;
  SECTION("four bytes") {
    m.put(kCode, {nop(), (0xdeadbeef & ~0x7fu) | 0x7b});
    m.run(kCode);
    REQUIRE(m.trapped());
    CHECK(cause_of(m) == 2);
    CHECK(m.hart.csr.mepc == kCode + 4);
    CHECK(m.hart.csr.mtval == (0xdeadbeef & ~0x7fu | 0x7b));
  }
  SECTION("two bytes") {
    m.put(kCode, {nop(), 0x12340000});
    m.run(kCode);
    REQUIRE(m.trapped());
    CHECK(m.hart.csr.mepc == kCode + 4);
    CHECK(m.hart.csr.mtval == 0);  // the all-zero halfword
  }
  SECTION("floating point that is switched off") {
    m.hart.csr.mstatus &= ~kMstatusFs;
    state_changed(m.hart);
    for (const uint32_t word : {fadd_d(1, 2, 3), fld(1, a0, 0)}) {
      m.put(kCode, {word});
      m.engine->fence_i();
      m.run(kCode);
      REQUIRE(m.trapped());
      CHECK(cause_of(m) == 2);
      CHECK(m.hart.csr.mtval == word);
    }
  }
  SECTION("a reserved dynamic rounding mode") {
    m.hart.frm = 5;
    m.put(kCode, {fadd_d(1, 2, 3)});
    m.run(kCode);
    REQUIRE(m.trapped());
    CHECK(m.hart.csr.mtval == fadd_d(1, 2, 3));
  }
}

TEST_CASE("floating point marks mstatus.FS dirty") {
  TestMachine m;
  m.hart.csr.mstatus = (m.hart.csr.mstatus & ~kMstatusFs) | (1ull << 13);  // Initial
  state_changed(m.hart);
  m.put(kCode, {fadd_d(1, 2, 3), wfi()});
  m.run(kCode);
  REQUIRE_FALSE(m.trapped());
  CHECK((m.hart.csr.mstatus & kMstatusFs) == kMstatusFs);
}

TEST_CASE("SD goes with FS when the guest makes it clean again") {
  constexpr uint32_t kMstatus = 0x300;
  TestMachine m;
  m.hart.x[t0] = 2ull << 13;  // Clean
  m.put(kCode, {fadd_d(1, 2, 3), csrr(a0, kMstatus), csrw(kMstatus, t0), csrr(a1, kMstatus),
                csrw(kMstatus, zero), csrr(a2, kMstatus), wfi()});
  m.run(kCode);
  REQUIRE_FALSE(m.trapped());
  CHECK((m.hart.x[a0] & (kMstatusSd | kMstatusFs)) == (kMstatusSd | kMstatusFs));
  CHECK((m.hart.x[a1] & (kMstatusSd | kMstatusFs)) == 2ull << 13);
  CHECK((m.hart.x[a2] & (kMstatusSd | kMstatusFs)) == 0);
}

TEST_CASE("instructions retired are counted through loops and calls") {
  TestMachine m;
  // 10 turns of 3, with a call of 2 each
  m.put(kCode, {li(a0, 10), jal(ra, 16), addi(a0, a0, -1), bne(a0, zero, -8), wfi(),  //
                addi(a1, a1, 1), ret()});
  const uint64_t before = m.hart.instret;
  m.run(kCode);
  CHECK(m.hart.x[a1] == 10);
  CHECK(m.hart.instret == before + 1 + 10 * 5 + 1);
}

TEST_CASE("code longer than a block and than a page runs through") {
  TestMachine m;
  constexpr unsigned kCount = 3000;
  for (unsigned i = 0; i < kCount; ++i) m.put(kCode + 4 * i, {addi(a0, a0, 1)});
  m.put(kCode + 4 * kCount, {wfi()});
  m.run(kCode);
  CHECK(m.hart.x[a0] == kCount);
  CHECK(m.hart.instret == kCount + 1);
}

TEST_CASE("jalr clears bit 0 of its target and may overwrite its source") {
  TestMachine m;
  m.hart.x[a0] = kCode + 0x100;
  m.put(kCode, {jalr(a0, a0, 1)});
  m.put(kCode + 0x100, {wfi()});
  m.run(kCode);
  CHECK(m.hart.pc == kCode + 0x104);
  CHECK(m.hart.x[a0] == kCode + 4);
}

TEST_CASE("without C a misaligned target faults on the jump and writes no register") {
  TestMachine m("rv64,c=off");
  m.hart.x[a0] = kCode + 0x102;
  m.hart.x[ra] = 77;
  uint64_t target = kCode + 4 + 0x102;
  SECTION("jal") {
    m.put(kCode, {nop(), jal(ra, 0x102)});
  }
  SECTION("jalr") {
    m.put(kCode, {nop(), jalr(ra, a0, 0)});
    target = kCode + 0x102;
  }
  SECTION("branch taken") {
    m.put(kCode, {nop(), beq(zero, zero, 0x102)});
  }
  m.run(kCode);
  REQUIRE(m.trapped());
  CHECK(cause_of(m) == 0);
  CHECK(m.hart.csr.mepc == kCode + 4);
  CHECK(m.hart.csr.mtval == target);
  CHECK(m.hart.x[ra] == 77);
  CHECK(m.hart.instret == 1 + 1);
}

TEST_CASE("without C a branch that is not taken may have any offset") {
  TestMachine m("rv64,c=off");
  m.put(kCode, {bne(zero, zero, 0x102), wfi()});
  m.run(kCode);
  CHECK_FALSE(m.trapped());
}

TEST_CASE("a request ends a tight loop at a block boundary") {
  TestMachine m;
  m.put(kCode, {addi(a0, a0, 1), addi(a1, a1, 1), jal(zero, -8)});
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    m.hart.requests.fetch_or(kReqMailbox, std::memory_order_release);
  });
  CHECK(m.run(kCode) == EngineExit::kRequest);
  other.join();
  CHECK(m.hart.pc == kCode);
  CHECK(m.hart.x[a0] == m.hart.x[a1]);
  CHECK(m.hart.instret == 3 * m.hart.x[a0]);
  CHECK(m.hart.requests == kReqMailbox);
  SECTION("and run() does nothing while it stands") {
    const uint64_t instret = m.hart.instret;
    CHECK(m.engine->run(m.hart) == EngineExit::kRequest);
    CHECK(m.hart.instret == instret);
  }
}

TEST_CASE("step() executes one instruction") {
  TestMachine m;
  m.put(kCode, {li(a0, 5), beq(a0, zero, 8), bne(a0, zero, 8), nop(), lw(a1, zero, 0)});
  m.put(kCode + 24, {});
  m.hart.pc = kCode;
  const uint64_t expected_pc[] = {kCode + 4, kCode + 8, kCode + 16, m.trap_vector};
  for (const uint64_t pc : expected_pc) {
    m.engine->step(m.hart);
    CHECK(m.hart.pc == pc);
    CHECK(m.hart.requests == 0);
  }
  CHECK(m.hart.instret == 3);
  CHECK(cause_of(m) == 5);
}

TEST_CASE("step() works while a request stands and leaves it standing") {
  TestMachine m;
  m.hart.requests = kReqPark;
  m.put(kCode, {li(a0, 5), li(a0, 6)});
  m.hart.pc = kCode;
  m.engine->step(m.hart);
  CHECK(m.hart.x[a0] == 5);
  CHECK(m.hart.pc == kCode + 4);
  CHECK(m.hart.requests == kReqPark);
}

TEST_CASE("a fetch from outside RAM faults on the target") {
  TestMachine m;
  m.hart.x[a0] = kNoRam & ~3ull;
  m.put(kCode, {jalr(ra, a0, 0)});
  m.run(kCode);
  REQUIRE(m.trapped());
  CHECK(cause_of(m) == 1);
  CHECK(m.hart.csr.mepc == (kNoRam & ~3ull));
  CHECK(m.hart.csr.mtval == (kNoRam & ~3ull));
}

}  // namespace
}  // namespace hv::test
