// Expected results: Debug specification 1.0, chapter 5 (Sdtrig).
#include <catch2/catch.hpp>

#include "tests/unit/cpu/bare_hart.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr unsigned kTselect = 0x7a0, kTdata1 = 0x7a1, kTdata2 = 0x7a2, kTinfo = 0x7a4;
constexpr uint64_t kType2 = 2ull << 60, kType6 = 6ull << 60, kM = 1 << 6, kS = 1 << 4, kU = 1 << 3,
                   kExecute = 4, kStore = 2, kLoad = 1;
constexpr uint64_t kRam = TestMachine::kRam, kCode = kRam + 0x1000, kData = kRam + 0x8000;

// Interrupts are on in M-mode, so that its triggers work.
struct Debugged : TestMachine {
  Debugged() { hart.csr.mstatus |= kMstatusMie; }
  void arm(unsigned index, uint64_t control, uint64_t address) {
    REQUIRE(debug_write_csr(hart, kTselect, index));
    REQUIRE(debug_write_csr(hart, kTdata2, address));
    REQUIRE(debug_write_csr(hart, kTdata1, control));
  }
  uint64_t tdata1(unsigned index) {
    uint64_t value = 0;
    REQUIRE(debug_write_csr(hart, kTselect, index));
    REQUIRE(debug_read_csr(hart, kTdata1, value));
    return value;
  }
  // The address at which a trigger stopped the last run; 0: none did.
  uint64_t stopped_at() const {
    return trapped() && hart.csr.mcause == 3 ? hart.csr.mepc : uint64_t{0};
  }
};

}  // namespace

TEST_CASE("Trigger registers keep what is supported") {
  BareHart h;
  for (const uint64_t index : {1ull, 0ull}) {
    REQUIRE(h.csrw(kTselect, index));
    REQUIRE(h.csrw(kTselect, 2));  // there are two
    CHECK(h.csrr(kTselect) == index);
    CHECK((*h.csrr(kTinfo) & 0x44) == 0x44);
    for (const uint64_t type : {kType2, kType6}) {
      REQUIRE(h.csrw(kTdata1, type | 0x5f));
      CHECK(h.csrr(kTdata1) == (type | 0x5f));
      // action, chain, match, timing, select, dmode: only 0.
      REQUIRE(h.csrw(kTdata1, type | 1ull << 59 | 0xff80));
      CHECK(h.csrr(kTdata1) == type);
    }
    for (const uint64_t type : {0ull, 1ull, 3ull, 4ull, 5ull, 7ull, 15ull}) {
      REQUIRE(h.csrw(kTdata1, type << 60 | 0x5f));
      CHECK(h.csrr(kTdata1) == 15ull << 60);
    }
  }
  h.enter(Priv::kSupervisor);
  CHECK_FALSE(h.csrr(kTdata1));
  BareHart without("rv64,debug=off");
  CHECK_FALSE(without.csrr(kTselect));
}

TEST_CASE("A breakpoint stops before its instruction, in code that has run before") {
  const uint64_t type = GENERATE(kType2, kType6);
  Debugged m;
  m.put(kCode, {addi(a0, a0, 1), addi(a0, a0, 2), addi(a0, a0, 4), wfi()});
  m.run(kCode);
  REQUIRE(m.hart.x[a0] == 7);
  m.arm(1, type | kM | kExecute, kCode + 8);
  m.hart.x[a0] = 0;
  m.run(kCode);
  CHECK(m.stopped_at() == kCode + 8);
  CHECK(m.hart.csr.mtval == kCode + 8);
  CHECK(m.hart.x[a0] == 3);
  CHECK(m.hart.instret >= 2);
  // The middle of an instruction is not its address, and other pages do not care.
  m.arm(1, type | kM | kExecute, kCode + 6);
  m.hart.csr.mstatus |= kMstatusMie;
  m.run(kCode);
  CHECK(m.stopped_at() == 0);
  m.arm(1, type, kCode + 8);
  m.run(kCode);
  CHECK(m.stopped_at() == 0);
}

TEST_CASE("A loop stops at its breakpoint each time round; a jump lands on it") {
  Debugged m;
  m.put(kCode, {addi(a0, a0, 1), jal(zero, 0x2000), nop()});
  m.put(kCode + 0x2004, {addi(a1, a1, 1), jal(zero, -0x2008)});
  m.arm(0, kType6 | kM | kExecute, kCode + 0x2004);
  uint64_t pc = kCode;
  for (unsigned i = 1; i < 4; ++i) {
    m.run(pc);
    CHECK(m.stopped_at() == kCode + 0x2004);
    CHECK(m.hart.x[a0] == i);
    // Over it, with triggers dormant (MIE is clear in the handler).
    m.hart.pc = kCode + 0x2004;
    m.engine->step(m.hart);
    CHECK(m.hart.x[a1] == i);
    m.hart.csr.mstatus |= kMstatusMie;
    pc = m.hart.pc;
  }
}

TEST_CASE("Watchpoints stop loads and stores that touch the address, before they happen") {
  struct Row {
    uint32_t word;
    uint64_t kinds;  // that catch it at kData + 4
  };
  const Row row =
      GENERATE(Row{lw(a0, a1, 4), kLoad}, Row{sw(a2, a1, 4), kStore}, Row{ld(a0, a1, 0), kLoad},
               Row{sd(a2, a1, 0), kStore}, Row{ld(a0, a1, 1), kLoad}, Row{lw(a0, a1, 0), 0},
               Row{lw(a0, a1, 8), 0}, Row{sw(a2, a1, 0), 0},
               Row{amoadd_w(a0, a2, t0), kLoad | kStore}, Row{lr_w(a0, t0), kLoad});
  Debugged m;
  m.put(kCode, {row.word, wfi()});
  m.hart.x[a1] = kData;
  m.hart.x[t0] = kData + 4;
  m.hart.x[a2] = ~0ull;
  m.run(kCode);  // the page is in the TLB
  for (const uint64_t kind : {kLoad, kStore}) {
    m.poke<uint64_t>(kData, 5);
    m.hart.x[a0] = 77;
    m.hart.csr.mstatus |= kMstatusMie;
    m.arm(0, kType6 | kM | kind, kData + 4);
    m.run(kCode);
    const bool caught = row.kinds & kind;
    CHECK(m.stopped_at() == (caught ? kCode : 0));
    if (caught) {
      CHECK(m.hart.x[a0] == 77);
      CHECK(m.peek<uint64_t>(kData) == 5);
      CHECK((m.tdata1(0) & 1 << 22) != 0);  // hit0: before
    }
  }
}

TEST_CASE("A watchpoint with a size catches accesses of that size only") {
  Debugged m;
  m.put(kCode, {lw(a0, a1, 0), ld(a0, a1, 0), wfi()});
  m.hart.x[a1] = kData;
  m.arm(0, kType6 | 5 << 16 | kM | kLoad, kData);
  m.run(kCode);
  CHECK(m.stopped_at() == kCode + 4);
  m.hart.csr.mstatus |= kMstatusMie;
  m.arm(0, kType2 | 3 << 16 | kM | kLoad, kData);
  m.run(kCode);
  CHECK(m.stopped_at() == kCode);
}

TEST_CASE("An access across pages is caught in either page") {
  for (const uint64_t address : {kData + 0xffe, kData + 0x1001}) {
    Debugged m;
    m.put(kCode, {ld(a0, a1, 0), wfi()});
    m.hart.x[a1] = kData + 0xffc;
    m.run(kCode);
    m.arm(0, kType6 | kM | kLoad, address);
    m.run(kCode);
    CHECK(m.stopped_at() == kCode);
    CHECK(m.hart.csr.mtval == kData + 0xffc);
  }
}

TEST_CASE("Triggers work in the modes that they name") {
  BareHart h;
  h.open_pmp();
  const auto caught = [&](Priv priv, uint64_t status) {
    h.hart.csr.mstatus = status;
    h.enter(priv);
    uint64_t value;
    return !h.mmu->load(kData, 8, value);
  };
  // With interrupts on, and off as in code that has never turned them on (there as QEMU does).
  const uint64_t status = GENERATE(as<uint64_t>{}, kMstatusMie | kMstatusSie, 0);
  const uint64_t delegated = GENERATE(0, 8);
  for (const uint64_t mode : {kM, kS, kU}) {
    h.enter(Priv::kMachine);
    REQUIRE(h.csrw(0x302, delegated));
    REQUIRE(h.csrw(kTdata1, kType6 | mode | kLoad));
    REQUIRE(h.csrw(kTdata2, kData));
    CHECK(caught(Priv::kMachine, status) == (mode == kM));
    CHECK(caught(Priv::kSupervisor, status) == (mode == kS));
    CHECK(caught(Priv::kUser, status) == (mode == kU));
  }
}

TEST_CASE("Triggers leave a handler alone until it returns or turns interrupts on") {
  const bool supervisor = GENERATE(true, false);
  const uint64_t enable = supervisor ? kMstatusSie : kMstatusMie;
  BareHart h;
  h.open_pmp();
  REQUIRE(h.csrw(0x302, supervisor ? 1 << 3 | 1 << 8 : 0));  // medeleg: breakpoint, U-mode ecall
  REQUIRE(h.csrw(kTdata1, kType6 | (supervisor ? kS : kM) | kLoad));
  REQUIRE(h.csrw(kTdata2, kData));
  const auto caught = [&] {
    uint64_t value;
    return !h.mmu->load(kData, 8, value);
  };
  const auto leave = [&] { return supervisor ? exec_sret(h.hart, 0) : exec_mret(h.hart, 0); };
  // Any trap, not only a trigger's.
  h.enter(Priv::kUser);
  exec_ecall(h.hart);
  take_exception(h.hart);
  REQUIRE(h.hart.priv == (supervisor ? Priv::kSupervisor : Priv::kMachine));
  CHECK_FALSE(caught());
  h.hart.csr.mstatus |= enable;
  CHECK(caught());
  h.hart.csr.mstatus &= ~enable;
  CHECK_FALSE(caught());
  REQUIRE(leave() == SysResult::kRedirect);
  h.enter(supervisor ? Priv::kSupervisor : Priv::kMachine);
  REQUIRE(caught());
  take_exception(h.hart);
  CHECK_FALSE(caught());
  REQUIRE(leave() == SysResult::kRedirect);
  CHECK(caught());
}

}  // namespace hv::test
