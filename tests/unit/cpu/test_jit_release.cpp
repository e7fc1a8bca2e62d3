// What harts let go of when compiled code is to make room, or when others want to watch a page.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <span>
#include <vector>

#include "cpu/vcpu.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"
#include "tests/unit/cpu/scripted_harts.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kCode = TestMachine::kRam + 0x10000, kPage = GuestMemory::kPageSize;

// Places of other pages that lead to code in `page`, and returns to there, that compiled code
// knows.
size_t ways(const Hart& hart, uint64_t page) {
  const std::span places(hart.native_places, kNativePlaces);
  return static_cast<size_t>(std::ranges::count_if(
             places, [&](const NativePlace& p) { return p.code && p.page == page; })) +
         static_cast<size_t>(std::ranges::count_if(
             hart.native_returns,
             [&](const Hart::NativeReturn& r) { return r.link && (r.pc & kPageMask) == page; }));
}

TEST_CASE("a hart keeps its ways when it is asked to let go and nothing drains") {
  JitMachine m(JitOptions{.threshold = 1});
  // A loop that calls a function of another page.
  m.put(kCode, {jalr(ra, a1, 0), addi(a0, a0, -1), bne(a0, zero, -8), wfi()});
  m.put(kCode + kPage, {addi(a2, a2, 1), jalr(zero, ra, 0)});
  m.hart.x[a0] = 50;
  m.hart.x[a1] = kCode + kPage;
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  REQUIRE(m.hart.x[a2] == 50);
  const size_t before = ways(m.hart, kCode);
  REQUIRE(before > 0);
  m.engine->release_code();
  CHECK(ways(m.hart, kCode) == before);
}

TEST_CASE("a hart has no ways to code that drains") {
  JitMachine m(JitOptions{.threshold = 0, .code_bytes = 8192});
  m.put(kCode, {jalr(ra, a1, 0), addi(a0, a0, -1), bne(a0, zero, -8), wfi()});
  m.put(kCode + kPage, {addi(a2, a2, 1), jalr(zero, ra, 0)});
  m.hart.x[a0] = 50;
  m.hart.x[a1] = kCode + kPage;
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  REQUIRE(ways(m.hart, kCode) > 0);
  // Blocks of one instruction, until the first region drains.
  const uint64_t other = kCode + 4 * kPage;
  for (uint64_t at = other; at < other + 400 * 8; at += 8)
    m.put(at, {addi(a3, a3, 1), jal(zero, 4)});
  m.put(other + 400 * 8, {wfi()});
  for (int turn = 0; turn < 3; ++turn) REQUIRE(m.run(other) == EngineExit::kWait);
  CHECK(m.hart.x[a3] == 1200);
  CHECK(ways(m.hart, kCode) == 0);
}

// Harts call through tables of functions whose code does not fit, so that regions drain all the
// time while harts look for the code of places, link it and return.
TEST_CASE("harts that run while code drains under them compute what they should") {
  constexpr unsigned kHarts = 3, kFunctions = 300, kRounds = 300;
  const CpuConfig config = CpuConfig::parse("rv64").value();
  const auto memory = GuestMemory::create(TestMachine::kRam, 16 << 20).value();
  MmioMap mmio;
  mmio.freeze();
  GuestClock clock;
  const auto word = [&](uint64_t at, uint32_t value) { REQUIRE(memory->write(at, &value, 4)); };
  // Functions of 64 bytes, one behind the other over several pages: each adds one and returns. The
  // loop calls them in turn and is itself a function, so that returns nest.
  const uint64_t functions = kCode + 2 * kPage;
  for (unsigned i = 0; i < kFunctions; ++i) {
    const uint64_t at = functions + i * 64;
    word(at, addi(a0, a0, 1));
    word(at + 4, jalr(zero, ra, 0));
  }
  const std::vector<uint32_t> loop = {
      addi(t2, ra, 0),  addi(a2, a1, 0),  addi(a3, zero, kFunctions), jalr(ra, a2, 0),
      addi(a2, a2, 64), addi(a3, a3, -1), bne(a3, zero, -12),         jalr(zero, t2, 0),
  };
  for (size_t i = 0; i < loop.size(); ++i) word(kCode + kPage + i * 4, loop[i]);
  const std::vector<uint32_t> main = {jalr(ra, a4, 0), addi(a5, a5, -1), bne(a5, zero, -8), wfi(),
                                      jal(zero, -4)};
  for (size_t i = 0; i < main.size(); ++i) word(kCode + i * 4, main[i]);

  const unsigned threshold = GENERATE(1u, 4u);
  auto set = VcpuSet::create({.count = kHarts,
                              .cpu = &config,
                              .memory = memory.get(),
                              .mmio = &mmio,
                              .clock = &clock,
                              .make_engine = jit_engines({.threshold = threshold,
                                                          .code_bytes = 12 << 10,
                                                          .background = threshold > 1})})
                 .value();
  set->set_reset_hook([&](Hart& hart) {
    hart.pc = kCode;
    hart.x[a1] = functions;
    hart.x[a4] = kCode + kPage;
    hart.x[a5] = kRounds;
    return true;
  });
  set->reset_all();
  clock.resume();
  set->resume_all();
  std::array<uint64_t, kHarts> sums{}, left{};
  for (unsigned i = 0; i < kHarts; ++i) {
    do {
      set->at(i).run_on_and_wait([&](Hart& hart) {
        left[i] = hart.x[a5];
        sums[i] = hart.x[a0];
      });
    } while (left[i] != 0);
    CHECK(sums[i] == uint64_t{kFunctions} * kRounds);
  }
}

}  // namespace
}  // namespace hv::test
