// sstatus in compiled code: what the interpreter makes of it, over what can be written, the state
// before and the privileges.
#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <tuple>
#include <vector>

#include "cpu/csr.h"
#include "cpu/page_table.h"
#include "cpu/pmp.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kCode = TestMachine::kRam + 0x10000, kSlot = 64;

constexpr uint32_t csr_op(uint32_t function, Reg rd, uint32_t rs1) {
  return i_type(static_cast<int32_t>(kSstatus), Reg{rs1}, function, rd, 0x73);
}

// Ends run() at an ecall of S-mode.
struct Stop final : EnvironmentCalls {
  SysResult supervisor_ecall(Hart& hart) override {
    hart.requests.fetch_or(kReqPark);
    return SysResult::kNext;
  }
};

struct StatusMachine : JitMachine {
  explicit StatusMachine(std::optional<JitOptions> options) : JitMachine(options) {
    hart.sbi = &stop;
    hart.csr.pmpaddr[0] = ~0ull >> 10;
    hart.csr.pmpcfg[0] = kPmpNapot | kPmpAll;
    mmu->flush_all();
  }
  Stop stop;
};

std::vector<uint32_t> accesses() {
  std::vector<uint32_t> words;
  for (const Reg rd : {zero, a0, a1}) {
    for (const uint32_t zimm : {0u, 1u, 2u, 3u, 18u, 31u})
      for (const uint32_t function : {5u, 6u, 7u}) words.push_back(csr_op(function, rd, zimm));
    for (const uint32_t rs1 : {zero, a1})
      for (const uint32_t function : {1u, 2u, 3u}) words.push_back(csr_op(function, rd, rs1));
  }
  return words;
}

struct State {
  Priv priv;
  uint64_t mstatus, operand, mip, mie;
};

std::vector<State> states() {
  std::vector<State> all;
  const uint64_t statuses[] = {0,
                               kMstatusSie,
                               kMstatusSum,
                               kMstatusSie | kMstatusSum | kMstatusSpie,
                               kMstatusFs | kMstatusSpp | kMstatusMxr,
                               2ull << 13 | kMstatusSie | kMstatusMprv | kMstatusMpp,
                               1ull << 13 | kMstatusMie | kMstatusTvm | kMstatusTw};
  const uint64_t operands[] = {0,
                               kMstatusSie,
                               kMstatusSum,
                               kMstatusSum | kMstatusSie,
                               1ull << 13,
                               kMstatusFs,
                               kMstatusMxr,
                               1ull << 63 | kMstatusSie,
                               1ull << 32 | kMstatusSum,
                               ~0ull};
  for (const Priv priv : {Priv::kUser, Priv::kSupervisor, Priv::kMachine})
    for (const uint64_t mstatus : statuses)
      for (const uint64_t operand : operands) {
        all.push_back({priv, mstatus, operand, 0, 0});
        // What is pending would wake the wfi that ends the others.
        if (priv != Priv::kSupervisor) continue;
        all.push_back({priv, mstatus, operand, kMipSsip, kMipSsip});
        all.push_back({priv, mstatus, operand, kMipSsip, kMipSeip});
      }
  return all;
}

TEST_CASE("compiled code reads and writes sstatus as the interpreter does") {
  StatusMachine interpreted(std::nullopt);
  StatusMachine blocks(JitOptions{.threshold = 0}), paths(JitOptions{.threshold = 1});
  const std::array<StatusMachine*, 3> machines = {&interpreted, &blocks, &paths};
  const std::vector<uint32_t> words = accesses();
  for (size_t i = 0; i < words.size(); ++i)
    for (StatusMachine* m : machines)
      m->put(kCode + i * kSlot,
             {addi(a2, a2, 1), words[i], addi(a3, a0, 1), addi(a4, a1, 2), ecall()});
  for (size_t i = 0; i < words.size(); ++i) {
    for (const State& state : states()) {
      using Outcome = std::tuple<std::array<uint64_t, 33>, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint32_t, bool>;
      std::vector<Outcome> outcomes;
      for (StatusMachine* m : machines) {
        Hart& hart = m->hart;
        hart.x.fill(0x1234);
        hart.x[zero] = 0;
        hart.x[a1] = state.operand;
        hart.csr.mstatus = state.mstatus;
        hart.csr.mie = state.mie;
        hart.csr.mideleg = kMipSsip | kMipSeip;
        hart.csr.mcause = hart.csr.mepc = hart.csr.mtval = 0;
        hart.mip.store(state.mip);
        hart.requests.store(0);
        hart.priv = state.priv;
        hart.instret = 0;
        state_changed(hart);
        // It would have been taken.
        if (interrupt_ready(hart)) break;
        m->run(kCode + i * kSlot);
        hart.x[kRegSink] = 0;
        const TlbEntry* const tlb = hart.data_tlb;
        const bool fp = hart.fp_enabled;
        state_changed(hart);
        const bool in_step = tlb == hart.data_tlb && fp == hart.fp_enabled;
        outcomes.push_back({hart.x, hart.pc, hart.csr.mstatus, hart.instret, hart.csr.mcause,
                            hart.csr.mtval, hart.requests.load(), in_step});
      }
      if (outcomes.empty()) continue;
      INFO(std::hex << words[i] << " in mode " << static_cast<int>(state.priv) << ", mstatus "
                    << state.mstatus << ", operand " << state.operand << ", pending " << state.mip
                    << ", enabled " << state.mie);
      REQUIRE(std::get<7>(outcomes[0]));
      REQUIRE(outcomes[1] == outcomes[0]);
      REQUIRE(outcomes[2] == outcomes[0]);
    }
  }
}

// A request that stands when interrupts go on is looked at there: it may be the timer's.
TEST_CASE("compiled code leaves for a request when it sets SIE") {
  StatusMachine m(JitOptions{.threshold = 1});
  m.put(kCode, {csr_op(6, zero, 2), addi(a3, a3, 1), ecall()});
  const auto run = [&] {
    m.hart.requests.store(0);
    m.hart.csr.mstatus = 0;
    m.hart.priv = Priv::kSupervisor;
    m.hart.x[a3] = 0;
    state_changed(m.hart);
    return m.run(kCode);
  };
  for (int turn = 0; turn < 3; ++turn) REQUIRE(run() == EngineExit::kRequest);
  CHECK(m.hart.x[a3] == 1);
  CHECK((m.hart.csr.mstatus & kMstatusSie));
}

// The accesses have one base, so that they would share an address but for SUM.
TEST_CASE("compiled code finds a program's page as long as SUM is set") {
  StatusMachine m(JitOptions{.threshold = GENERATE(0u, 1u)});
  constexpr uint64_t kRoot = TestMachine::kRam + 0x20000;
  const auto leaf = [](uint64_t physical, uint64_t bits) { return physical >> 12 << 10 | bits; };
  // Sv39: a gigabyte of the kernel's where RAM is, and one of the program's below.
  constexpr uint64_t kAll = 0xcf;  // D, A, X, W, R, V
  m.poke<uint64_t>(kRoot + 2 * 8, leaf(0x8000'0000, kAll));
  m.poke<uint64_t>(kRoot + 1 * 8, leaf(0x8000'0000, kAll | 0x10));
  m.poke<uint64_t>(TestMachine::kRam + 0x800, 77);
  const uint64_t sum = kMstatusSum;
  m.put(kCode, {csr_op(2, zero, a1), ld(a2, a0, 0), sd(a2, a0, 8), csr_op(3, zero, a1),
                addi(a4, a4, 1), bne(a4, a5, -20), ld(a3, a0, 0), ecall()});
  m.hart.csr.medeleg = 0;
  m.hart.csr.satp = 8ull << 60 | kRoot >> 12;
  m.hart.csr.mstatus = 0;
  m.hart.priv = Priv::kSupervisor;
  m.hart.x[a0] = 0x4000'0800;
  m.hart.x[a1] = sum;
  m.hart.x[a5] = 40;
  state_changed(m.hart);
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  CHECK(m.hart.csr.mcause == static_cast<uint64_t>(Cause::kLoadPageFault));
  CHECK(m.hart.csr.mepc == kCode + 24);
  CHECK(m.hart.x[a2] == 77);
  CHECK(m.hart.x[a4] == 40);
  CHECK(m.peek<uint64_t>(TestMachine::kRam + 0x808) == 77);
}

}  // namespace
}  // namespace hv::test
