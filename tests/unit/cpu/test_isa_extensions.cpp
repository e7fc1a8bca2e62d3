// Instructions of extensions that the oracles of tests/isa may not have: the expected values are
// the specification's own definitions, written as plain loops or taken from its tables.
#include <catch2/catch.hpp>

#include <array>
#include <optional>
#include <thread>

#include "cpu/jit/helpers.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"

using namespace hv;
using namespace hv::test::rv;
using hv::test::JitMachine;
using hv::test::TestMachine;

namespace {

constexpr uint64_t kValues[] = {0,
                                1,
                                2,
                                0x80,
                                0xff,
                                0x8000,
                                0xffff,
                                0x7fffffff,
                                0x80000000,
                                0xffffffff,
                                0x0123456789abcdef,
                                0x7fffffffffffffff,
                                0x8000000000000000,
                                ~0ull};

// The value of a0 after `word`, which may read a1 and a2; nullopt: it trapped.
std::optional<uint64_t> result(TestMachine& machine, uint32_t word, uint64_t a1_value,
                               uint64_t a2_value = 0) {
  machine.hart.x[a0] = 0x5a5a5a5a5a5a5a5a;
  machine.hart.x[a1] = a1_value;
  machine.hart.x[a2] = a2_value;
  machine.put(TestMachine::kRam, {word, TestMachine::kWfi});
  machine.engine->fence_i();
  machine.run(TestMachine::kRam);
  if (machine.trapped()) return std::nullopt;
  return machine.hart.x[a0];
}

}  // namespace

TEST_CASE("czero.eqz and czero.nez zero on their condition") {
  TestMachine machine("max");
  const uint32_t eqz = r_type(7, a2, a1, 5, a0, 0x33), nez = r_type(7, a2, a1, 7, a0, 0x33);
  for (const uint64_t value : kValues) {
    for (const uint64_t condition : kValues) {
      CHECK(result(machine, eqz, value, condition) == (condition == 0 ? 0 : value));
      CHECK(result(machine, nez, value, condition) == (condition != 0 ? 0 : value));
    }
  }
  TestMachine without("max,zicond=off");
  CHECK_FALSE(result(without, eqz, 1, 1));
}

TEST_CASE("clmul, clmulh and clmulr are the loops of the specification") {
  TestMachine machine("max");
  for (const uint64_t a : kValues) {
    for (const uint64_t b : kValues) {
      uint64_t low = 0, high = 0, reversed = 0;
      for (unsigned i = 0; i < 64; ++i) {
        if (!(b >> i & 1)) continue;
        low ^= a << i;
        if (i > 0) high ^= a >> (64 - i);
        reversed ^= a >> (63 - i);
      }
      CHECK(result(machine, r_type(5, a2, a1, 1, a0, 0x33), a, b) == low);
      CHECK(result(machine, r_type(5, a2, a1, 3, a0, 0x33), a, b) == high);
      CHECK(result(machine, r_type(5, a2, a1, 2, a0, 0x33), a, b) == reversed);
    }
  }
}

TEST_CASE("instructions of two extensions need one of them") {
  const uint32_t andn = r_type(0x20, a2, a1, 7, a0, 0x33), clmul = r_type(5, a2, a1, 1, a0, 0x33);
  const uint32_t clmulr = r_type(5, a2, a1, 2, a0, 0x33);
  const uint32_t zext_h = r_type(4, zero, a1, 4, a0, 0x3b), clz = i_type(0x600, a1, 1, a0, 0x13);
  TestMachine zbb("rv64,zbb=on,zbkb=off,zbc=off"), zbkb("rv64,zbb=off,zbkb=on,zbc=off,zbkc=on"),
      none("rv64,zbb=off,zbc=off");
  CHECK(result(zbb, andn, 7, 2) == 5u);
  CHECK(result(zbkb, andn, 7, 2) == 5u);
  CHECK_FALSE(result(none, andn, 7, 2));
  CHECK(result(zbb, zext_h, 0x12345) == 0x2345u);
  CHECK(result(zbkb, zext_h, 0x12345) == 0x2345u);
  CHECK(result(zbkb, zext_h, 0x18345) == 0x8345u);
  CHECK_FALSE(result(none, zext_h, 0x12345));
  CHECK_FALSE(result(zbkb, clz, 1));
  CHECK(result(zbkb, clmul, 3, 3) == 5u);
  CHECK_FALSE(result(zbkb, clmulr, 3, 3));
  CHECK_FALSE(result(zbb, clmul, 3, 3));
}

// The columns `from` and `from + 1` of sixteen bytes in the order the standard prints them.
constexpr uint64_t columns(const std::array<uint8_t, 16>& bytes, unsigned from) {
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= static_cast<uint64_t>(bytes[from * 4 + i]) << i * 8;
  return value;
}

// FIPS 197, appendices A.1 and B: the first round key and the first round.
TEST_CASE("AES instructions give the standard's example") {
  constexpr std::array<uint8_t, 16> kKey = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                            0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
  constexpr std::array<uint8_t, 16> kNextKey = {0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1,
                                                0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05};
  constexpr std::array<uint8_t, 16> kStart = {0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b,
                                              0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08};
  constexpr std::array<uint8_t, 16> kShifted = {0xd4, 0xbf, 0x5d, 0x30, 0xe0, 0xb4, 0x52, 0xae,
                                                0xb8, 0x41, 0x11, 0xf1, 0x1e, 0x27, 0x98, 0xe5};
  constexpr std::array<uint8_t, 16> kMixed = {0x04, 0x66, 0x81, 0xe5, 0xe0, 0xcb, 0x19, 0x9a,
                                              0x48, 0xf8, 0xd3, 0x7a, 0x28, 0x06, 0x26, 0x4c};
  TestMachine machine("max");
  const auto run = [&](uint32_t funct7, uint64_t rs1, uint64_t rs2) {
    return result(machine, r_type(funct7, a2, a1, 0, a0, 0x33), rs1, rs2);
  };
  const uint32_t aes64es = 0x19, aes64esm = 0x1b, aes64ds = 0x1d, aes64ks2 = 0x3f;
  const uint32_t aes64ks1i_0 = i_type(0x310, a1, 1, a0, 0x13),
                 aes64im = i_type(0x300, a1, 1, a0, 0x13);

  const auto schedule = result(machine, aes64ks1i_0, columns(kKey, 2));
  REQUIRE(schedule);
  CHECK(run(aes64ks2, *schedule, columns(kKey, 0)) == columns(kNextKey, 0));
  CHECK(run(aes64ks2, columns(kNextKey, 0), columns(kKey, 2)) == columns(kNextKey, 2));

  CHECK(run(aes64es, columns(kStart, 0), columns(kStart, 2)) == columns(kShifted, 0));
  CHECK(run(aes64es, columns(kStart, 2), columns(kStart, 0)) == columns(kShifted, 2));
  CHECK(run(aes64esm, columns(kStart, 0), columns(kStart, 2)) == columns(kMixed, 0));
  CHECK(run(aes64ds, columns(kShifted, 0), columns(kShifted, 2)) == columns(kStart, 0));
  CHECK(result(machine, aes64im, columns(kMixed, 2)) == columns(kShifted, 2));
}

TEST_CASE("may-be-operations write zero, the compressed ones nothing") {
  TestMachine machine("max");
  for (uint32_t n = 0; n < 32; ++n) {
    const uint32_t number = (n >> 4) << 30 | (n >> 2 & 3) << 26 | (n & 3) << 20;
    CHECK(result(machine, 0x81c5c573 | number, ~0ull) == 0u);
  }
  for (uint32_t n = 0; n < 8; ++n)
    CHECK(result(machine, 0x82c5c573 | (n >> 2) << 30 | (n & 3) << 26, ~0ull, 5) == 0u);
  const uint32_t c_nop = 0x0001;
  for (uint32_t n = 1; n < 16; n += 2) {
    machine.hart.x.fill(0x77);
    machine.hart.x[0] = 0;
    const auto before = machine.hart.x;
    machine.put(TestMachine::kRam, {c_nop << 16 | 0x6001 | n << 7, TestMachine::kWfi});
    machine.engine->fence_i();
    machine.run(TestMachine::kRam);
    CHECK_FALSE(machine.trapped());
    for (unsigned i = 0; i < 32; ++i) CHECK(machine.hart.x[i] == before[i]);
  }
}

namespace {

constexpr uint32_t kWrsNto = 0x00d00073, kWrsSto = 0x01d00073;
constexpr uint64_t kWord = TestMachine::kRam + 0x1000;

// Reserves kWord, then executes `word`.
void reserve_and(TestMachine& machine, uint32_t word) {
  machine.hart.x[a1] = kWord;
  machine.put(TestMachine::kRam, {lr_d(a0, a1), word, TestMachine::kWfi});
  machine.run(TestMachine::kRam);
}

}  // namespace

TEST_CASE("wrs.nto and wrs.sto end by themselves") {
  TestMachine machine("max");
  for (const uint32_t word : {kWrsNto, kWrsSto}) {
    machine.engine->fence_i();
    reserve_and(machine, word);
    CHECK_FALSE(machine.trapped());
    CHECK(machine.hart.pc == TestMachine::kRam + 12);
  }
}

TEST_CASE("wrs.nto in a loop sees another hart's store") {
  TestMachine machine("max"), storing(machine);
  machine.hart.x[a1] = kWord;
  machine.put(TestMachine::kRam,
              {lr_d(a0, a1), bne(a0, zero, 12), kWrsNto, jal(zero, -12), TestMachine::kWfi});
  storing.hart.x[a1] = kWord;
  storing.hart.x[a2] = 1;
  storing.put(TestMachine::kRam + 0x800, {sd(a2, a1, 0), TestMachine::kWfi});
  std::thread other([&] { storing.run(TestMachine::kRam + 0x800); });
  machine.run(TestMachine::kRam);
  other.join();
  CHECK(machine.hart.x[a0] == 1);
}

// A kernel waits for locks with interrupts off, and those that are pending end each wrs; so does
// the want of a reservation.
TEST_CASE("wrs stays in compiled code when it ends at once, and only then") {
  JitMachine machine(JitOptions{.threshold = 1});
  const uint32_t word = GENERATE(kWrsNto, kWrsSto);
  machine.put(TestMachine::kRam, {word, addi(a2, a2, -1), bne(a2, zero, -8), TestMachine::kWfi});
  machine.hart.x[a2] = 50;
  REQUIRE(machine.run(TestMachine::kRam) == EngineExit::kWait);
  CHECK(machine.hart.instret == 3 * 50 + 1);
  const Block* loop = machine.engine->cache().lookup_recent(machine.hart, TestMachine::kRam);
  REQUIRE(loop);
  CHECK(loop->native);

  const Op kind = word == kWrsNto ? Op::wrs_nto : Op::wrs_sto;
  machine.engine->fence_i();
  reserve_and(machine, TestMachine::kWfi);
  CHECK(wait_helper(kind)(&machine.hart, nullptr) == (kind == Op::wrs_sto));
  machine.hart.csr.mie = kMipMsip;
  machine.hart.mip.store(kMipMsip);
  CHECK(wait_helper(kind)(&machine.hart, nullptr));
  machine.hart.mip.store(0);
  machine.poke<uint64_t>(kWord, 1);
  CHECK(wait_helper(kind)(&machine.hart, nullptr));
}

// What the path holds in the host's registers, the interpreter has to find.
TEST_CASE("a wrs that has to wait goes on in compiled code afterwards") {
  JitMachine machine(JitOptions{.threshold = 1});
  machine.hart.x[a1] = kWord;
  machine.put(TestMachine::kRam, {lr_d(a0, a1), addi(a3, a3, 3), kWrsNto, addi(a2, a2, -1),
                                  bne(a2, zero, -16), TestMachine::kWfi});
  machine.hart.x[a2] = 5;
  REQUIRE(machine.run(TestMachine::kRam) == EngineExit::kWait);
  CHECK(machine.hart.x[a3] == 15);
  CHECK(machine.hart.instret == 5 * 5 + 1);
}

TEST_CASE("TW forbids a wrs.nto that has to wait, and nothing else") {
  TestMachine machine("max");
  machine.hart.csr.pmpaddr[0] = ~0ull >> 10;
  machine.hart.csr.pmpcfg[0] = 0x1f;
  const auto trapped = [&](Priv priv, uint32_t word, bool tw) {
    machine.hart.priv = priv;
    machine.hart.csr.mstatus &= ~kMstatusTw;
    if (tw) machine.hart.csr.mstatus |= kMstatusTw;
    state_changed(machine.hart);
    machine.hart.mmu->flush_all();
    machine.engine->fence_i();
    // Ends by ecall: wfi may trap.
    machine.hart.x[a1] = kWord;
    machine.put(TestMachine::kRam, {lr_d(a0, a1), word, ecall()});
    machine.run(TestMachine::kRam);
    return machine.hart.csr.mcause == static_cast<uint64_t>(Cause::kIllegalInstruction) &&
           machine.hart.csr.mepc == TestMachine::kRam + 4 && machine.hart.csr.mtval == word;
  };
  CHECK(trapped(Priv::kSupervisor, kWrsNto, true));
  CHECK(trapped(Priv::kUser, kWrsNto, true));
  CHECK_FALSE(trapped(Priv::kMachine, kWrsNto, true));
  CHECK_FALSE(trapped(Priv::kSupervisor, kWrsNto, false));
  CHECK_FALSE(trapped(Priv::kUser, kWrsNto, false));
  CHECK_FALSE(trapped(Priv::kSupervisor, kWrsSto, true));
  CHECK_FALSE(trapped(Priv::kUser, kWrsSto, true));

  // A pending interrupt leaves nothing to wait for.
  CHECK(trapped(Priv::kUser, kWrsNto, true));
  machine.hart.priv = Priv::kUser;
  CHECK(exec_wrs(machine.hart, WaitLimit::kNone, kWrsNto) == SysResult::kException);
  machine.hart.csr.mie = kMipMsip;
  machine.hart.mip.store(kMipMsip);
  CHECK(exec_wrs(machine.hart, WaitLimit::kNone, kWrsNto) == SysResult::kNext);
}
