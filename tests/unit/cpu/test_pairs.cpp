// Two ops in one handler do what they do one after the other: each pair of cpu/interp/pairs.inc is
// run in a block and, from the same state, by single steps, which never pair.
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <string_view>

#include "cpu/isa/rows.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

constexpr uint64_t kCode = TestMachine::kRam + 0x80'0000;
constexpr uint64_t kScratch = TestMachine::kRam + 0x1000, kScratchBytes = 0x1000;

struct Pair {
  std::string_view name;
  Op first, second;
};
constexpr Pair kPairs[] = {
#define PAIR(first, second) {#first " " #second, Op::first, Op::second},
#include "cpu/interp/pairs.inc"
};

const isa::Row& base_row(Op op) {
  for (const isa::Row& row : isa::kRows)
    if (row.op == op && row.length == 4) return row;
  throw std::logic_error("no row");
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t operator()() { return engine_(); }
  uint32_t word(Op op) {
    const isa::Row& row = base_row(op);
    return row.match | (static_cast<uint32_t>(engine_()) & ~row.mask);
  }

 private:
  std::mt19937_64 engine_;
};

// Registers that are often valid data addresses, so that some accesses hit and some fault.
void set_state(TestMachine& m, uint64_t seed) {
  Random random(seed);
  for (unsigned i = 1; i < 32; ++i)
    m.hart.x[i] = random() % 4 ? kScratch + 0x800 + random() % 0x100 * 8 : random();
  for (uint64_t at = kScratch; at < kScratch + kScratchBytes; at += 8) m.poke(at, random());
}

struct Outcome {
  std::array<uint64_t, 33> x;
  uint64_t instret, cause, epc, tval;
  std::array<uint64_t, kScratchBytes / 8> memory;

  explicit Outcome(TestMachine& m)
      : x(m.hart.x),
        instret(m.hart.instret),
        cause(m.hart.csr.mcause),
        epc(m.hart.csr.mepc),
        tval(m.hart.csr.mtval) {
    x[kRegSink] = 0;
    for (size_t i = 0; i < memory.size(); ++i) memory[i] = m.peek<uint64_t>(kScratch + i * 8);
  }
  bool operator==(const Outcome&) const = default;
};

TEST_CASE("a pair of ops does what its ops do one after the other") {
  TestMachine paired, single;
  Random random(2026);
  for (const Pair& pair : kPairs) {
    unsigned plain_ends = 0;
    for (unsigned turn = 0; turn < 60; ++turn) {
      const uint32_t first = random.word(pair.first), second = random.word(pair.second);
      const uint64_t seed = random();
      for (TestMachine* m : {&paired, &single}) {
        set_state(*m, seed);
        // RAM around it is zero, so whatever follows traps as illegal.
        m->put(kCode, {first, second, 0});
        m->engine->fence_i();
        m->hart.pc = kCode;
        m->hart.instret = 0;
      }
      // Both ops, the trap behind them, and the trap vector's wfi. Ways into data or back are left
      // out.
      for (unsigned steps = 0; steps < 4 && !single.trapped(); ++steps)
        single.engine->step(single.hart);
      if (!single.trapped()) continue;
      paired.engine->run(paired.hart);
      INFO(pair.name << ": " << std::hex << first << ' ' << second << " seed " << seed);
      REQUIRE(paired.trapped());
      REQUIRE(Outcome(paired) == Outcome(single));
      plain_ends += single.hart.csr.mepc == kCode + 8;
    }
    INFO(pair.name);
    if (!op_has(pair.second, op_flags::kJump)) CHECK(plain_ends > 0);
  }
}

}  // namespace
}  // namespace hv::test
