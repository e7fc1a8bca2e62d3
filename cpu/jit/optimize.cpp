#include "cpu/jit/optimize.h"

#include <bit>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "cpu/jit/probe_groups.h"
#include "cpu/jit/values.h"

namespace hv::jit {
namespace {

using Form = TraceOp::Form;

constexpr bool fits(uint64_t value) {
  return static_cast<int64_t>(value) == static_cast<int32_t>(value);
}

uint64_t imm_of(const TraceOp& op) {
  return static_cast<uint64_t>(int64_t{op.fields.imm});
}

void become(TraceOp& op, Op kind, unsigned rs1, unsigned rs2, uint64_t imm) {
  op.kind = kind;
  op.fields.rs1 = static_cast<uint8_t>(rs1);
  op.fields.rs2 = static_cast<uint8_t>(rs2);
  op.fields.imm = static_cast<int32_t>(imm);
}

// Fields that are no registers do not look like some.
void normalize(TraceOp& op) {
  const bool load = op_has(op.kind, op_flags::kReads) && !op_has(op.kind, op_flags::kFp);
  if (!is_pure(op.kind) && op.kind != Op::auipc && !load) return;
  if (!reads_rs1(op.kind)) op.fields.rs1 = 0;
  if (!reads_rs2(op.kind)) op.fields.rs2 = 0;
}

// --- one operand is a constant

// The kind with rs2 = `value` as its immediate; imm is changed where it is not just the value.
std::optional<Op> immediate_kind(Op kind, uint64_t& imm) {
  switch (kind) {
    case Op::add:
      return Op::addi;
    case Op::sub:
      imm = -imm;
      return Op::addi;
    case Op::addw:
      imm = static_cast<uint64_t>(int64_t{static_cast<int32_t>(imm)});
      return Op::addiw;
    case Op::subw:
      imm = static_cast<uint64_t>(int64_t{static_cast<int32_t>(-imm)});
      return Op::addiw;
    case Op::and_:
      return Op::andi;
    case Op::or_:
      return Op::ori;
    case Op::xor_:
      return Op::xori;
    case Op::slt:
      return Op::slti;
    case Op::sltu:
      return Op::sltiu;
    case Op::sll:
      imm &= 63;
      return Op::slli;
    case Op::srl:
      imm &= 63;
      return Op::srli;
    case Op::sra:
      imm &= 63;
      return Op::srai;
    case Op::sllw:
      imm &= 31;
      return Op::slliw;
    case Op::srlw:
      imm &= 31;
      return Op::srliw;
    case Op::sraw:
      imm &= 31;
      return Op::sraiw;
    case Op::mul:
      if (!std::has_single_bit(imm)) return std::nullopt;
      imm = static_cast<uint64_t>(std::countr_zero(imm));
      return Op::slli;
    default:
      return std::nullopt;
  }
}

bool commutes(Op kind) {
  switch (kind) {
    case Op::add:
    case Op::addw:
    case Op::and_:
    case Op::or_:
    case Op::xor_:
    case Op::mul:
      return true;
    default:
      return false;
  }
}

void use_immediate(TraceOp& op, const Values& values) {
  const unsigned rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  const bool swapped = commutes(op.kind) && values.of(rs1).constant();
  const Value& operand = values.of(swapped ? rs1 : rs2);
  if (!operand.constant()) return;
  uint64_t imm = operand.offset;
  // Zero extension of a word.
  if (op.kind == Op::and_ && imm == 0xffff'ffff)
    return become(op, Op::add_uw, swapped ? rs2 : rs1, 0, 0);
  if (const auto kind = immediate_kind(op.kind, imm); kind && fits(imm))
    become(op, *kind, swapped ? rs2 : rs1, 0, imm);
}

// A branch compares with a constant, or is none.
void decide_branch(TraceOp& op, const Values& values) {
  const auto always = [&](bool taken) {
    // The other way would leave the path, which went here: unless it never runs this far.
    if (taken == op.taken) op.form = Form::kNothing;
  };
  Value a = values.of(op.fields.rs1), b = values.of(op.fields.rs2);
  if (a == b) return always(op.kind == Op::beq || op.kind == Op::bge || op.kind == Op::bgeu);
  if (a.constant() && b.constant()) {
    const auto sa = static_cast<int64_t>(a.offset), sb = static_cast<int64_t>(b.offset);
    switch (op.kind) {
      case Op::beq:
      case Op::bne:
        return always(op.kind == Op::bne);
      case Op::blt:
      case Op::bge:
        return always((sa < sb) == (op.kind == Op::blt));
      default:
        return always((a.offset < b.offset) == (op.kind == Op::bltu));
    }
  }
  if (a.constant()) {
    // c < b is b >= c + 1.
    const auto exchange = [&](Op kind, uint64_t constant, bool possible) {
      if (!possible || !fits(constant)) return;
      op.kind = kind;
      op.fields.rs1 = op.fields.rs2;
      b = constant_value(constant);
    };
    const uint64_t next = a.offset + 1;
    const bool greatest = static_cast<int64_t>(a.offset) == std::numeric_limits<int64_t>::max();
    switch (op.kind) {
      case Op::beq:
      case Op::bne:
        exchange(op.kind, a.offset, true);
        break;
      case Op::blt:
        exchange(Op::bge, next, !greatest);
        break;
      case Op::bge:
        exchange(Op::blt, next, !greatest);
        break;
      case Op::bltu:
        exchange(Op::bgeu, next, next != 0);
        break;
      default:
        exchange(Op::bltu, next, next != 0);
        break;
    }
  }
  if (!b.constant() || !fits(b.offset)) return;
  op.fields.rs2 = 0;
  if (b.offset == 0) return;
  op.form = Form::kConstant;
  op.constant = b.offset;
}

// --- extensions

// A left shift and a right shift that together cut a value to its low bits.
struct Extension {
  Op kind;
  uint64_t imm;
};
std::optional<Extension> extension(const TraceOp& left, const TraceOp& right) {
  if (left.kind != Op::slli || left.form != Form::kOp || right.fields.rs1 != left.fields.rd)
    return std::nullopt;
  const int up = left.fields.imm, down = right.fields.imm;
  if (right.kind == Op::srli) {
    if (up == 56 && down == 56) return Extension{Op::andi, 0xff};
    if (up == 48 && down == 48) return Extension{Op::zext_h, 0};
    if (up == 32 && down == 32) return Extension{Op::add_uw, 0};
    if (up == 32 && down < 32 && down > 0)
      return Extension{Op::slli_uw, static_cast<uint64_t>(32 - down)};
  } else if (right.kind == Op::srai) {
    if (up == 56 && down == 56) return Extension{Op::sext_b, 0};
    if (up == 48 && down == 48) return Extension{Op::sext_h, 0};
    if (up == 32 && down == 32) return Extension{Op::addiw, 0};
  }
  return std::nullopt;
}

// --- the passes

class Optimizer {
 public:
  explicit Optimizer(Trace& trace) : trace_(trace), ops_(trace.ops), loops_(trace.loops) {}

  void run() {
    for (TraceOp& op : ops_) normalize(op);
    join_shifts();
    Values values;
    std::vector<Access> accesses;
    uint32_t context = 0;
    for (size_t i = 0; i < ops_.size(); ++i) {
      rewrite(ops_[i], values, i + 1 == ops_.size() && !loops_);
      if (i > 0) join_page_offset(ops_[i - 1], ops_[i], values);
      if (is_access(ops_[i].kind)) {
        const Value& base = values.of(ops_[i].fields.rs1);
        accesses.push_back({.op = i,
                            .base = base.base,
                            .offset = base.offset + imm_of(ops_[i]),
                            .context = context,
                            .step = std::nullopt});
      }
      if (runs_system_code(ops_[i])) ++context;
      values.pass(ops_[i]);
    }
    drop_unseen();
    if (loops_ && context == 0)
      for (Access& access : accesses) find_step(access, values);
    make_probe_groups(trace_, accesses);
  }

 private:
  // How far the access' base is from that of the round before; `values` are those of its end.
  static void find_step(Access& access, const Values& values) {
    if (access.base <= Value::kPage) access.step = 0;
    for (unsigned reg = 1; reg < 32; ++reg) {
      if (access.base != Values::initial(reg) || values.of(reg).base != access.base) continue;
      access.step = static_cast<int64_t>(values.of(reg).offset);
      access.stepper = reg;
    }
  }

  // Pairs of shifts of which nobody sees the first one's result.
  void join_shifts() {
    for (size_t i = 0; i + 1 < ops_.size(); ++i) {
      TraceOp &left = ops_[i], &right = ops_[i + 1];
      const auto joined = extension(left, right);
      if (!joined || right.fields.rd != left.fields.rd) continue;
      become(right, joined->kind, left.fields.rs1, 0, joined->imm);
      left.form = Form::kNothing;
    }
  }

  // auipc and addi: the second makes it all.
  static void join_page_offset(const TraceOp& upper, TraceOp& lower, Values& values) {
    if (upper.kind != Op::auipc || upper.form != Form::kOp || lower.kind != Op::addi ||
        lower.form != Form::kOp || lower.fields.rd != upper.fields.rd)
      return;
    const Value result = values.result(lower);
    const uint64_t imm = result.offset - lower.page_offset;
    // The emitter adds both.
    if (result.base == Value::kPage && fits(imm) && fits(result.offset))
      become(lower, Op::auipc, 0, 0, imm);
  }

  static void rewrite(TraceOp& op, Values& values, bool last) {
    if (op.form != Form::kOp) return;
    share_sources(op, values);
    if (op_has(op.kind, op_flags::kBranch)) {
      if (!last) decide_branch(op, values);
      return;
    }
    if (is_access(op.kind)) {
      fold_address(op, values);
      return;
    }
    if (!is_pure(op.kind) && op.kind != Op::auipc) return;
    if (op.fields.rd >= 32) {
      op.form = Form::kNothing;
      return;
    }
    if (is_pure(op.kind)) use_immediate(op, values);
    const Value result = values.result(op);
    if (values.of(op.fields.rd) == result) {
      op.form = Form::kNothing;
    } else if (result.constant()) {
      op.form = Form::kConstant;
      op.constant = result.offset;
    } else if (const auto holder = values.holder(result)) {
      become(op, Op::addi, *holder, 0, 0);
    } else if (op.kind == Op::addi || op.kind == Op::add) {
      rebase(op, result, values);
    }
  }

  // Reads the register that had the value first: the copies may turn out to be for nobody.
  static void share_sources(TraceOp& op, const Values& values) {
    if (!is_pure(op.kind) && !op_has(op.kind, op_flags::kBranch) && !is_access(op.kind)) return;
    const auto share = [&](uint8_t& reg) {
      const Value& value = values.of(reg);
      if (value.constant()) return;
      if (const auto holder = values.holder(value)) reg = static_cast<uint8_t>(*holder);
    };
    if (reads_rs1(op.kind)) share(op.fields.rs1);
    if (reads_rs2(op.kind)) share(op.fields.rs2);
  }

  // The sum that makes `result`, from the register that has its base for longest.
  static void rebase(TraceOp& op, const Value& result, const Values& values) {
    const auto base = values.relative(result);
    if (!base) return;
    const uint64_t distance = result.offset - values.of(*base).offset;
    if (fits(distance)) become(op, Op::addi, *base, 0, distance);
  }

  static void fold_address(TraceOp& op, const Values& values) {
    const Value& base = values.of(op.fields.rs1);
    const uint64_t offset = base.offset + imm_of(op);
    unsigned reg = op.fields.rs1;
    uint64_t imm = offset;
    if (base.constant()) {
      reg = 0;
    } else if (const auto relative = values.relative(base)) {
      reg = *relative;
      imm = offset - values.of(reg).offset;
    }
    if (!fits(imm)) return;
    op.fields.rs1 = static_cast<uint8_t>(reg);
    op.fields.imm = static_cast<int32_t>(imm);
  }

  // Writes that are written over before an exit, an exception or the path's end could show them.
  void drop_unseen() {
    uint32_t unseen = 0;
    for (size_t i = ops_.size(); i-- > 0;) {
      TraceOp& op = ops_[i];
      if (op.form == Form::kNothing) continue;
      const bool stays = is_pure(op.kind) || op.kind == Op::auipc || op.kind == Op::fence ||
                         (op.kind == Op::jal && i + 1 < ops_.size());
      if (!stays) {
        unseen = 0;
        continue;
      }
      const Registers registers = registers_of(op);
      if (registers.writes && (registers.writes & ~unseen) == 0) {
        if (op.kind == Op::jal)
          op.fields.rd = kRegSink;
        else
          op.form = Form::kNothing;
        continue;
      }
      unseen = (unseen | registers.writes) & ~registers.reads;
    }
  }

  Trace& trace_;
  std::vector<TraceOp>& ops_;
  const bool loops_;
};

}  // namespace

void optimize(Trace& trace) {
  Optimizer(trace).run();
}

}  // namespace hv::jit
