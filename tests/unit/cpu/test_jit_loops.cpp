// Loops whose addresses go on by a step in each round, compiled and interpreted: over pages' ends,
// into faults, with accesses to one page by several registers.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"

namespace hv::test {
namespace {

using namespace rv;

// The code is too far from where loops begin for them to reach it.
constexpr uint64_t kRamBytes = 4 << 20;
constexpr uint64_t kCode = TestMachine::kRam + kRamBytes / 2, kTrap = kCode + 0x1000,
                   kEnd = TestMachine::kRam + kRamBytes;

// x5 to x7 step, x8 stays the same; x9 counts down.
constexpr Reg kPointers[] = {Reg{5}, Reg{6}, Reg{7}, Reg{8}};
constexpr int kSteps[] = {1,  2,   3,  4,  8,  8,  8,   16,   24, 56,
                          64, 256, -1, -4, -8, -8, -24, -256, 0,  300};

class Program {
 public:
  explicit Program(uint32_t seed) : random_(seed) {
    for (int& step : steps_) step = kSteps[random_() % std::size(kSteps)];
    steps_[3] = 0;
    const unsigned count = 1 + random_() % 6;
    // Some pointers go on in the middle of a round.
    const unsigned early = random_() % 5;
    for (unsigned i = 0; i < count; ++i) {
      if (i == count / 2 && early < 3) advance(early);
      access();
      if (random_() % 3 == 0) words_.push_back(add(Reg{18}, Reg{18}, Reg{12 + random() % 4}));
    }
    for (unsigned i = 0; i < 3; ++i)
      if (i != early) advance(i);
    words_.push_back(addi(Reg{9}, Reg{9}, -1));
    words_.push_back(bne(Reg{9}, zero, -4 * static_cast<int32_t>(words_.size())));
    words_.push_back(wfi());
  }
  const std::vector<uint32_t>& words() const { return words_; }
  uint32_t random() { return static_cast<uint32_t>(random_()); }

 private:
  void advance(unsigned i) { words_.push_back(addi(kPointers[i], kPointers[i], steps_[i])); }
  void access() {
    const Reg pointer = kPointers[random_() % 4];
    const int32_t offset = static_cast<int32_t>(random_() % 160) - 80;
    const uint32_t x = 12 + random() % 4, f = random() % 6;
    switch (random_() % 8) {
      case 0:
        words_.push_back(i_type(offset, pointer, random() % 7, x, 0x03));  // lb to lwu
        break;
      case 1:
      case 2:
        words_.push_back(s_type(offset, random() % 2 ? 18 : x, pointer, random() % 4, 0x23));
        break;
      case 3:
        words_.push_back(i_type(offset, pointer, 2 + random() % 2, f, 0x07));  // flw, fld
        break;
      case 4:
        words_.push_back(s_type(offset, f, pointer, 2 + random() % 2, 0x27));  // fsw, fsd
        break;
      case 5:
        words_.push_back(fadd_d(f, random() % 6, random() % 6));
        break;
      case 6:  // fadd.s
        words_.push_back(r_type(0, random() % 6, random() % 6, 7, f, 0x53));
        break;
      default:
        words_.push_back(ld(Reg{x}, pointer, offset));
        break;
    }
  }

  std::mt19937 random_;
  int steps_[4];
  std::vector<uint32_t> words_;
};

struct Start {
  uint64_t pointers[4];
  uint64_t rounds;
};

void set(JitMachine& m, const Start& start) {
  Hart& hart = m.hart;
  for (size_t i = 1; i < 32; ++i) {
    hart.x[i] = i * 0x0101'0101'0101;
    hart.f[i] = i % 2 ? ~0ull << 32 | 0x3f80'0000 + (i << 20) : 0x3ff0'0000'0000'0000 + (i << 48);
  }
  hart.f[0] = 0x4000'0000'0000'0001;
  for (size_t i = 0; i < std::size(kPointers); ++i) hart.x[kPointers[i]] = start.pointers[i];
  hart.x[9] = start.rounds;
  hart.fflags = 0;
  hart.csr.mstatus = (hart.csr.mstatus & ~kMstatusFs) | 1ull << 13;
  hart.csr.mtvec = kTrap;
  hart.csr.mcause = hart.csr.mtval = hart.csr.mepc = 0;
  hart.instret = 0;
  hart.pc = kCode;
  state_changed(hart);
}

std::string difference(JitMachine& interpreted, JitMachine& compiled) {
  const Hart &want = interpreted.hart, &got = compiled.hart;
  std::string text;
  const auto compare = [&](const std::string& name, uint64_t a, uint64_t b) {
    char line[96];
    if (a == b) return;
    std::snprintf(line, sizeof line, "%s: interpreter %llx, compiled %llx\n", name.c_str(),
                  static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
    text += line;
  };
  for (size_t i = 0; i < 32; ++i) {
    compare("x" + std::to_string(i), want.x[i], got.x[i]);
    compare("f" + std::to_string(i), want.f[i], got.f[i]);
  }
  compare("pc", want.pc, got.pc);
  compare("instret", want.instret, got.instret);
  compare("mcause", want.csr.mcause, got.csr.mcause);
  compare("mtval", want.csr.mtval, got.csr.mtval);
  compare("mepc", want.csr.mepc, got.csr.mepc);
  compare("mstatus", want.csr.mstatus, got.csr.mstatus);
  compare("fflags", want.fflags, got.fflags);
  const uint8_t* a = interpreted.memory->host(TestMachine::kRam, kRamBytes);
  const uint8_t* b = compiled.memory->host(TestMachine::kRam, kRamBytes);
  if (std::memcmp(a, b, kRamBytes) == 0) return text;
  const ptrdiff_t at = std::mismatch(a, a + kRamBytes, b).first - a;
  compare("memory at " + std::to_string(at), a[at], b[at]);
  return text;
}

struct Pair {
  JitMachine interpreted{std::nullopt, kRamBytes};
  JitMachine compiled{JitOptions{.threshold = 1}, kRamBytes};

  void each(auto&& fn) {
    fn(interpreted);
    fn(compiled);
  }
  std::string run(const Start& start) {
    each([&](JitMachine& m) {
      set(m, start);
      m.engine->run(m.hart);
      m.hart.x[kRegSink] = 0;
    });
    return difference(interpreted, compiled);
  }
};

TEST_CASE("loops that step through memory are the same compiled and interpreted") {
  Pair machines;
  machines.each([](JitMachine& m) { m.put(kTrap, {wfi()}); });
  // The first instruction of 11151 that changes FS raises an exception instead.
  std::vector<uint32_t> seeds(400, 11151);
  std::iota(seeds.begin() + 1, seeds.end(), 1);
  for (const uint32_t seed : seeds) {
    Program program(seed);
    machines.each([&](JitMachine& m) {
      uint64_t at = kCode;
      for (const uint32_t word : program.words()) m.poke(at, word), at += 4;
      m.engine->fence_i();
    });
    for (unsigned number = 0; number < 12; ++number) {
      // Some begin near the ends of RAM, where a fault ends them. Three more ways of beginning
      // than pages that all pointers share: near a page's end, misaligned, and at one address.
      Start start{.pointers = {}, .rounds = 1 + program.random() % (number % 3 ? 40 : 1500)};
      for (uint64_t& pointer : start.pointers) {
        const uint32_t where = program.random();
        pointer = where % 16 == 0   ? TestMachine::kRam + program.random() % 0x3000
                  : where % 16 == 1 ? kEnd - 0x1000 - program.random() % 0x3000
                                    : TestMachine::kRam + 0x20000 + program.random() % 0x20000;
        if (where % 4) pointer &= ~7ull;
        if (where % 5 == 0) pointer = (pointer | 0xfff) - program.random() % 64;
        if (where % 7 == 0) pointer = start.pointers[0] ? start.pointers[0] : pointer;
      }
      const std::string text = machines.run(start);
      INFO("seed " << seed << ", run " << number << ", " << start.rounds << " rounds\n" << text);
      REQUIRE(text.empty());
    }
  }
}

}  // namespace
}  // namespace hv::test
