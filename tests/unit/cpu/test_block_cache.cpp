// Decoded code stays coherent: fence.i, address spaces, instructions across pages, bounded memory.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/test_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kRam = TestMachine::kRam;
constexpr uint64_t kCode = kRam + 0x1000;

// main: a2 = f(); store a1 over f's first instruction; fence.i; a3 = f(). f is at a4.
void put_self_modifying(TestMachine& m, uint64_t function) {
  m.put(kCode, {jalr(ra, a4, 0), addi(a2, a0, 0), sw(a1, a4, 0), fence_i(), jalr(ra, a4, 0),
                addi(a3, a0, 0), wfi()});
  m.put(function, {li(a0, 1), ret()});
  m.hart.x[a4] = function;
  m.hart.x[a1] = li(a0, 2);
}

TEST_CASE("fence.i shows code that the hart has written") {
  TestMachine m;
  SECTION("in the same page") {
    put_self_modifying(m, kCode + 0x200);
  }
  SECTION("in another page") {
    put_self_modifying(m, kCode + 0x5000);
  }
  m.run(kCode);
  CHECK(m.hart.x[a2] == 1);
  CHECK(m.hart.x[a3] == 2);
}

TEST_CASE("fence.i shows new code behind chained blocks") {
  TestMachine m;
  // A loop whose blocks are chained; the second turn of the outer loop has other code in it.
  // s0: turns left; a5: outer turns left; the patched instruction is at kCode + 16.
  m.put(kCode, {li(a5, 2),                             //
                li(s0, 5),                             // outer:
                beq(zero, zero, 8), nop(),             // loop: to a block of its own
                addi(a0, a0, 1),                       // patched
                addi(s0, s0, -1), bne(s0, zero, -16),  //
                sw(a1, a4, 0), fence_i(),              //
                addi(a5, a5, -1), bne(a5, zero, -36), wfi()});
  m.hart.x[a4] = kCode + 16;
  m.hart.x[a1] = addi(a0, a0, 100);
  m.run(kCode);
  CHECK(m.hart.x[a0] == 5 * 1 + 5 * 100);
}

TEST_CASE("fence_i() shows code that others have written, of another length too") {
  TestMachine m;
  m.put(kCode, {addi(a0, zero, 1), addi(a0, a0, 1), wfi()});
  m.run(kCode);
  CHECK(m.hart.x[a0] == 2);
  m.put(kCode, {addi(a0, zero, 7), wfi()});  // as a device's DMA would
  m.engine->fence_i();
  m.run(kCode);
  CHECK(m.hart.x[a0] == 7);
  m.put(kCode, {addi(a0, zero, 1), addi(a0, a0, 1), addi(a0, a0, 1), wfi()});
  m.engine->fence_i();
  m.run(kCode);
  CHECK(m.hart.x[a0] == 3);
}

TEST_CASE("an aligned instruction that another hart is patching is seen whole") {
  constexpr uint32_t kOld = lui(a0, 0x11111), kNew = lui(a0, 0x22222);
  // Begins in the middle of a word, so that a copy in vector registers of 16, 32 or 64 bytes
  // divides the patched word. It shows only when both threads run at once.
  constexpr uint64_t kStart = kCode + 2, kPatched = kCode + 64;
  TestMachine m;
  m.poke<uint16_t>(kStart, 1);  // c.nop
  for (uint64_t at = kCode + 4; at < kCode + 0x100; at += 4) m.put(at, {nop()});
  m.put(kCode + 0x100, {wfi()});
  m.put(kPatched, {kOld});
  auto* word = reinterpret_cast<uint32_t*>(m.memory->host(kPatched, 4));
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done.load()) {
      __atomic_store_n(word, kNew, __ATOMIC_RELAXED);
      __atomic_store_n(word, kOld, __ATOMIC_RELAXED);
    }
  });
  unsigned torn = 0;
  for (unsigned i = 0; i < 500'000; ++i) {
    m.engine->fence_i();
    m.run(kStart);
    const uint64_t value = m.hart.x[a0];
    torn += value != 0x11111000 && value != 0x22222000;
  }
  done.store(true);
  other.join();
  CHECK(torn == 0);
}

TEST_CASE("flush_code() shows new code as well") {
  TestMachine m;
  m.put(kCode, {li(a0, 1), wfi()});
  m.run(kCode);
  m.put(kCode, {li(a0, 2), wfi()});
  m.engine->flush_code();
  m.run(kCode);
  CHECK(m.hart.x[a0] == 2);
  CHECK(m.engine->cache().bytes_in_use() > 0);
}

TEST_CASE("fence.i decodes nothing anew when the code is the same") {
  TestMachine m;
  m.put(kCode, {li(a0, 1), jal(zero, 8), nop(), wfi()});
  m.run(kCode);
  const size_t bytes = m.engine->cache().bytes_in_use();
  m.engine->fence_i();
  m.run(kCode);
  CHECK(m.hart.x[a0] == 1);
  CHECK(m.engine->cache().bytes_in_use() == bytes);
}

// Sv39 tables at a fixed place; 4 KiB pages at kVirtual.
struct AddressSpace {
  static constexpr uint64_t kVirtual = 0x40'0000;
  static constexpr uint64_t kV = 1, kR = 2, kX = 8, kA = 64, kD = 128;
  static constexpr uint64_t kCodePage = kV | kR | kX | kA | kD;

  AddressSpace(TestMachine& machine, uint64_t tables, uint64_t asid)
      : m(machine), root(tables), asid(asid) {
    m.poke<uint64_t>(root + 8 * (kVirtual >> 30), pte(root + 0x1000, kV));
    m.poke<uint64_t>(root + 0x1000 + 8 * (kVirtual >> 21 & 511), pte(root + 0x2000, kV));
  }
  static uint64_t pte(uint64_t physical, uint64_t bits) { return physical >> 12 << 10 | bits; }
  void map(unsigned page, uint64_t physical, uint64_t bits = kCodePage) {
    m.poke<uint64_t>(root + 0x2000 + 8 * ((kVirtual >> 12 & 511) + page), pte(physical, bits));
  }
  uint64_t satp() const { return 8ull << 60 | asid << 44 | root >> 12; }
  // Supervisor mode in this space, every supervisor trap taken by machine mode.
  void enter() const {
    m.hart.csr.satp = satp();
    m.hart.priv = Priv::kSupervisor;
    state_changed(m.hart);
  }

  TestMachine& m;
  uint64_t root;
  uint64_t asid;
};
constexpr uint64_t kVirtual = AddressSpace::kVirtual;

// Physical memory for everyone: what OpenSBI does before it leaves machine mode.
void open_pmp(TestMachine& m) {
  REQUIRE(debug_write_csr(m.hart, 0x3b0, ~0ull));
  REQUIRE(debug_write_csr(m.hart, 0x3a0, 0x1f));  // NAPOT, RWX
}

TEST_CASE("each address space runs its own code at the same address") {
  TestMachine m;
  open_pmp(m);
  AddressSpace one(m, kRam + 0x10000, 1), two(m, kRam + 0x20000, 2);
  // A loop within the page, so that chains exist, then ecall.
  const auto code = [&](uint64_t at, int32_t step) {
    m.put(at, {li(s0, 3), addi(a0, a0, step), addi(s0, s0, -1), bne(s0, zero, -8), ecall()});
  };
  code(kRam + 0x30000, 1);
  code(kRam + 0x31000, 100);
  one.map(0, kRam + 0x30000);
  two.map(0, kRam + 0x31000);
  for (int turn = 0; turn < 3; ++turn) {
    one.enter();
    m.run(kVirtual);
    CHECK(m.hart.csr.mcause == 9);
    two.enter();
    m.run(kVirtual);
  }
  CHECK(m.hart.x[a0] == 3 * 3 * 101);
}

TEST_CASE("a page that is mapped anew runs its new frame's code") {
  TestMachine m;
  open_pmp(m);
  AddressSpace space(m, kRam + 0x10000, 1);
  // Page 0 stays, page 1 does not. Many turns, so that the numbers of the fetch contexts meet in
  // the jump cache; three frames, so that they then differ.
  const uint64_t frames[] = {kRam + 0x31000, kRam + 0x32000, kRam + 0x33000};
  m.put(kRam + 0x30000, {jal(zero, 0x1000)});
  for (const int32_t value : {0, 1, 2}) m.put(frames[value], {li(a0, value), ecall()});
  space.map(0, kRam + 0x30000);
  uint64_t start = 0;
  SECTION("reached by a jump from a page that stays") {
    start = kVirtual;
  }
  SECTION("entered directly") {
    start = kVirtual + 0x1000;
  }
  int wrong = 0;
  for (int turn = 0; turn < 10'000; ++turn) {
    space.map(1, frames[turn % 3]);
    m.mmu->flush(std::nullopt, std::nullopt);
    space.enter();
    m.run(start);
    wrong += m.hart.x[a0] != static_cast<uint64_t>(turn % 3);
  }
  CHECK(wrong == 0);
}

TEST_CASE("an instruction across two pages comes from both frames") {
  TestMachine m;
  open_pmp(m);
  AddressSpace space(m, kRam + 0x10000, 1);
  const uint64_t first = kRam + 0x30000, second = kRam + 0x38000, other = kRam + 0x3c000;
  // addi a0, a0, imm: the immediate lies in the second half
  const auto put_halves = [&](uint64_t tail_page, int32_t imm) {
    const uint32_t word = addi(a0, a0, imm);
    m.poke<uint16_t>(first + 0xffe, static_cast<uint16_t>(word));
    m.poke<uint16_t>(tail_page, static_cast<uint16_t>(word >> 16));
    m.poke<uint32_t>(tail_page + 2, ecall());
  };
  put_halves(other, 50);
  put_halves(second, 3);
  m.put(first + 0xff6, {nop(), nop()});
  space.map(0, first);
  space.map(1, second);
  const auto run = [&] {
    space.enter();
    m.run(kVirtual + 0xff6);
  };
  run();
  CHECK(m.hart.csr.mepc == kVirtual + 0x1002);
  CHECK(m.hart.x[a0] == 3);
  run();
  CHECK(m.hart.x[a0] == 6);

  SECTION("after sfence.vma from the new frame") {
    space.map(1, other);
    m.mmu->flush(std::nullopt, std::nullopt);
    run();
    CHECK(m.hart.x[a0] == 56);
  }
  SECTION("after fence.i with its new second half") {
    put_halves(second, 7);
    m.engine->fence_i();
    run();
    CHECK(m.hart.x[a0] == 13);
  }
  SECTION("whose second page is gone: a fault there, on that instruction") {
    space.map(1, second, 0);
    m.mmu->flush(std::nullopt, std::nullopt);
    run();
    CHECK(m.hart.csr.mcause == 12);
    CHECK(m.hart.csr.mepc == kVirtual + 0xffe);
    CHECK(m.hart.csr.mtval == kVirtual + 0x1000);
    CHECK(m.hart.x[a0] == 6);
  }
}

TEST_CASE("a branch back out of an instruction across two pages goes to its own page") {
  TestMachine m;
  open_pmp(m);
  AddressSpace space(m, kRam + 0x10000, 1);
  const uint64_t first = kRam + 0x30000, second = kRam + 0x38000;
  space.map(0, first);
  space.map(1, second);
  const uint32_t back = bne(a0, zero, -8);
  m.put(first + 0xff6, {addi(a0, a0, -1), addi(a1, a1, 1)});
  m.poke<uint16_t>(first + 0xffe, static_cast<uint16_t>(back));
  m.poke<uint16_t>(second, static_cast<uint16_t>(back >> 16));
  m.poke<uint32_t>(second + 2, ecall());
  m.hart.x[a0] = 20;
  space.enter();
  m.run(kVirtual + 0xff6);
  CHECK(m.hart.csr.mcause == 9);
  CHECK(m.hart.x[a1] == 20);
}

TEST_CASE("a page that PMP divides runs up to the boundary only") {
  TestMachine m;
  // Machine mode, locked entry without X for [kCode + 16, kCode + 24)
  REQUIRE(debug_write_csr(m.hart, 0x3b0, (kCode + 16) >> 2));  // NAPOT of 8 bytes
  REQUIRE(debug_write_csr(m.hart, 0x3a0, 0x80 | 0x18 | 0x3));  // locked, NAPOT, RW
  m.put(kCode,
        {li(a0, 1), addi(a0, a0, 1), beq(zero, zero, 4), addi(a0, a0, 1), addi(a0, a0, 100)});
  for (int turn = 0; turn < 3; ++turn) {
    m.run(kCode);
    REQUIRE(m.trapped());
    CHECK(m.hart.csr.mcause == 1);
    CHECK(m.hart.csr.mepc == kCode + 16);
    CHECK(m.hart.csr.mtval == kCode + 16);
    CHECK(m.hart.x[a0] == 3);
  }
}

TEST_CASE("decoded code never takes more memory than its limit") {
  TestMachine m;
  BlockCache cache(m.hart, {.finish = [](auto...) {}}, 64 << 10);
  for (uint64_t pc = kRam; pc < kRam + (2 << 20); pc += 64) {
    m.hart.pc = pc;
    Block* block = cache.lookup();
    REQUIRE(block);
    CHECK(block->physical == pc);
    CHECK(cache.lookup_recent(m.hart, pc) == block);
    CHECK(cache.bytes_in_use() <= 64 << 10);
  }
  CHECK(cache.clears() > 1);
}

}  // namespace
}  // namespace hv::test
