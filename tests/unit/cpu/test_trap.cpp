// Expected results: privileged specification 3.1.6 to 3.1.9, 3.1.15, 3.3, 4.1.
#include <catch2/catch.hpp>

#include "cpu/trap.h"
#include "tests/unit/cpu/bare_hart.h"

using namespace hv;
using hv::test::BareHart;

namespace {

constexpr Priv kU = Priv::kUser, kS = Priv::kSupervisor, kM = Priv::kMachine;
constexpr uint64_t kPc = 0x8000'1234, kMtvec = 0x8000'4000, kStvec = 0x8000'8000;
constexpr uint64_t kInterrupt = 1ull << 63;

struct Trapped : BareHart {
  Trapped() {
    hart.pc = kPc;
    hart.csr.mtvec = kMtvec;
    hart.csr.stvec = kStvec;
  }
  void except(Cause cause, uint64_t tval) {
    hart.raise(cause, tval);
    take_exception(hart);
  }
};

}  // namespace

TEST_CASE("Delegation: every exception from every privilege, delegated or not") {
  for (const unsigned code : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 12u, 13u, 15u}) {
    for (const Priv from : {kU, kS, kM}) {
      for (const bool delegate : {false, true}) {
        Trapped t;
        INFO("cause " << code << " from " << static_cast<int>(from) << " delegated " << delegate);
        REQUIRE(debug_write_csr(t.hart, 0x302, delegate ? 1ull << code : ~(1ull << code)));
        t.enter(from);
        t.except(static_cast<Cause>(code), 0x55aa);
        if (delegate && from != kM) {
          CHECK(t.hart.priv == kS);
          CHECK(t.hart.pc == kStvec);
          CHECK(t.hart.csr.scause == code);
          CHECK(t.hart.csr.sepc == kPc);
          CHECK(t.hart.csr.stval == 0x55aa);
          CHECK(((t.hart.csr.mstatus & kMstatusSpp) != 0) == (from == kS));
          CHECK(t.hart.csr.mepc == 0);
        } else {
          CHECK(t.hart.priv == kM);
          CHECK(t.hart.pc == kMtvec);
          CHECK(t.hart.csr.mcause == code);
          CHECK(t.hart.csr.mepc == kPc);
          CHECK(t.hart.csr.mtval == 0x55aa);
          CHECK((t.hart.csr.mstatus & kMstatusMpp) >> 11 == static_cast<uint64_t>(from));
          CHECK(t.hart.csr.sepc == 0);
        }
      }
    }
  }
}

TEST_CASE("A trap stacks the enables of its destination only, and a return unstacks them") {
  const bool enabled = GENERATE(false, true);
  Trapped t;
  t.hart.csr.mstatus = enabled ? kMstatusMie | kMstatusSie : kMstatusMpie | kMstatusSpie;
  t.hart.csr.medeleg = 1 << 8;
  t.enter(kU);
  t.except(Cause::kEcallUser, 0);
  CHECK((t.hart.csr.mstatus & (kMstatusSie | kMstatusSpie)) == (enabled ? kMstatusSpie : 0));
  CHECK((t.hart.csr.mstatus & (kMstatusMie | kMstatusMpie)) ==
        (enabled ? kMstatusMie : kMstatusMpie));
  CHECK(exec_sret(t.hart, 0) == SysResult::kRedirect);
  CHECK(t.hart.priv == kU);
  CHECK(t.hart.pc == kPc);
  CHECK((t.hart.csr.mstatus & (kMstatusSie | kMstatusSpie)) ==
        (enabled ? kMstatusSie | kMstatusSpie : kMstatusSpie));

  t.enter(kS);
  t.except(Cause::kIllegalInstruction, 0);
  CHECK((t.hart.csr.mstatus & (kMstatusMie | kMstatusMpie)) == (enabled ? kMstatusMpie : 0));
  CHECK(exec_mret(t.hart, 0) == SysResult::kRedirect);
  CHECK(t.hart.priv == kS);
  CHECK((t.hart.csr.mstatus & (kMstatusMie | kMstatusMpie)) ==
        (enabled ? kMstatusMie | kMstatusMpie : kMstatusMpie));
  CHECK((t.hart.csr.mstatus & kMstatusMpp) == 0);
}

TEST_CASE("Returns clear MPRV unless they return to M-mode") {
  for (const Priv to : {kU, kS, kM}) {
    Trapped t;
    t.hart.csr.mstatus = kMstatusMprv | static_cast<uint64_t>(to) << 11;
    t.enter(kM);
    CHECK(exec_mret(t.hart, 0) == SysResult::kRedirect);
    CHECK(t.hart.priv == to);
    CHECK(((t.hart.csr.mstatus & kMstatusMprv) != 0) == (to == kM));
  }
  Trapped t;
  t.hart.csr.mstatus = kMstatusMprv | kMstatusSpp;
  t.enter(kM);
  CHECK(exec_sret(t.hart, 0) == SysResult::kRedirect);
  CHECK(t.hart.priv == kS);
  CHECK((t.hart.csr.mstatus & (kMstatusMprv | kMstatusSpp)) == 0);
}

TEST_CASE("Privileged instructions where they are not allowed") {
  Trapped t;
  auto illegal = [&](SysResult result) {
    return result == SysResult::kException &&
           t.hart.exception_cause == Cause::kIllegalInstruction && t.hart.exception_tval == 99;
  };
  for (const Priv priv : {kU, kS}) {
    t.enter(priv);
    CHECK(illegal(exec_mret(t.hart, 99)));
  }
  t.enter(kU);
  CHECK(illegal(exec_sret(t.hart, 99)));
  CHECK(illegal(exec_wfi(t.hart, 99)));
  t.hart.csr.mstatus = kMstatusTsr | kMstatusTw;
  t.enter(kS);
  CHECK(illegal(exec_sret(t.hart, 99)));
  CHECK(illegal(exec_wfi(t.hart, 99)));
  t.enter(kM);
  CHECK(exec_wfi(t.hart, 99) == SysResult::kWait);
  CHECK(exec_sret(t.hart, 99) == SysResult::kRedirect);
}

TEST_CASE("Environment calls and breakpoints") {
  Trapped t;
  for (const Priv priv : {kU, kS, kM}) {
    t.enter(priv);
    CHECK(exec_ecall(t.hart) == SysResult::kException);
    CHECK(static_cast<unsigned>(t.hart.exception_cause) == 8 + static_cast<unsigned>(priv));
    CHECK(t.hart.exception_tval == 0);
  }
  CHECK(exec_ebreak(t.hart) == SysResult::kException);
  CHECK(t.hart.exception_cause == Cause::kBreakpoint);
  CHECK(t.hart.exception_tval == kPc);
}

TEST_CASE("Interrupts come in order of priority") {
  Trapped t;
  REQUIRE(debug_write_csr(t.hart, 0x304, ~0ull));
  t.hart.mip = 0xaaa;
  for (const unsigned code : {11u, 3u, 7u, 9u, 1u, 5u}) {
    t.enter(kU);
    REQUIRE(take_interrupt(t.hart));
    CHECK(t.hart.csr.mcause == (kInterrupt | code));
    CHECK(t.hart.csr.mtval == 0);
    t.hart.mip.fetch_and(~(1ull << code));
  }
  t.enter(kU);
  CHECK_FALSE(take_interrupt(t.hart));
}

TEST_CASE("Interrupts not delegated go first, then delegated ones in their order") {
  Trapped t;
  REQUIRE(debug_write_csr(t.hart, 0x304, ~0ull));
  REQUIRE(debug_write_csr(t.hart, 0x303, 0x202));  // SSI and SEI to S; STI stays with M
  t.hart.mip = kMipSsip | kMipStip | kMipSeip;
  t.enter(kU);
  REQUIRE(take_interrupt(t.hart));
  CHECK(t.hart.csr.mcause == (kInterrupt | 5));
  t.hart.mip.fetch_and(~kMipStip);
  t.enter(kU);
  REQUIRE(take_interrupt(t.hart));
  CHECK(t.hart.csr.scause == (kInterrupt | 9));
  CHECK(t.hart.priv == kS);
}

TEST_CASE("When an interrupt is taken, by privilege, enable bit and delegation") {
  struct Row {
    Priv priv;
    bool mie, sie, delegated;
    bool taken;
  };
  // clang-format off
  const Row row = GENERATE(
      Row{kM, 0, 0, 0, 0}, Row{kM, 1, 0, 0, 1}, Row{kM, 0, 1, 0, 0},
      Row{kM, 1, 1, 1, 0},
      Row{kS, 0, 0, 0, 1}, Row{kS, 0, 0, 1, 0}, Row{kS, 1, 0, 1, 0}, Row{kS, 0, 1, 1, 1},
      Row{kU, 0, 0, 0, 1}, Row{kU, 0, 0, 1, 1});
  // clang-format on
  Trapped t;
  t.hart.csr.mie = t.hart.csr.mideleg = kMipSsip;
  if (!row.delegated) t.hart.csr.mideleg = 0;
  t.hart.csr.mstatus = (row.mie ? kMstatusMie : 0) | (row.sie ? kMstatusSie : 0);
  t.enter(row.priv);
  t.hart.mip = kMipSsip;
  CHECK(interrupt_ready(t.hart) == row.taken);
  CHECK(wakes_from_wfi(t.hart));  // whatever the enables in mstatus say
  t.hart.requests = 0;
  request_interrupt_check(t.hart);
  CHECK((t.hart.requests & kReqInterrupt) == (row.taken ? kReqInterrupt : 0u));
  CHECK(take_interrupt(t.hart) == row.taken);
  CHECK(t.hart.priv == (!row.taken ? row.priv : row.delegated ? kS : kM));
}

TEST_CASE("Vectored mode moves interrupts, not exceptions") {
  Trapped t;
  t.hart.csr.mtvec = kMtvec | 1;
  t.hart.csr.stvec = kStvec | 1;
  t.hart.csr.mie = kMipMtip | kMipSeip;
  t.hart.csr.mideleg = kMipSeip;
  t.enter(kU);
  t.except(Cause::kIllegalInstruction, 0);
  CHECK(t.hart.pc == kMtvec);
  t.enter(kU);
  t.hart.mip = kMipMtip;
  REQUIRE(take_interrupt(t.hart));
  CHECK(t.hart.pc == kMtvec + 4 * 7);
  t.enter(kU);
  t.hart.mip = kMipSeip;
  REQUIRE(take_interrupt(t.hart));
  CHECK(t.hart.pc == kStvec + 4 * 9);
}

TEST_CASE("Enabling an interrupt by CSR asks the engine to look") {
  Trapped t;
  t.hart.mip = kMipSsip;
  REQUIRE(debug_write_csr(t.hart, 0x303, kMipSsip));
  t.enter(kS);
  t.hart.requests = 0;
  REQUIRE(t.csrw(0x104, kMipSsip));
  CHECK_FALSE(t.hart.requests & kReqInterrupt);
  REQUIRE(t.csrs(0x100, kMstatusSie));
  CHECK(t.hart.requests & kReqInterrupt);
}

TEST_CASE("WFI does not wait when an enabled interrupt is pending") {
  Trapped t;
  t.enter(kS);
  CHECK(exec_wfi(t.hart, 0) == SysResult::kWait);
  t.hart.mip = kMipStip;
  CHECK(exec_wfi(t.hart, 0) == SysResult::kWait);
  t.hart.csr.mie = kMipStip;
  CHECK(exec_wfi(t.hart, 0) == SysResult::kNext);
}

TEST_CASE("Timer bits follow their deadlines and the next one is reported") {
  Trapped t;
  t.clock.resume();
  t.clock.pause();  // stands still at some tick
  const uint64_t now = t.clock.now();
  REQUIRE(debug_write_csr(t.hart, 0x30a, kEnvcfgStce));
  t.hart.mtimecmp = now + 50;
  t.hart.csr.stimecmp = now + 20;
  CHECK(update_timers(t.hart) == now + 20);
  CHECK(t.hart.mip == 0);
  t.hart.csr.stimecmp = now;
  CHECK(update_timers(t.hart) == now + 50);
  CHECK(t.hart.mip == kMipStip);
  t.hart.mtimecmp = 0;
  CHECK(update_timers(t.hart) == ~0ull);
  CHECK(t.hart.mip == (kMipStip | kMipMtip));
  t.hart.requests = 0;
  set_stimecmp(t.hart, now + 5);
  CHECK(t.hart.mip == kMipMtip);
  CHECK(t.hart.requests & kReqTimer);
}

TEST_CASE("Reset leaves what section 3.4 asks for") {
  Trapped t;
  t.hart.csr.mstatus = ~0ull;
  t.hart.csr.satp = 8ull << 60;
  t.hart.x[5] = 1;
  t.enter(kU);
  reset_hart(t.hart, 0x1000);
  CHECK(t.hart.priv == kM);
  CHECK(t.hart.pc == 0x1000);
  CHECK((t.hart.csr.mstatus & (kMstatusMie | kMstatusMprv)) == 0);
  CHECK(t.hart.csr.satp == 0);
  CHECK(t.hart.csr.mcause == 0);
  CHECK_FALSE(t.hart.fp_enabled);
  CHECK(t.hart.x[5] == 0);
}
