// Compiled code does what the interpreter does: random programs with loops run on both from the
// same state, and all that a guest can see afterwards is compared.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cpu/decode.h"
#include "cpu/disasm.h"
#include "cpu/isa/rows.h"
#include "cpu/pmp.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"

namespace hv::test {
namespace {

using namespace rv;

// Accesses by `far` may come before RAM, where they fault; those by `near` do not. `walk` goes over
// the ends of pages of which one cannot be written and one not accessed.
constexpr Reg near = sp, far = Reg{3}, turns = Reg{31}, place = Reg{30}, walk = t4;
constexpr uint64_t kData = TestMachine::kRam, kDataBytes = 0x8000;
constexpr uint64_t kReadOnly = kData + 0x5000, kForbidden = kData + 0x7000;
constexpr uint64_t kCode = TestMachine::kRam + 0x80'0000;

struct GuardedMachine : JitMachine {
  explicit GuardedMachine(std::optional<JitOptions> options) : JitMachine(options) {
    // Locked, so they hold for M-mode too.
    constexpr unsigned kPmpcfg0 = 0x3a0, kPmpaddr0 = 0x3b0, kNapotPage = 0x1ff;
    REQUIRE(debug_write_csr(hart, kPmpaddr0, kReadOnly >> 2 | kNapotPage));
    REQUIRE(debug_write_csr(hart, kPmpaddr0 + 1, kForbidden >> 2 | kNapotPage));
    REQUIRE(debug_write_csr(hart, kPmpcfg0,
                            (kPmpLocked | kPmpNapot) << 8 | kPmpLocked | kPmpNapot | kPmpRead));
  }
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t operator()() { return engine_(); }
  unsigned below(unsigned limit) { return static_cast<unsigned>(engine_() % limit); }
  bool once_in(unsigned n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

// --- programs

struct Insn {
  uint32_t word;
  unsigned length() const { return (word & 3) == 3 ? 4 : 2; }
};

void set_field(uint32_t& word, unsigned shift, uint32_t value) {
  word = (word & ~(31u << shift)) | value << shift;
}

class Program {
 public:
  Program(uint64_t seed, const ExtensionSet& extensions) : random_(seed), extensions_(extensions) {
    for (const isa::Row& row : isa::kRows) {
      if (!row.allowed(extensions) || op_has(row.op, op_flags::kEndsBlock)) continue;
      (op_has(row.op, op_flags::kFp) ? float_rows_ : rows_).push_back(&row);
    }
    float_share_ = random_.below(4) * 30;
    walks_ = random_.once_in(3);
    registers_ = random_.once_in(2) ? 29 : 4 + random_.below(8);
    // Often across the end of a page.
    begin = kCode + (random_.once_in(3) ? 0x1000 - random_.below(120) * 2 : random_.below(64) * 2);
    emit(li(turns, 1 + static_cast<int>(random_.below(12))));
    const size_t top = insns.size();
    for (unsigned n = 3 + random_.below(random_.once_in(4) ? 120 : 20); n > 0;) n -= piece(n);
    emit(addi(far, far, -static_cast<int>(random_.below(512))));
    emit(addi(turns, turns, -1));
    if (random_.once_in(3)) {
      // The way out is in the middle, the way back a jump.
      emit(beq(turns, zero, 8));
      emit(jal(zero, -distance(top)));
    } else {
      emit(bne(turns, zero, -distance(top)));
    }
    for (unsigned n = random_.below(5); n > 0;) n -= piece(n);
    emit(wfi());
  }

  std::vector<Insn> insns;
  uint64_t begin;

  void put(TestMachine& m) const {
    uint64_t at = begin;
    for (const Insn& insn : insns) {
      if (insn.length() == 4)
        m.poke(at, insn.word);
      else
        m.poke(at, static_cast<uint16_t>(insn.word));
      at += insn.length();
    }
  }
  std::string listing() const {
    std::string text;
    uint64_t at = begin;
    for (const Insn& insn : insns) {
      char line[64];
      std::snprintf(line, sizeof line, "%llx: %08x  ", static_cast<unsigned long long>(at),
                    insn.word);
      text += line + disassemble(insn.word, at, extensions_) + '\n';
      at += insn.length();
    }
    return text;
  }

 private:
  void emit(uint32_t word) { insns.push_back({word}); }
  int32_t distance(size_t from) const {
    int32_t bytes = 0;
    for (size_t i = from; i < insns.size(); ++i) bytes += static_cast<int32_t>(insns[i].length());
    return bytes;
  }
  Reg any() { return Reg{4 + random_.below(registers_ - 3)}; }
  static bool taken(unsigned reg) {
    return reg == near || reg == far || reg == turns || reg == place || reg == walk;
  }
  Reg any_free() {
    const Reg reg = any();
    return taken(reg) ? a0 : reg;
  }

  // Appends up to `room` instructions that control enters at the first and leaves at the last.
  unsigned piece(unsigned room) {
    const unsigned kind = random_.below(20);
    if (kind == 0 && room > 3) {
      // Over some instructions, or not.
      const size_t from = insns.size();
      emit(0);
      unsigned skipped = 0;
      for (unsigned n = 1 + random_.below(3); skipped < n;) skipped += piece(1);
      const uint32_t functions[] = {0, 1, 4, 5, 6, 7};
      const Reg second = random_.once_in(2) ? zero : any();
      insns[from].word = 0x63;
      insns[from].word = branch(functions[random_.below(6)], random_.once_in(8) ? zero : any(),
                                second, distance(from));
      return 1 + skipped;
    }
    if (kind == 1 && room > 3) {
      // By a register to what follows.
      const Reg rd = random_.once_in(2) ? zero : any_free();
      emit(0x17 | place << 7);
      emit(addi(place, place, 12));
      emit(jalr(random_.once_in(4) ? place : rd, place, random_.once_in(2) ? 1 : 0));
      return 3;
    }
    if (kind == 2) {
      emit(jal(random_.once_in(2) ? zero : any_free(), 4));
      return 1;
    }
    if (kind == 3) {
      // A CSR access ends a block: frm, fflags, instret.
      const uint32_t csrs[] = {0x001, 0x003, 0xb02};
      emit(csrr(any_free(), csrs[random_.below(3)]));
      return 1;
    }
    if (kind < 10 && walks_) return accesses(room);
    emit(straight());
    return 1;
  }

  // Some around `walk`, and what stands between them.
  unsigned accesses(unsigned room) {
    const unsigned count = std::min(room, 1 + random_.below(8));
    for (unsigned i = 0; i < count; ++i) {
      const auto offset = static_cast<int32_t>(random_.below(random_.once_in(9) ? 2048 : 64)) - 32;
      const Reg value = random_.once_in(12) ? zero : any_free();
      const uint32_t wide = 2 + random_.below(2);
      switch (random_.below(10)) {
        case 0:
          emit(addi(walk, walk, static_cast<int32_t>(random_.below(5)) * 8 - 16));
          break;
        case 1:
          emit(straight());
          break;
        case 2:
          emit(i_type(offset, walk, wide, any(), 0x07));
          break;
        case 3:
          emit(s_type(offset, any(), walk, wide, 0x27));
          break;
        case 4:
        case 5:
        case 6:
          emit(s_type(offset, value, walk, random_.below(4), 0x23));
          break;
        default:
          emit(i_type(offset, walk, random_.below(7), value, 0x03));
          break;
      }
    }
    return count;
  }

  uint32_t straight() {
    for (;;) {
      const bool fp = random_.below(100) < float_share_;
      const auto& rows = fp ? float_rows_ : rows_;
      const isa::Row& row = *rows[random_.below(static_cast<unsigned>(rows.size()))];
      uint32_t word = row.match | (static_cast<uint32_t>(random_()) & ~row.mask);
      if (row.length == 4) {
        const bool memory = op_has(row.op, op_flags::kReads) || op_has(row.op, op_flags::kWrites) ||
                            op_has(row.op, op_flags::kSystem);
        uint32_t wanted = word;
        for (const unsigned shift : {7u, 15u, 20u, 27u})
          if (random_.below(10)) set_field(wanted, shift, random_.once_in(12) ? zero : any());
        // Only loads may go anywhere: a program that overwrites itself without fence.i has no one
        // outcome.
        if (memory && (!op_has(row.op, op_flags::kReads) || op_has(row.op, op_flags::kWrites) ||
                       random_.below(20)))
          set_field(wanted, 15, random_.once_in(5) ? far : near);
        if (fp && random_.below(3)) wanted |= 7u << 12;
        wanted = (wanted & ~row.mask) | row.match;
        word = wanted;
      }
      const Decoded decoded = decode(word, extensions_);
      if (decoded.op == Op::kIllegal ? random_.below(50) != 0 : decoded.op != row.op) continue;
      if (row.length == 2 && op_has(row.op, op_flags::kWrites) && decoded.fields.rs1 != near)
        continue;
      const unsigned rd = decoded.fields.rd;
      if (taken(rd) || (row.op == Op::amocas_q && taken(rd + 1))) continue;
      return word;
    }
  }

  Random random_;
  const ExtensionSet& extensions_;
  std::vector<const isa::Row*> rows_, float_rows_;
  unsigned float_share_, registers_;
  bool walks_ = false;
};

// --- states

uint64_t any_float(Random& random) {
  static constexpr uint64_t kDoubles[] = {0,
                                          1ull << 63,
                                          0x3ff0'0000'0000'0000,
                                          0xbff8'0000'0000'0000,
                                          0x7ff0'0000'0000'0000,
                                          0xfff0'0000'0000'0000,
                                          0x7ff8'0000'0000'0000,
                                          0x7ff0'0000'0000'0001,
                                          0xfff8'1234'0000'0000,
                                          1,
                                          0x000f'ffff'ffff'ffff,
                                          0x7fef'ffff'ffff'ffff,
                                          0x41e0'0000'0000'0000,
                                          0xc1e0'0000'0000'0000,
                                          0x43e0'0000'0000'0000,
                                          0xc3e0'0000'0000'0000,
                                          0x41df'ffff'ffe0'0000};
  static constexpr uint32_t kSingles[] = {
      0,          0x80000000, 0x3f800000, 0xbfc00000, 0x7f800000, 0xff800000,
      0x7fc00000, 0x7f800001, 0xffc12345, 1,          0x007fffff, 0x7f7fffff,
      0x4f000000, 0xcf000000, 0x5f000000, 0xdf000000, 0x40490fdb};
  switch (random.below(7)) {
    case 6:
      return ~0ull << 16 | (random() & 0xffff);
    case 0:
      return kDoubles[random.below(std::size(kDoubles))];
    case 1:
      return ~0ull << 32 | kSingles[random.below(std::size(kSingles))];
    case 2:
      return ~0ull << 32 | (random() & 0xffffffff);
    case 3:
      return ~0ull << 32 | (0x3f000000 + (random() & 0x0fffffff));
    case 4:
      return 0x3ff0'0000'0000'0000 + (random() & 0x00ff'ffff'ffff'ffff);
    default:
      return random();
  }
}

uint64_t any_integer(Random& random) {
  // Where division overflows, and next to it.
  static constexpr uint64_t kLimits[] = {0, ~0ull, 1ull << 63, ~0ull >> 1, ~0ull << 31, 1ull << 31};
  switch (random.below(7)) {
    case 6:
      return kLimits[random.below(std::size(kLimits))];
    case 0:
      return random.below(70) - 3ull;
    case 1:
      return 1ull << random.below(64);
    case 2:
      return (1ull << random.below(64)) - 1;
    case 3:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(random())));
    case 4:
      return kData + 0x2000 + random.below(0x200) * 8;
    default:
      return random();
  }
}

void set_state(TestMachine& m, uint64_t seed, const Program& program) {
  Random random(seed);
  Hart& hart = m.hart;
  for (unsigned i = 1; i < 32; ++i) hart.x[i] = any_integer(random);
  hart.x[near] = kData + 0x2800;
  hart.x[far] = kData + 0x400 + random.below(0x400) * 4;
  hart.x[walk] = kData + 0x1000 * (4 + random.below(4)) + random.below(0xc0) - 0x60;
  if (random.once_in(2)) m.mmu->flush_all();
  for (uint64_t& value : hart.f) value = any_float(random);
  for (uint64_t at = kData; at < kData + kDataBytes; at += 8)
    m.poke(at, random.once_in(4) ? any_float(random) : any_integer(random));
  hart.fflags = 0;
  hart.frm = static_cast<uint8_t>(random.once_in(3) ? random.below(8) : 0);
  hart.csr.mstatus &= ~kMstatusFs;
  hart.csr.mstatus |= static_cast<uint64_t>(random.once_in(20) ? 0 : 1 + random.below(3)) << 13;
  hart.csr.mcause = hart.csr.mepc = hart.csr.mtval = 0;
  hart.reservation_address = ~0ull;
  hart.reservation_value = hart.reservation_size = 0;
  hart.instret = 0;
  hart.pc = program.begin;
  state_changed(hart);
}

struct Outcome {
  std::array<uint64_t, 33> x;
  std::array<uint64_t, 32> f;
  uint64_t pc, instret, cause, epc, tval, status, fcsr;
  uint64_t reservation, reserved, reserved_size;
  std::array<uint64_t, kDataBytes / 8> memory;

  explicit Outcome(const TestMachine& m)
      : x(m.hart.x),
        f(m.hart.f),
        pc(m.hart.pc),
        instret(m.hart.instret),
        cause(m.hart.csr.mcause),
        epc(m.hart.csr.mepc),
        tval(m.hart.csr.mtval),
        status(m.hart.csr.mstatus),
        fcsr(m.hart.fflags | m.hart.frm << 5),
        reservation(m.hart.reservation_address),
        reserved(m.hart.reservation_value),
        reserved_size(m.hart.reservation_size) {
    x[kRegSink] = 0;
    for (size_t i = 0; i < memory.size(); ++i) memory[i] = m.peek<uint64_t>(kData + i * 8);
  }
  bool operator==(const Outcome&) const = default;

  std::string difference(const Outcome& other) const {
    std::string text;
    const auto add = [&](const std::string& name, uint64_t a, uint64_t b) {
      char line[128];
      if (a == b) return;
      std::snprintf(line, sizeof line, "%s: interpreter %llx, compiled %llx\n", name.c_str(),
                    static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
      text += line;
    };
    for (unsigned i = 0; i < 32; ++i) add("x" + std::to_string(i), x[i], other.x[i]);
    for (unsigned i = 0; i < 32; ++i) add("f" + std::to_string(i), f[i], other.f[i]);
    add("pc", pc, other.pc);
    add("instret", instret, other.instret);
    add("cause", cause, other.cause);
    add("epc", epc, other.epc);
    add("tval", tval, other.tval);
    add("mstatus", status, other.status);
    add("fcsr", fcsr, other.fcsr);
    add("reservation", reservation, other.reservation);
    add("reserved value", reserved, other.reserved);
    add("reserved size", reserved_size, other.reserved_size);
    for (size_t i = 0; i < memory.size(); ++i)
      add("[" + std::to_string(i * 8) + "]", memory[i], other.memory[i]);
    return text;
  }
};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* value = std::getenv(name);
  return value ? static_cast<unsigned>(std::strtoul(value, nullptr, 0)) : otherwise;
}

// HV_JIT_PROGRAMS and HV_JIT_SEED run more than a test's share.
TEST_CASE("compiled loops leave what interpreted ones do") {
  GuardedMachine interpreted(std::nullopt);
  GuardedMachine blocks(JitOptions{.threshold = 0}), paths(JitOptions{.threshold = 1}),
      later(JitOptions{.threshold = 5});
  const uint64_t seed = from_environment("HV_JIT_SEED", 1);
  const unsigned programs = from_environment("HV_JIT_PROGRAMS", 400);
  unsigned traps = 0, ends = 0;
  for (uint64_t i = seed; i < seed + programs; ++i) {
    const Program program(i, interpreted.config.extensions);
    for (GuardedMachine* m : {&interpreted, &blocks, &paths, &later}) {
      program.put(*m);
      m->engine->fence_i();
    }
    // From a second state on, compiled paths are those of another state.
    for (uint64_t turn = 0; turn < 4; ++turn) {
      const uint64_t state = i * 8 + turn;
      set_state(interpreted, state, program);
      REQUIRE(interpreted.engine->run(interpreted.hart) == EngineExit::kWait);
      const Outcome expected(interpreted);
      ++(interpreted.trapped() ? traps : ends);
      for (GuardedMachine* m : {&blocks, &paths, &later}) {
        set_state(*m, state, program);
        REQUIRE(m->engine->run(m->hart) == EngineExit::kWait);
        const Outcome actual(*m);
        if (actual == expected) continue;
        INFO("HV_JIT_SEED=" << i << " HV_JIT_PROGRAMS=1, turn " << turn << ", "
                            << (m == &blocks  ? "blocks"
                                : m == &paths ? "paths"
                                              : "later")
                            << '\n'
                            << program.listing() << expected.difference(actual));
        FAIL();
      }
    }
  }
  CHECK(traps > programs / 10);
  CHECK(ends > programs / 10);
}

// It has become hot when what leads from pc to blocks had another entry in its place.
TEST_CASE("a hot block that is only reached from its page is compiled") {
  JitMachine m(JitOptions{.threshold = 5});
  // Both have the same place in the block cache's table of addresses.
  constexpr uint64_t kHot = kCode + 0x10, kOther = kHot ^ 0x8008;
  m.put(kCode, {jal(zero, 0x10)});
  m.put(kHot, {addi(a0, a0, -1), bne(a0, zero, -4), addi(t0, t0, -1), beq(t0, zero, 8),
               jalr(zero, a1, 0), wfi()});
  m.put(kOther, {li(a0, 3), jalr(zero, a2, 0)});
  m.hart.x[a1] = kOther;
  m.hart.x[a2] = kCode;
  m.hart.x[t0] = 3;
  REQUIRE(m.run(kOther) == EngineExit::kWait);
  REQUIRE_FALSE(m.trapped());
  m.hart.x[a0] = m.hart.x[t0] = 1;
  REQUIRE(m.run(kHot) == EngineExit::kWait);
  Block* const hot = m.engine->cache().lookup_recent(m.hart, kHot);
  REQUIRE(hot);
  CHECK(hot->native);
}

// Two of its accesses share a probe, for which the register that the first one is counted from is
// as far away as an immediate reaches.
TEST_CASE("accesses at the end of what an immediate reaches go where they belong") {
  JitMachine m(JitOptions{.threshold = 0});
  constexpr uint64_t kPlace = kData + 0x100;
  constexpr uint32_t kShift31 = i_type(31, t0, 1, t0, 0x13);  // slli t0, t0, 31
  m.put(kCode, {li(t0, 1), kShift31, add(a2, a0, t0), ld(a0, a0, 64), lui(t1, 0x80000),
                add(a3, a2, t1), ld(a4, a3, 0), ld(a5, a3, -8), wfi()});
  m.poke<uint64_t>(kPlace, 1);
  m.poke<uint64_t>(kPlace - 8, 2);
  m.hart.x[a0] = kPlace;
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  REQUIRE_FALSE(m.trapped());
  CHECK(m.hart.x[a4] == 1);
  CHECK(m.hart.x[a5] == 2);
}

// Each path fits, but not all of them.
TEST_CASE("compiled code that does not fit is made again") {
  JitMachine m(JitOptions{.threshold = GENERATE(0u, 1u), .code_bytes = 8192});
  for (uint64_t i = 0; i < 200; ++i) {
    // One block each, which adds its number, and a jump to the next.
    m.put(kCode + i * 8, {addi(a0, a0, static_cast<int>(i)), jal(zero, 4)});
  }
  m.put(kCode + 200 * 8, {addi(t0, t0, -1), beq(t0, zero, 8), jalr(zero, a1, 0), wfi()});
  m.hart.x[a0] = 0;
  m.hart.x[a1] = kCode;
  m.hart.x[t0] = 50;
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  REQUIRE_FALSE(m.trapped());
  CHECK(m.hart.x[a0] == 50 * 199 * 200 / 2);
  CHECK(m.hart.instret == 50 * (400 + 3));
}

// No room is ever enough.
TEST_CASE("a path that does not fit at all is interpreted") {
  JitMachine m(JitOptions{.threshold = GENERATE(0u, 1u), .code_bytes = 4096});
  for (uint32_t i = 0; i < 60; ++i) m.put(kCode + i * 4, {ld(Reg{5 + i % 20}, near, 8)});
  m.put(kCode + 240, {wfi()});
  m.hart.x[near] = kData;
  REQUIRE(m.run(kCode) == EngineExit::kWait);
  CHECK(m.hart.instret == 61);
}

}  // namespace
}  // namespace hv::test
