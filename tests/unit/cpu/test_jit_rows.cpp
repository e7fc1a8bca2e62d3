// Each row compiled does what it does interpreted: alone, on operands where results, flags or ways
// through the code change, with its registers in the host's or in memory.
#include <catch2/catch.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/decode.h"
#include "cpu/disasm.h"
#include "cpu/isa/rows.h"
#include "tests/unit/cpu/encode.h"
#include "tests/unit/cpu/jit_machine.h"

namespace hv::test {
namespace {

using namespace rv;

constexpr uint64_t kCode = TestMachine::kRam + 0x1000, kData = TestMachine::kRam + 0x8000;

constexpr uint64_t kIntegers[] = {0,
                                  1,
                                  2,
                                  ~0ull,
                                  1ull << 63,
                                  ~0ull >> 1,
                                  ~0ull << 31,
                                  1ull << 31,
                                  0x7fff'ffff,
                                  0xffff'ffff,
                                  1ull << 32,
                                  63,
                                  0xff80'8000'7f01'00ff,
                                  0x0123'4567'89ab'cdef,
                                  0xfedc'ba98'7654'3210,
                                  0x0004'0f03'0201'0e07,
                                  0x8000'0000'0000'0401,
                                  0xffff'ffff'ffff'fc01};

constexpr uint64_t kSingleBox = ~0ull << 32, kHalfBox = ~0ull << 16;
// Zeros, ones, subnormals, the smallest and largest normals, infinities, NaNs quiet, signalling and
// with the sign, halves between integers, and what is next to the limits of integers.
constexpr uint64_t kDoubles[] = {0,
                                 1ull << 63,
                                 0x3ff0'0000'0000'0000,
                                 0xbff0'0000'0000'0000,
                                 1,
                                 0x800f'ffff'ffff'ffff,
                                 0x0010'0000'0000'0000,
                                 0x7fef'ffff'ffff'ffff,
                                 0x7ff0'0000'0000'0000,
                                 0xfff0'0000'0000'0000,
                                 0x7ff8'0000'0000'0000,
                                 0xfff8'0000'0000'1234,
                                 0x7ff0'0000'0000'0001,
                                 0x3fe0'0000'0000'0000,
                                 0xbfe0'0000'0000'0000,
                                 0x3fdf'ffff'ffff'ffff,
                                 0x3ff8'0000'0000'0000,
                                 0xc004'0000'0000'0000,
                                 0x4009'21fb'5444'2d18,
                                 0xbfef'ffff'ffff'ffff,
                                 0x41df'ffff'ffc0'0000,
                                 0x41df'ffff'ffe0'0000,
                                 0xc1e0'0000'0000'0000,
                                 0xc1e0'0000'0010'0000,
                                 0xc1e0'0000'0020'0000,
                                 0x41ef'ffff'ffe0'0000,
                                 0x41ef'ffff'fff0'0000,
                                 0x41f0'0000'0000'0000,
                                 0x43df'ffff'ffff'ffff,
                                 0x43e0'0000'0000'0000,
                                 0xc3e0'0000'0000'0000,
                                 0xc3e0'0000'0000'0001,
                                 0x43ef'ffff'ffff'ffff,
                                 0x43f0'0000'0000'0000,
                                 0x4330'0000'0000'0001,
                                 0x432f'ffff'ffff'ffff,
                                 0x380f'ffff'ffff'ffff,
                                 0x3f0f'ffff'ffff'ffff,
                                 0x40ef'fc00'0000'0000,
                                 0x40ef'fe00'0000'0000,
                                 0x47ef'ffff'f000'0000};
constexpr uint32_t kSingles[] = {
    0,          0x80000000, 0x3f800000, 0xbf800000, 1,          0x807fffff, 0x00800000, 0x7f7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0xffc01234, 0x7f800001, 0x3f000000, 0xbf000000, 0x3effffff,
    0x3fc00000, 0xc0200000, 0x40490fdb, 0xbf7fffff, 0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001,
    0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0xdf000001, 0x5f7fffff, 0x5f800000,
    0x4b000001, 0x4affffff, 0x387fffff, 0x477fe000, 0x477ff000, 0x33000001, 0x7f7ff000};
constexpr uint16_t kHalves[] = {0,      0x8000, 0x3c00, 0xbc00, 1,      0x83ff, 0x0400,
                                0x7bff, 0x7c00, 0xfc00, 0x7e00, 0xfe12, 0x7c01, 0x3800,
                                0xb800, 0x37ff, 0x3e00, 0xc100, 0x4248, 0xbbff, 0x6401};
// Not boxed, one of them only as a single.
constexpr uint64_t kUnboxed[] = {0xffff'fffe'3f80'0000, 0x0000'0000'3f80'0000,
                                 0xffff'ffff'0000'3c00};

std::vector<uint64_t> operands(const isa::Row& row) {
  if (!op_has(row.op, op_flags::kFp)) return {std::begin(kIntegers), std::end(kIntegers)};
  std::vector<uint64_t> values;
  const auto has = [&](const char* part) { return row.id.find(part) != std::string_view::npos; };
  const bool move = has("_x");
  if (has("_d") || move) values.insert(values.end(), std::begin(kDoubles), std::end(kDoubles));
  if (has("_s") || has("sw") || has("lw") || move)
    for (const uint32_t bits : kSingles) values.push_back(kSingleBox | bits);
  if (has("_h") || move)
    for (const uint16_t bits : kHalves) values.push_back(kHalfBox | bits);
  values.insert(values.end(), std::begin(kUnboxed), std::end(kUnboxed));
  return values;
}

struct Registers {
  Reg rd, rs1, rs2;
};
constexpr Registers kRegisters[] = {{Reg{10}, Reg{14}, Reg{12}}, {Reg{10}, Reg{10}, Reg{12}},
                                    {Reg{10}, Reg{14}, Reg{10}}, {Reg{10}, Reg{14}, Reg{14}},
                                    {Reg{10}, Reg{10}, Reg{10}}, {Reg{0}, Reg{14}, Reg{12}},
                                    {Reg{10}, Reg{0}, Reg{12}},  {Reg{10}, Reg{14}, Reg{0}}};

class RowTest {
 public:
  explicit RowTest(unsigned threshold = 0) : compiled_(JitOptions{.threshold = threshold}) {}
  // What the row writes shows in these; `crowded` is for paths that name more registers than the
  // host has.
  void program(const std::vector<uint32_t>& words, bool fp, bool crowded) {
    uint64_t at = kCode;
    const auto emit = [&](uint32_t insn) {
      for (JitMachine* m : {&interpreted_, &compiled_}) m->poke(at, insn);
      at += 4;
    };
    for (uint32_t reg = 16; crowded && reg < 31; ++reg)
      emit(fp ? fsgnj_d_self(reg) : add(Reg{reg}, Reg{reg}, Reg{reg}));
    for (const uint32_t word : words) emit(word);
    emit(wfi());
    for (JitMachine* m : {&interpreted_, &compiled_}) m->engine->fence_i();
  }
  struct State {
    Registers registers;
    uint64_t a, b, c, d;  // rs1, rs2, rs3, rd
    bool fp, memory;
    unsigned frm, fflags = 0;
    bool float_off = false;
  };
  // The difference, or nothing.
  std::string run(const State& s) {
    for (JitMachine* m : {&interpreted_, &compiled_}) set(*m, s);
    for (JitMachine* m : {&interpreted_, &compiled_}) {
      if (m->engine->run(m->hart) != EngineExit::kWait) return "did not wait";
      m->hart.x[kRegSink] = 0;
    }
    const Hart &want = interpreted_.hart, &got = compiled_.hart;
    std::string text;
    const auto compare = [&](const char* name, uint64_t a, uint64_t b) {
      char line[96];
      if (a == b) return;
      std::snprintf(line, sizeof line, "%s: interpreter %llx, compiled %llx\n", name,
                    static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
      text += line;
    };
    for (size_t i = 0; i < 32; ++i) {
      if (want.x[i] != got.x[i]) compare(("x" + std::to_string(i)).c_str(), want.x[i], got.x[i]);
      if (want.f[i] != got.f[i]) compare(("f" + std::to_string(i)).c_str(), want.f[i], got.f[i]);
    }
    compare("pc", want.pc, got.pc);
    compare("instret", want.instret, got.instret);
    compare("cause", want.csr.mcause, got.csr.mcause);
    compare("mstatus", want.csr.mstatus, got.csr.mstatus);
    compare("fflags", want.fflags, got.fflags);
    if (s.memory)
      for (const uint64_t at : {kData, kData + 8})
        compare("memory", interpreted_.peek<uint64_t>(at), compiled_.peek<uint64_t>(at));
    return text;
  }
  const ExtensionSet& extensions() const { return interpreted_.config.extensions; }

 private:
  static uint32_t fsgnj_d_self(uint32_t reg) {
    return 0x22000053 | reg << 7 | reg << 15 | reg << 20;
  }
  static void set(JitMachine& m, const State& s) {
    Hart& hart = m.hart;
    for (size_t i = 1; i < 32; ++i) hart.x[i] = hart.f[i] = i * 0x0101'0101'0101;
    hart.f[0] = 0x3ff0'0000'0000'0000;
    hart.x[10] = hart.f[10] = s.d;
    if (s.fp) {
      hart.f[13] = s.c;
      hart.f[s.registers.rs2] = s.b;
      hart.f[s.registers.rs1] = s.a;
    }
    if (!s.fp || !s.memory) {
      hart.x[s.registers.rs2] = s.b;
      hart.x[s.registers.rs1] = s.a;
    }
    if (s.memory) {
      hart.x[s.registers.rs1] = kData;
      m.poke(kData, s.a);
      m.poke(kData + 8, s.d);
    }
    hart.x[0] = 0;
    hart.fflags = static_cast<uint8_t>(s.fflags);
    hart.frm = static_cast<uint8_t>(s.frm);
    hart.csr.mstatus = (hart.csr.mstatus & ~kMstatusFs) | uint64_t{!s.float_off} << 13;
    hart.csr.mcause = 0;
    hart.instret = 0;
    hart.pc = kCode;
    state_changed(hart);
  }

  JitMachine interpreted_{std::nullopt}, compiled_;
};

void set_field(uint32_t& word, unsigned shift, uint32_t value) {
  word = (word & ~(31u << shift)) | value << shift;
}

// A row with its operands' registers, in a path.
struct Variant {
  Registers registers;
  bool crowded;
  unsigned rm, frm;
};

std::vector<Variant> variants(const isa::Row& row) {
  std::vector<Variant> list;
  const bool rounds = op_has(row.op, op_flags::kFp) && (~row.mask >> 12 & 7) == 7;
  unsigned number = 0;
  for (const Registers& registers : kRegisters)
    for (const bool crowded : {false, true}) {
      const unsigned mode = number++ % 5;
      list.push_back({registers, crowded, mode % 2 ? mode : 7, number % 5});
    }
  // Each mode in the instruction and in frm.
  for (unsigned mode = 0; rounds && mode < 6; ++mode) {
    list.push_back({kRegisters[0], false, 7, mode});
    if (mode < 5) list.push_back({kRegisters[0], mode % 2 == 0, mode, (mode + 2) % 5});
  }
  return list;
}

uint32_t encode(const isa::Row& row, const Variant& variant, uint32_t others) {
  uint32_t word = others;
  set_field(word, 7, variant.registers.rd);
  set_field(word, 15, variant.registers.rs1);
  set_field(word, 20, variant.registers.rs2);
  if (op_has(row.op, op_flags::kFp)) word = (word & ~(7u << 12)) | variant.rm << 12;
  if (row.format == Format::kFR4) set_field(word, 27, 13);
  // The displacement of loads and stores is 0.
  if (row.format == Format::kFLoad || row.format == Format::kLoad) word &= (1u << 20) - 1;
  if (row.format == Format::kStore || row.format == Format::kFStore) word &= 0x01ff'f07f;
  return (word & ~row.mask) | row.match;
}

TEST_CASE("each row compiled does what it does interpreted") {
  RowTest test;
  unsigned rows = 0;
  for (const isa::Row& row : isa::kRows) {
    if (row.length != 4 || !row.allowed(test.extensions()) ||
        op_has(row.op, op_flags::kEndsBlock) || op_has(row.op, op_flags::kSystem))
      continue;
    ++rows;
    const bool fp = op_has(row.op, op_flags::kFp);
    const bool memory = op_has(row.op, op_flags::kReads) || op_has(row.op, op_flags::kWrites);
    const std::vector<uint64_t> values = operands(row);
    const bool unary = (row.mask >> 20 & 31) == 31;
    uint32_t number = 0;
    for (const Variant& variant : variants(row)) {
      const uint32_t word = encode(row, variant, ++number * 0x9e37'79b9);
      if (memory && variant.registers.rs1 == zero) continue;
      if (decode(word, test.extensions()).op != row.op) continue;
      test.program({word}, fp, variant.crowded);
      for (size_t i = 0; i < values.size(); ++i) {
        for (size_t j = 0; j < (unary ? 1 : values.size()); ++j) {
          const RowTest::State state{.registers = variant.registers,
                                     .a = values[i],
                                     .b = values[j],
                                     .c = values[(i + 3 * j) % values.size()],
                                     .d = (i + j) % 2 ? values[i] : values[i * j % values.size()],
                                     .fp = fp,
                                     .memory = memory,
                                     .frm = variant.frm};
          const std::string difference = test.run(state);
          if (difference.empty()) continue;
          char text[160];
          std::snprintf(text, sizeof text, "rs1 %llx rs2 %llx rs3 %llx rd %llx frm %u\n",
                        static_cast<unsigned long long>(state.a),
                        static_cast<unsigned long long>(state.b),
                        static_cast<unsigned long long>(state.c),
                        static_cast<unsigned long long>(state.d), state.frm);
          INFO(disassemble(word, kCode, test.extensions())
               << (variant.crowded ? ", crowded: " : ": ") << text << difference);
          FAIL();
        }
      }
    }
  }
  CHECK(rows > 250);
}

// Behind an instruction that leaves flags with the host, with another access behind it.
TEST_CASE("floating-point CSRs are the same compiled and interpreted") {
  RowTest test(GENERATE(0u, 1u));
  constexpr uint32_t kDivide = 0x1a20'00d3, kMultiply = 0x1220'00d3;  // fdiv.d, fmul.d f1, f0, f2
  for (uint32_t funct3 : {1u, 2u, 3u, 5u, 6u, 7u})
    for (uint32_t csr : {1u, 2u, 3u})
      for (const Registers& registers : kRegisters)
        for (const uint32_t before : {kDivide, kMultiply, uint32_t{nop()}})
          for (const bool crowded : {false, true}) {
            const uint32_t word = csr << 20 | uint32_t{registers.rs1} << 15 | funct3 << 12 |
                                  uint32_t{registers.rd} << 7 | 0x73;
            // frflags a1; the flags of what comes next go with those that are left.
            test.program({before, word, 0x0010'25f3, kMultiply, word}, false, crowded);
            for (const uint64_t a : {0ull, 1ull, 31ull, 0xe2ull, ~0ull, 0x7eull})
              for (const unsigned fflags : {0u, 1u, 0x1fu, 0x12u})
                for (const unsigned frm : {0u, 2u, 4u, 7u})
                  for (const bool off : {false, true}) {
                    const RowTest::State state{.registers = registers,
                                               .a = a,
                                               .b = 0,
                                               .c = 0,
                                               .d = a,
                                               .fp = false,
                                               .memory = false,
                                               .frm = frm,
                                               .fflags = fflags,
                                               .float_off = off};
                    const std::string difference = test.run(state);
                    if (difference.empty()) continue;
                    INFO(disassemble(word, kCode, test.extensions())
                         << " rs1 " << a << " fflags " << fflags << " frm " << frm
                         << (off ? " FS off\n" : "\n") << difference);
                    FAIL();
                  }
          }
}

}  // namespace
}  // namespace hv::test
