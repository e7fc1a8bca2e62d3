// The pass between a path and its code: what it finds out about small paths, and that random ones
// leave the same registers wherever something can see them.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "cpu/decode.h"
#include "cpu/disasm.h"
#include "cpu/isa/rows.h"
#include "cpu/jit/helpers.h"
#include "cpu/jit/optimize.h"
#include "cpu/jit/values.h"
#include "tests/unit/cpu/encode.h"

namespace hv::jit {
namespace {

using namespace hv::test::rv;
using Form = TraceOp::Form;

const ExtensionSet& extensions() {
  static const CpuConfig config = CpuConfig::parse("max").value();
  return config.extensions;
}

constexpr uint32_t shift(uint32_t funct6, uint32_t amount, Reg rs1, uint32_t funct3, Reg rd) {
  return i_type(static_cast<int32_t>(funct6 << 6 | amount), rs1, funct3, rd, 0x13);
}
constexpr uint32_t slli(Reg rd, Reg rs1, uint32_t amount) {
  return shift(0, amount, rs1, 1, rd);
}
constexpr uint32_t srli(Reg rd, Reg rs1, uint32_t amount) {
  return shift(0, amount, rs1, 5, rd);
}
constexpr uint32_t andi(Reg rd, Reg rs1, int32_t imm) {
  return i_type(imm, rs1, 7, rd, 0x13);
}
constexpr uint32_t mv(Reg rd, Reg rs1) {
  return addi(rd, rs1, 0);
}
constexpr uint32_t addiw(Reg rd, Reg rs1, int32_t imm) {
  return i_type(imm, rs1, 0, rd, 0x1b);
}
constexpr uint32_t lbu(Reg rd, Reg rs1, int32_t imm) {
  return i_type(imm, rs1, 4, rd, 0x03);
}
constexpr uint32_t sltu(Reg rd, Reg rs1, Reg rs2) {
  return r_type(0, rs2, rs1, 3, rd, 0x33);
}
constexpr uint32_t auipc(Reg rd, uint32_t upper) {
  return upper << 12 | rd << 7 | 0x17;
}

Trace path(std::initializer_list<uint32_t> words, bool loops = false) {
  Trace trace;
  uint16_t at = 0x100;
  for (const uint32_t word : words) {
    const Decoded decoded = decode(word, extensions());
    trace.ops.push_back({.kind = decoded.op,
                         .fields = decoded.fields,
                         .page_offset = at,
                         .length = decoded.length,
                         .word = word});
    at = static_cast<uint16_t>(at + decoded.length);
  }
  trace.loops = loops;
  return trace;
}
Trace optimized(std::initializer_list<uint32_t> words, bool loops = false) {
  Trace trace = path(words, loops);
  optimize(trace);
  return trace;
}

TEST_CASE("a chain that makes a constant becomes one constant") {
  const Trace trace = optimized({lui(a0, 0x12345), addiw(a0, a0, 0x678), slli(a0, a0, 12),
                                 addi(a0, a0, -1), add(a1, a0, a0)});
  const TraceOp& last = trace.ops[3];
  CHECK(last.form == Form::kConstant);
  CHECK(last.constant == 0x12345677fff);
  CHECK(last.page_offset == 0x10c);
  CHECK(last.word == addi(a0, a0, -1));
  CHECK(trace.ops[4].form == Form::kConstant);
  CHECK(trace.ops[4].constant == 2 * 0x12345677fffull);
}

TEST_CASE("a constant operand becomes an immediate") {
  const Trace trace = optimized({lui(t0, 0x10), add(a0, a1, t0), sltu(a2, a1, t0), add(a3, t0, a1),
                                 branch(4, a1, t0, 16), branch(4, t0, a1, 16)});
  CHECK(trace.ops[1].kind == Op::addi);
  CHECK(trace.ops[1].fields.imm == 0x10000);
  CHECK(trace.ops[2].kind == Op::sltiu);
  // The sum is there already.
  CHECK(trace.ops[3].kind == Op::addi);
  CHECK(trace.ops[3].fields.rs1 == a0);
  CHECK(trace.ops[3].fields.imm == 0);
  CHECK(trace.ops[4].form == Form::kConstant);
  CHECK(trace.ops[4].constant == 0x10000);
}

TEST_CASE("a constant on a branch's left goes to its right") {
  // a1 > 65536 is a1 >= 65537.
  const Trace trace = optimized({lui(t0, 0x10), branch(4, t0, a1, 16), nop()});
  CHECK(trace.ops[1].kind == Op::bge);
  CHECK(trace.ops[1].fields.rs1 == a1);
  CHECK(trace.ops[1].constant == 0x10001);
}

TEST_CASE("what is extended already is not extended again") {
  const Trace trace =
      optimized({lw(a0, sp, 0), addiw(a1, a0, 0), lbu(a2, sp, 4), andi(a2, a2, 255)});
  CHECK(trace.ops[1].kind == Op::addi);
  CHECK(trace.ops[1].fields.rs1 == a0);
  CHECK(trace.ops[3].form == Form::kNothing);
  // A double word's upper half is not known.
  CHECK(optimized({ld(a0, sp, 0), addiw(a1, a0, 0)}).ops[1].kind == Op::addiw);
}

TEST_CASE("shifts that extend are one extension") {
  const Trace trace = optimized(
      {slli(a0, a0, 32), srli(a0, a0, 32), slli(a1, a1, 32), srli(a1, a1, 30), ld(a2, a1, 0)});
  CHECK(trace.ops[0].form == Form::kNothing);
  CHECK(trace.ops[1].kind == Op::add_uw);
  CHECK(trace.ops[1].fields.rs2 == 0);
  CHECK(trace.ops[3].kind == Op::slli_uw);
  CHECK(trace.ops[3].fields.imm == 2);
}

TEST_CASE("a load's address is folded to what it was made of") {
  const Trace trace = optimized({addi(a0, sp, 32), ld(a1, a0, -24)});
  CHECK(trace.ops[1].fields.rs1 == sp);
  CHECK(trace.ops[1].fields.imm == 8);
}

TEST_CASE("pc-relative values are no constants") {
  const Trace trace = optimized({auipc(a0, 1), addi(a1, a0, 8)});
  CHECK(trace.ops[0].form == Form::kOp);
  CHECK(trace.ops[1].form == Form::kOp);
}

TEST_CASE("an address in the page is made at once") {
  const Trace trace = optimized({auipc(a0, 1), addi(a0, a0, 8)});
  CHECK(trace.ops[0].form == Form::kNothing);
  CHECK(trace.ops[1].kind == Op::auipc);
  CHECK(trace.ops[1].page_offset + trace.ops[1].fields.imm == 0x100 + 0x1000 + 8);
}

TEST_CASE("a write that nothing can see is dropped") {
  const Trace trace = optimized({mv(a1, a0), add(a1, a1, a1), jal(ra, 4), add(ra, a0, a2)});
  CHECK(trace.ops[0].form == Form::kNothing);
  CHECK(trace.ops[1].fields.rs1 == a0);
  CHECK(trace.ops[2].fields.rd == kRegSink);
}

TEST_CASE("a write that an exit or an exception can show stays") {
  CHECK(optimized({add(a1, a0, a2), ld(a1, a0, 0), nop()}).ops[0].form == Form::kOp);
  CHECK(optimized({add(a1, a0, a2), beq(a0, a2, 8), add(a1, a2, a2)}).ops[0].form == Form::kOp);
  // A round of a loop may be the last.
  CHECK(optimized({add(a2, a0, a0), add(a1, a0, a2)}, true).ops[1].form == Form::kOp);
}

TEST_CASE("accesses around one value share a probe") {
  // A function's frame, the second value of sp a constant away from the first.
  const Trace trace = optimized({addi(sp, sp, -32), sd(ra, sp, 24), sd(s0, sp, 16), lw(a0, a1, 0),
                                 ld(ra, sp, 24), ld(s0, sp, 16), addi(sp, sp, 32), lw(a2, a1, 8)});
  REQUIRE(trace.groups.size() == 2);
  const ProbeGroup &frame = trace.groups[0], &structure = trace.groups[1];
  CHECK(frame.bytes == 16);
  CHECK(frame.stores);
  CHECK_FALSE(frame.carried);
  CHECK(structure.bytes == 12);
  CHECK_FALSE(structure.stores);
  CHECK(frame.slot != structure.slot);
  CHECK(trace.ops[1].group == 0);
  CHECK(trace.ops[1].probes);
  CHECK(trace.ops[1].group_offset == 8);
  CHECK(trace.ops[2].group == 0);
  CHECK_FALSE(trace.ops[2].probes);
  CHECK(trace.ops[2].group_offset == 0);
  CHECK(trace.ops[5].group == 0);
  CHECK(trace.ops[7].group == 1);
}

TEST_CASE("what is far away or has another base has a probe of its own") {
  const Trace trace =
      optimized({ld(a0, a1, 0), ld(a2, a1, 1000), ld(a3, a0, 0), ld(a4, a2, 0), addi(a5, a5, 1)});
  CHECK(trace.groups.empty());
}

TEST_CASE("only what a loop leaves alone is carried from round to round") {
  const Trace trace = optimized(
      {ld(a0, a1, 0), ld(a2, a3, 0), addi(a3, a3, 8), ld(a4, a3, 0), bne(a4, zero, -16)}, true);
  REQUIRE(trace.groups.size() == 2);
  CHECK(trace.groups[0].carried);
  CHECK_FALSE(trace.groups[1].carried);
  CHECK(trace.ops[3].group == 1);
  CHECK(trace.ops[3].group_offset == 8);
}

TEST_CASE("a probe is not used behind what may change translations") {
  const Trace trace = optimized(
      {ld(a0, a1, 0), csrw(0x180, a2), ld(a0, a1, 8), ld(a3, a1, 16), bne(a3, zero, -16)}, true);
  REQUIRE(trace.groups.size() == 1);
  CHECK(trace.ops[0].group < 0);
  CHECK(trace.ops[2].probes);
  CHECK_FALSE(trace.groups[0].carried);
  CHECK(trace.ops[1].fields.rs1 == a2);
}

// --- random paths

// Runs ops on plain registers: loads give what depends on the address, and each op that may leave
// the path notes all that can be seen there.
class Model {
 public:
  explicit Model(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (unsigned reg = 1; reg < 32; ++reg) {
      const uint64_t value = random();
      hart_.x[reg] = value % 3 == 0 ? value : value % 3 == 1 ? value % 64 : value >> 34;
    }
  }
  // The address of the page that the path is in.
  static constexpr uint64_t kPage = 0xffff'ffd0'1234'5000;

  struct Sight {
    size_t index;
    std::array<uint64_t, 34> what;
    bool operator==(const Sight&) const = default;
  };

  void run(const Trace& trace) {
    for (index_ = 0; index_ < trace.ops.size(); ++index_) run(trace.ops[index_]);
    see(0);
  }
  const std::vector<Sight>& seen() const { return seen_; }

 private:
  void run(const TraceOp& op) {
    if (op.form == Form::kNothing) return;
    auto& x = hart_.x;
    const uint64_t a = x[op.fields.rs1], b = x[op.fields.rs2];
    if (op_has(op.kind, op_flags::kBranch)) {
      see(taken(op.kind, a, op.form == Form::kConstant ? op.constant : b));
    } else if (op.form == Form::kConstant) {
      x[op.fields.rd] = op.constant;
    } else if (op.kind == Op::auipc) {
      x[op.fields.rd] = kPage + op.page_offset + static_cast<uint64_t>(int64_t{op.fields.imm});
    } else if (op.kind == Op::jal) {
      x[op.fields.rd] = kPage + op.page_offset + op.length;
    } else if (is_pure(op.kind)) {
      op_helper(op.kind)(&hart_, &op.fields);
    } else {
      const uint64_t address = a + static_cast<uint64_t>(int64_t{op.fields.imm});
      const bool store = op_has(op.kind, op_flags::kWrites);
      see(address, store ? b : 0);
      if (!store) {
        const uint64_t value = address * 0x9e37'79b9'7f4a'7c15;
        x[op.fields.rd] = op.kind == Op::lw    ? static_cast<uint64_t>(static_cast<int32_t>(value))
                          : op.kind == Op::lbu ? value & 255
                                               : value;
      }
    }
  }
  static bool taken(Op kind, uint64_t a, uint64_t b) {
    const auto sa = static_cast<int64_t>(a), sb = static_cast<int64_t>(b);
    switch (kind) {
      case Op::beq:
        return a == b;
      case Op::bne:
        return a != b;
      case Op::blt:
        return sa < sb;
      case Op::bge:
        return sa >= sb;
      case Op::bltu:
        return a < b;
      default:
        return a >= b;
    }
  }
  void see(uint64_t what, uint64_t more = 0) {
    Sight sight{index_, {what, more}};
    std::copy(hart_.x.begin(), hart_.x.begin() + 32, sight.what.begin() + 2);
    seen_.push_back(sight);
  }

  Hart hart_;
  size_t index_ = 0;
  std::vector<Sight> seen_;
};

class RandomPath {
 public:
  explicit RandomPath(uint64_t seed) : random_(seed) {
    uint16_t at = 0x80;
    for (unsigned count = 4 + below(40); trace.ops.size() < count;) {
      const size_t begin = trace.ops.size();
      append();
      for (size_t i = begin; i < trace.ops.size(); ++i, at += 4) trace.ops[i].page_offset = at;
    }
    trace.loops = below(2) == 0;
  }
  Trace trace;

 private:
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  Reg any() { return below(8) ? Reg{10 + below(5)} : zero; }

  void append(uint32_t word) {
    const Decoded decoded = decode(word, extensions());
    trace.ops.push_back({.kind = decoded.op,
                         .fields = decoded.fields,
                         .page_offset = 0,
                         .length = decoded.length,
                         .taken = below(2) == 0,
                         .word = word});
  }
  void append() {
    const Reg rd = any(), rs = any();
    const auto imm = static_cast<int32_t>(below(below(2) ? 4096 : 16)) - 2048 * (below(4) == 0);
    switch (below(16)) {
      case 0:
        append(lui(rd, below(1 << 20)));
        append(below(2) ? addi(rd, rd, imm) : addiw(rd, rd, imm));
        return;
      case 1: {
        const uint32_t up = 8 * (4 + below(4));
        append(slli(rd, rs, up));
        append(shift(below(2) ? 0x10 : 0, below(3) ? up : below(64), rd, 5, below(3) ? rd : any()));
        return;
      }
      case 2:
        append(addi(rd, rs, below(3) ? 0 : imm));
        return;
      case 3:
        append(below(2) ? addiw(rd, rs, 0) : andi(rd, rs, 255));
        return;
      case 4:
        append(auipc(rd, below(1 << 20)));
        append(addi(below(2) ? rd : any(), rd, imm));
        return;
      case 5:
        append(jal(rd, 4));
        return;
      case 6: {
        constexpr uint32_t kFunctions[] = {0, 1, 4, 5, 6, 7};
        append(branch(kFunctions[below(6)], rs, any(), 64));
        return;
      }
      case 7:
        append(sd(any(), rs, imm));
        return;
      case 8:
        append(below(2) ? ld(rd, rs, imm) : lw(rd, rs, imm));
        return;
      case 9:
        append(lbu(rd, rs, imm));
        return;
      default:
        break;
    }
    for (;;) {
      const isa::Row& row = isa::kRows[below(std::size(isa::kRows))];
      if (row.length != 4 || !row.allowed(extensions()) || !is_pure(row.op)) continue;
      uint32_t word = static_cast<uint32_t>(random_());
      const auto field = [&](unsigned at, uint32_t value) {
        word = (word & ~(31u << at)) | value << at;
      };
      field(7, rd);
      field(15, rs);
      field(20, any());
      word = (word & ~row.mask) | row.match;
      if (decode(word, extensions()).op != row.op) continue;
      append(word);
      return;
    }
  }

  std::mt19937_64 random_;
};

std::string listing(const Trace& trace, const Trace& optimized) {
  std::string text;
  for (size_t i = 0; i < trace.ops.size(); ++i) {
    const TraceOp& op = optimized.ops[i];
    text += std::to_string(i) + ": " + disassemble(trace.ops[i].word, 0, extensions());
    if (op.form == Form::kNothing)
      text += "   nothing";
    else if (op.form == Form::kConstant)
      text += "   constant " + std::to_string(op.constant);
    else
      text += "   op " + std::to_string(static_cast<int>(op.kind)) + " rd " +
              std::to_string(op.fields.rd) + " rs1 " + std::to_string(op.fields.rs1) + " rs2 " +
              std::to_string(op.fields.rs2) + " imm " + std::to_string(op.fields.imm);
    text += '\n';
  }
  return text;
}

TEST_CASE("what can be seen of a path is the same after optimize()") {
  unsigned changed = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    const Trace trace = RandomPath(seed).trace;
    Trace after = trace;
    optimize(after);
    REQUIRE(after.ops.size() == trace.ops.size());
    for (uint64_t state = 0; state < 3; ++state) {
      Model before(seed * 8 + state), then(seed * 8 + state);
      before.run(trace);
      then.run(after);
      // A branch that always stays on the path is no place to see anything.
      std::vector<Model::Sight> expected;
      for (const Model::Sight& sight : before.seen()) {
        const bool inside = sight.index < trace.ops.size();
        if (inside && after.ops[sight.index].form == Form::kNothing) {
          INFO("HV seed " << seed << '\n' << listing(trace, after));
          REQUIRE(op_has(trace.ops[sight.index].kind, op_flags::kBranch));
          REQUIRE((sight.what[0] != 0) == trace.ops[sight.index].taken);
          ++changed;
        } else {
          expected.push_back(sight);
        }
      }
      if (expected == then.seen()) continue;
      INFO("seed " << seed << '\n' << listing(trace, after));
      REQUIRE(expected.size() == then.seen().size());
      for (size_t i = 0; i < expected.size(); ++i) {
        INFO("at op " << expected[i].index);
        REQUIRE(expected[i].index == then.seen()[i].index);
        REQUIRE(expected[i].what == then.seen()[i].what);
      }
    }
  }
  CHECK(changed > 0);
}

}  // namespace
}  // namespace hv::jit
