// LR/SC and AMO beside other harts, and their exceptions; a few results named by the specification.
#include <catch2/catch.hpp>
#include <thread>

#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kCode = TestMachine::kRam + 0x1000;
constexpr uint64_t kData = TestMachine::kRam + 0x8000;

// lr.w a0 at a1, stops; sc.w a2 of a3 at a1, stops.
struct Reservation {
  Reservation() {
    m.put(kCode, {lr_w(a0, a1), wfi(), sc_w(a2, a3, a1), wfi()});
    m.hart.x[a1] = kData;
    m.hart.x[a3] = 99;
    m.poke<uint32_t>(kData, 5);
    m.run(kCode);
    CHECK(m.hart.x[a0] == 5);
  }
  // rd of sc: 0 is success.
  uint64_t conditional_store() {
    m.run(kCode + 8);
    return m.hart.x[a2];
  }
  TestMachine m;
};

TEST_CASE("sc stores when nothing happened since lr, once") {
  Reservation r;
  CHECK(r.conditional_store() == 0);
  CHECK(r.m.peek<uint32_t>(kData) == 99);
  r.m.hart.x[a3] = 7;
  CHECK(r.conditional_store() == 1);
  CHECK(r.m.peek<uint32_t>(kData) == 99);
}

TEST_CASE("sc fails after another hart's store of another value") {
  Reservation r;
  r.m.poke<uint32_t>(kData, 6);
  CHECK(r.conditional_store() == 1);
  CHECK(r.m.peek<uint32_t>(kData) == 6);
}

TEST_CASE("sc fails at another address even if the value is the same") {
  Reservation r;
  r.m.poke<uint32_t>(kData + 4, 5);
  r.m.hart.x[a1] = kData + 4;
  CHECK(r.conditional_store() == 1);
  CHECK(r.m.peek<uint32_t>(kData + 4) == 5);
}

TEST_CASE("misaligned and unmapped atomics raise store or load exceptions") {
  TestMachine m;
  struct Case {
    uint32_t word;
    uint64_t address;
    uint64_t cause;
  };
  const Case cases[] = {
      {amoadd_w(a0, a1, a2), kData + 2, 6},
      {lr_d(a0, a2), kData + 4, 4},
      {sc_d(a0, a1, a2), kData + 4, 6},
      {amoadd_w(a0, a1, a2), 0x1000, 7},
      {lr_w(a0, a2), 0x1000, 5},
      {sc_w(a0, a1, a2), 0x1000, 7},
  };
  for (const Case& c : cases) {
    m.put(kCode, {c.word});
    m.engine->fence_i();
    m.hart.x[a2] = c.address;
    m.run(kCode);
    INFO("address " << c.address);
    REQUIRE(m.trapped());
    CHECK(m.hart.csr.mcause == c.cause);
    CHECK(m.hart.csr.mtval == c.address);
  }
}

TEST_CASE("two harts count without loss") {
  TestMachine first;
  TestMachine second(first);
  constexpr int32_t kTurns = 2000;
  SECTION("by amoadd") {
    first.put(kCode, {addi(a0, a0, -1), amoadd_w(zero, a1, a2), bne(a0, zero, -8), wfi()});
  }
  SECTION("by lr and sc") {
    first.put(kCode, {addi(a0, a0, -1), lr_w(t0, a2), add(t0, t0, a1), sc_w(t1, t0, a2),
                      bne(t1, zero, -12), bne(a0, zero, -20), wfi()});
  }
  SECTION("under a lock that amoor takes and amomin gives back") {
    first.put(kCode,
              {addi(a0, a0, -1), amoor_w(t0, a1, a3), bne(t0, zero, -4), lw(t1, a2, 0),
               add(t1, t1, a1), sw(t1, a2, 0), amomin_w(t0, zero, a3), bne(a0, zero, -28), wfi()});
  }
  for (TestMachine* m : {&first, &second}) {
    m->hart.x[a0] = kTurns;
    m->hart.x[a1] = 1;
    m->hart.x[a2] = kData;
    m->hart.x[a3] = kData + 64;
  }
  std::thread other([&] { second.run(kCode); });
  first.run(kCode);
  other.join();
  CHECK(first.peek<uint32_t>(kData) == 2 * kTurns);
}

TEST_CASE("division by zero and overflow give the specification's values") {
  TestMachine m;
  constexpr uint64_t kMin64 = 1ull << 63, kMin32 = 0xffff'ffff'8000'0000, kOnes = ~0ull;
  m.hart.x[t0] = kMin64;
  m.hart.x[t1] = kOnes;
  m.hart.x[t2] = kMin32;
  m.put(kCode, {div(a0, t0, t1), rem(a1, t0, t1), div(a2, t0, zero), rem(a3, t0, zero),
                divw(a4, t2, t1), remw(a5, t2, t1), divw(a6, t2, zero), remw(a7, t2, zero), wfi()});
  m.run(kCode);
  CHECK(m.hart.x[a0] == kMin64);
  CHECK(m.hart.x[a1] == 0);
  CHECK(m.hart.x[a2] == kOnes);
  CHECK(m.hart.x[a3] == kMin64);
  CHECK(m.hart.x[a4] == kMin32);
  CHECK(m.hart.x[a5] == 0);
  CHECK(m.hart.x[a6] == kOnes);
  CHECK(m.hart.x[a7] == kMin32);
}

TEST_CASE("ctzw of a low word of zero is 32 whatever is above") {
  TestMachine m;
  m.hart.x[t0] = 1ull << 40;
  m.put(kCode, {ctzw(a0, t0), ctzw(a1, zero), wfi()});
  m.run(kCode);
  CHECK(m.hart.x[a0] == 32);
  CHECK(m.hart.x[a1] == 32);
}

// Zacas, "Word/Doubleword/Quadword CAS".
TEST_CASE("amocas.w and .d compare with rd, store rs2 when equal, and return what was there") {
  TestMachine m("rv64,zacas=on");
  m.put(kCode, {amocas(2, a0, a2, a1), amocas(3, a3, a2, a1), wfi()});
  m.poke<uint64_t>(kData, 0x11111111'87654321);
  m.hart.x[a1] = kData;
  m.hart.x[a2] = 0x22222222'33333333;
  m.hart.x[a0] = 0x99999999'87654321;  // the low half counts
  m.hart.x[a3] = 0x11111111'33333334;
  m.run(kCode);
  CHECK(m.hart.x[a0] == 0xffffffff'87654321);
  CHECK(m.hart.x[a3] == 0x11111111'33333333);  // unequal: not stored
  CHECK(m.peek<uint64_t>(kData) == 0x11111111'33333333);
  m.run(kCode + 4);
  CHECK(m.hart.x[a3] == 0x11111111'33333333);
  CHECK(m.peek<uint64_t>(kData) == 0x22222222'33333333);
}

TEST_CASE("amocas with rd = x0 compares with 0, whatever was written to x0 before") {
  TestMachine m("rv64,zacas=on");
  m.put(kCode, {li(zero, 7), amocas(3, zero, a2, a1), amocas(4, zero, a2, a3), wfi()});
  m.hart.x[a1] = kData;
  m.hart.x[a2] = 5;
  m.hart.x[a3] = kData + 16;
  m.run(kCode);
  CHECK_FALSE(m.trapped());
  CHECK(m.peek<uint64_t>(kData) == 5);
  CHECK(m.peek<uint64_t>(kData + 16) == 5);
  CHECK(m.peek<uint64_t>(kData + 24) == kData + 16);  // a3 is the high half of the pair a2
  CHECK(m.hart.x[zero] == 0);
  CHECK(m.hart.x[ra] == 0);
}

TEST_CASE("amocas.q compares and swaps a pair of registers") {
  TestMachine m("rv64,zacas=on");
  m.put(kCode, {amocas(4, a0, a2, t1), amocas(4, a0, zero, t1), wfi()});
  m.hart.x[t1] = kData;
  m.hart.x[ra] = 77;  // not the high half of the pair x0
  m.poke<uint64_t>(kData, 1);
  m.poke<uint64_t>(kData + 8, 2);
  m.hart.x[a0] = 1;
  m.hart.x[a1] = 3;
  m.hart.x[a2] = 10;
  m.hart.x[a3] = 20;
  m.run(kCode);  // the first differs in its high half, the second does not
  CHECK(m.hart.x[a0] == 1);
  CHECK(m.hart.x[a1] == 2);
  CHECK(m.peek<uint64_t>(kData) == 0);
  CHECK(m.peek<uint64_t>(kData + 8) == 0);
  m.hart.x[a0] = m.hart.x[a1] = 0;
  m.run(kCode);
  CHECK(m.hart.x[a0] == 10);
  CHECK(m.hart.x[a1] == 20);
}

TEST_CASE("amocas: odd pairs are reserved, misaligned addresses and read-only memory fault") {
  struct Case {
    uint32_t word;
    uint64_t address, cause;
  };
  const Case c =
      GENERATE(Case{amocas(4, a1, a2, t1), kData, 2}, Case{amocas(4, a0, a3, t1), kData, 2},
               Case{amocas(4, a0, a2, t1), kData + 8, 6}, Case{amocas(3, a0, a2, t1), kData + 4, 6},
               Case{amocas(2, a0, a2, t1), kData + 2, 6}, Case{amocas(4, a0, a2, t1), 0x1000, 7});
  TestMachine m("rv64,zacas=on");
  m.put(kCode, {c.word});
  m.hart.x[t1] = c.address;
  m.run(kCode);
  REQUIRE(m.trapped());
  CHECK(m.hart.csr.mcause == c.cause);
  CHECK(m.hart.csr.mtval == (c.cause == 2 ? c.word : c.address));
}

// Zabha: "sign-extend the value loaded and place it in rd"; neighbours in memory stay.
TEST_CASE("Byte and halfword atomics change their bytes alone and sign-extend what was there") {
  struct Case {
    uint32_t funct5;
    uint64_t byte_result, half_result;
  };
  // On 0x80 and 0x8001 with operands 0x7f and 0x7fff.
  const Case c = GENERATE(Case{1, 0x7f, 0x7fff}, Case{0, 0xff, 0x0000}, Case{4, 0xff, 0xfffe},
                          Case{12, 0x00, 0x0001}, Case{8, 0xff, 0xffff}, Case{16, 0x80, 0x8001},
                          Case{20, 0x7f, 0x7fff}, Case{24, 0x7f, 0x7fff}, Case{28, 0x80, 0x8001});
  TestMachine m("rv64,zabha=on");
  const auto amo = [&](uint32_t width, Reg rd, Reg rs2, Reg rs1) {
    return r_type(c.funct5 << 2, rs2, rs1, width, rd, 0x2f);
  };
  m.put(kCode, {amo(0, a0, a2, t0), amo(1, a1, a3, t1), wfi()});
  m.poke<uint64_t>(kData, 0xffee8001'ddcc80bb);
  m.hart.x[t0] = kData + 1;
  m.hart.x[t1] = kData + 4;
  m.hart.x[a2] = 0xffffffff'ffffff7f;
  m.hart.x[a3] = 0x12345678'9abc7fff;
  m.run(kCode);
  INFO("funct5 " << c.funct5);
  CHECK_FALSE(m.trapped());
  CHECK(m.hart.x[a0] == 0xffffffff'ffffff80);
  CHECK(m.hart.x[a1] == 0xffffffff'ffff8001);
  CHECK(m.peek<uint64_t>(kData) ==
        (0xffee0000'ddcc00bb | c.half_result << 32 | c.byte_result << 8));
}

TEST_CASE("amocas.b and .h; a misaligned halfword faults") {
  TestMachine m("rv64,zabha=on,zacas=on");
  m.put(kCode, {amocas(0, a0, a2, t0), amocas(1, a1, a3, t1), amocas(1, a1, a3, t0), wfi()});
  m.poke<uint64_t>(kData, 0xffee8001'ddcc80bb);
  m.hart.x[t0] = kData + 1;
  m.hart.x[t1] = kData + 4;
  m.hart.x[a0] = 0x1180;
  m.hart.x[a1] = 0x8002;
  m.hart.x[a2] = 0x77;
  m.hart.x[a3] = 0x5555;
  m.run(kCode);
  CHECK(m.trapped());
  CHECK(m.hart.csr.mcause == 6);
  CHECK(m.hart.csr.mtval == kData + 1);
  CHECK(m.hart.x[a0] == 0xffffffff'ffffff80);
  CHECK(m.hart.x[a1] == 0xffffffff'ffff8001);
  CHECK(m.peek<uint64_t>(kData) == 0xffee8001'ddcc77bb);
}

}  // namespace
}  // namespace hv::test
