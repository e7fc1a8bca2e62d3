#include "cpu/interp/interpreter.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/code_pages.h"
#include "cpu/decode.h"
#include "cpu/fpu.h"
#include "cpu/semantics.h"
#include "cpu/trap.h"
#include "io/log.h"

namespace hv {
namespace {

bool in_page(uint64_t offset) {
  return (offset & kPageMask) == 0;
}

// Whether an instruction may begin at pc; with C at every address that a jump can form.
bool aligned(const Hart& hart, uint64_t pc) {
  return !(pc & 2) || hart.has(Ext::kC);
}

// Where a path ends that has not ended by itself.
constexpr size_t kMaxPathOps = 200;

bool requested(const Hart& hart) {
  return hart.requests.load(std::memory_order_relaxed) != 0;
}

struct Pair {
  Op first, second;
};
constexpr Pair kPairs[] = {
#define PAIR(first, second) {Op::first, Op::second},
#include "cpu/interp/pairs.inc"
};
constexpr size_t kPairCount = std::size(kPairs);

// Index in kPairs, or -1.
int pair_index(Op first, Op second) {
  constexpr size_t kOps = static_cast<size_t>(Op::kCount);
  static_assert(kPairCount < 256);
  static constexpr auto kIndex = [] {
    std::array<std::array<uint8_t, kOps>, kOps> index{};
    for (size_t i = 0; i < kPairCount; ++i)
      index[static_cast<size_t>(kPairs[i].first)][static_cast<size_t>(kPairs[i].second)] =
          static_cast<uint8_t>(i + 1);
    return index;
  }();
  return kIndex[static_cast<size_t>(first)][static_cast<size_t>(second)] - 1;
}

}  // namespace

// Labels inside execute().
#define HV_LABEL(id) &&op_##id
#define HV_PAIR_LABEL(first, second) &&pair_##first##_##second

struct Interpreter::Labels {
  std::array<const void*, static_cast<size_t>(Op::kCount)> ops;
  std::array<const void*, kPairCount> pairs;  // kPairs' order
  // Where a way on leaves the page, so that what follows depends on more than this block.
  const void* far_jal;
  const void* end_of_page;
  std::array<const void*, 6> far_branches;  // beq to bgeu
  // Without C: a jal whose target is not 4-aligned, and any jalr, whose target may be.
  const void* misaligned_jal;
  const void* checked_jalr;
  const void* end_of_block;
  const void* unlinked;
  // What a block begins with until it is compiled, and then.
  const void* cold;
  const void* native;
};

// What ends a handler. Each handler ends in a dispatch of its own, which gives the host's branch
// predictor a place to learn what follows each op.

// The next op of the block.
#define HV_NEXT         \
  do {                  \
    ++op;               \
    goto * op->handler; \
  } while (0)

#define HV_ENTER(successor) \
  do {                      \
    block = (successor);    \
    op = block->ops();      \
    goto * op->handler;     \
  } while (0)

#define HV_PC_OF(op) (pc + (op)->pc_halfwords * 2u)

// Leaves the block by its exit `which` (index of Block::next) for pc, already set.
#define HV_EXIT(which)                \
  do {                                \
    retired += block->op_count;       \
    link = &block->next[which];       \
    if (requested(hart)) [[unlikely]] \
      goto leave;                     \
    HV_ENTER(*link);                  \
  } while (0)

// Leaves the block for pc, already set, wherever that is.
#define HV_EXIT_FAR()                       \
  do {                                      \
    retired += block->op_count;             \
    if (requested(hart)) [[unlikely]]       \
      goto leave;                           \
    block = cache_.lookup_recent(hart, pc); \
    if (!block) [[unlikely]]                \
      goto look_up;                         \
    HV_ENTER(block);                        \
  } while (0)

// finish() has made both ways on relative to the block.
#define HV_BRANCH(id)                                            \
  do {                                                           \
    if (semantics::id(hart, *op) == semantics::Branch::kTaken) { \
      pc += semantics::imm64(*op);                               \
      HV_EXIT(1);                                                \
    } else {                                                     \
      pc += op->rd * 2u;                                         \
      HV_EXIT(0);                                                \
    }                                                            \
  } while (0)

#define HV_FAR_BRANCH(id)                                         \
  far_##id : {                                                    \
    if (semantics::id(hart, *op) == semantics::Branch::kNotTaken) \
      pc += op->rd * 2u;                                          \
    else if (!aligned(hart, pc + semantics::imm64(*op)))          \
      goto misaligned_branch;                                     \
    else                                                          \
      pc += semantics::imm64(*op);                                \
    HV_EXIT_FAR();                                                \
  }

// A jal's target is the same each time, a jalr's is not.
#define HV_JUMP(id)                                             \
  do {                                                          \
    pc = semantics::id(hart, *op, semantics::Pc{HV_PC_OF(op)}); \
    if constexpr (Op::id == Op::jal)                            \
      HV_EXIT(1);                                               \
    else                                                        \
      HV_EXIT_FAR();                                            \
  } while (0)

// Makes pc and instret exact first. Afterwards the block may be gone.
#define HV_SYSTEM(id)                                    \
  do {                                                   \
    hart.pc = HV_PC_OF(op);                              \
    hart.instret += retired + block->op_count - 1;       \
    retired = 0;                                         \
    length = Block::op_length(op);                       \
    outcome = semantics::id(hart, *op, block->word(op)); \
    goto after_system;                                   \
  } while (0)

// An op that the next one of the block follows.
#define HV_STRAIGHT(id)                                                              \
  do {                                                                               \
    if constexpr (requires { semantics::id(hart, *op, semantics::Pc{}); }) {         \
      semantics::id(hart, *op, semantics::Pc{HV_PC_OF(op)});                         \
    } else if constexpr (std::is_same_v<decltype(semantics::id(hart, *op)), void>) { \
      semantics::id(hart, *op);                                                      \
    } else {                                                                         \
      if (!semantics::id(hart, *op)) [[unlikely]]                                    \
        goto exception;                                                              \
    }                                                                                \
  } while (0)

// The rest of a row's handler; its kind follows from the type of the row's body (cpu/semantics.h).
#define HV_HANDLER(id)                                          \
  do {                                                          \
    if constexpr (requires { semantics::id(hart, *op, 0u); }) { \
      HV_SYSTEM(id);                                            \
    } else if constexpr (op_has(Op::id, op_flags::kJump)) {     \
      HV_JUMP(id);                                              \
    } else if constexpr (op_has(Op::id, op_flags::kBranch)) {   \
      HV_BRANCH(id);                                            \
    } else {                                                    \
      HV_STRAIGHT(id);                                          \
      HV_NEXT;                                                  \
    }                                                           \
  } while (0)

// A template only so that each handler is compiled for its own kind alone.
template <class AnyHart>
EngineExit Interpreter::execute(AnyHart& hart, Block* block, Labels* labels) {
  // The address of the block, and what has retired but is not in hart.instret yet: hart.pc and
  // hart.instret are exact at the labels that say so only.
  uint64_t pc = hart.pc, retired = 0;
  Block** link = nullptr;
  DecodedOp* op;
  unsigned length;
  SysResult outcome;

  if (labels) {
    *labels = {.ops =
                   {
                       &&illegal,
#define INSN(id, pattern, format, ext, flags) HV_LABEL(id),
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
                   },
               .pairs =
                   {
#define PAIR(first, second) HV_PAIR_LABEL(first, second),
#include "cpu/interp/pairs.inc"
                   },
               .far_jal = &&far_jal,
               .end_of_page = &&end_of_page,
               .far_branches = {&&far_beq, &&far_bne, &&far_blt, &&far_bge, &&far_bltu, &&far_bgeu},
               .misaligned_jal = &&misaligned_jal,
               .checked_jalr = &&checked_jalr,
               .end_of_block = &&end_of_block,
               .unlinked = &&unlinked,
               .cold = &&cold,
               .native = &&native};
    return EngineExit::kRequest;
  }
  if (!block) goto resume;
  HV_ENTER(block);

#define INSN(id, pattern, format, ext, flags) op_##id : HV_HANDLER(id);
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"

#define PAIR(first, second)                     \
  pair_##first##_##second : HV_STRAIGHT(first); \
  ++op;                                         \
  HV_HANDLER(second);
#include "cpu/interp/pairs.inc"

  HV_FAR_BRANCH(beq)
  HV_FAR_BRANCH(bne)
  HV_FAR_BRANCH(blt)
  HV_FAR_BRANCH(bge)
  HV_FAR_BRANCH(bltu)
  HV_FAR_BRANCH(bgeu)

end_of_block:
  pc = HV_PC_OF(op);
  HV_EXIT(0);

end_of_page:
  pc = HV_PC_OF(op);
  HV_EXIT_FAR();

far_jal:
  pc = semantics::jal(hart, *op, semantics::Pc{HV_PC_OF(op)});
  HV_EXIT_FAR();

misaligned_jal:
  hart.raise(Cause::kFetchMisaligned, HV_PC_OF(op) + semantics::imm64(*op));
  goto exception;

checked_jalr:
  if (const uint64_t target = semantics::jalr_target(hart, *op); target & 2) {
    hart.raise(Cause::kFetchMisaligned, target);
    goto exception;
  }
  HV_JUMP(jalr);

// `link` does not know yet what follows at pc.
unlinked:
  if (!aligned(hart, pc)) {
    // Only a taken branch comes here so. It has not retired.
    block = reinterpret_cast<Block*>(link - 1);
    op = block->ops() + block->op_count - 1;
    pc -= semantics::imm64(*op);
    retired -= block->op_count;
    goto misaligned_branch;
  }
  block = cache_.lookup_recent(hart, pc);
  if (!block) {
    const uint64_t clears = cache_.clears();
    hart.pc = pc;
    block = cache_.lookup();
    if (!block) goto trap;
    if (cache_.clears() != clears) HV_ENTER(block);
  }
  if (block->chainable) cache_.link(link, block);
  HV_ENTER(block);

// pc is exact.
cold:
  if (--block->heat != 0) [[likely]]
    goto * block->entry;
  // Never again, if its path cannot be compiled.
  block->ops()->handler = block->entry;
  hart.requests.fetch_or(kReqHot, std::memory_order_relaxed);
  goto leave;

native:
  if (!jit_->ready(*block->native)) {
    forget_native(*block);
    goto * block->entry;
  }
  hart.instret += retired;
  retired = 0;
  {
    const JitCompiler::Result result = jit_->enter(*block->native, pc);
    pc = hart.pc = result.pc;
    if (result.exit == NativeExit::kException) {
      if (hart.exception_cause == Cause::kIllegalInstruction)
        hart.exception_tval = static_cast<const NativePoint*>(result.detail)->word;
      goto trap;
    }
    if (requested(hart)) goto leave;
    block = cache_.lookup_recent(hart, pc);
    if (!block) {
      const uint64_t clears = cache_.clears();
      block = cache_.lookup();
      if (!block) goto trap;
      if (cache_.clears() != clears) HV_ENTER(block);
    }
    if (result.exit == NativeExit::kInterpret) {
      op = block->ops();
      goto * block->entry;
    }
    lead_on(static_cast<const NativeLink*>(result.detail), *block);
    HV_ENTER(block);
  }

misaligned_branch:
  hart.raise(Cause::kFetchMisaligned, pc + semantics::imm64(*op));
  goto exception;

after_system:
  switch (outcome) {
    case SysResult::kNext:
      hart.pc += length;
      ++hart.instret;
      goto resume;
    case SysResult::kRedirect:
      ++hart.instret;
      goto resume;
    case SysResult::kException:
      goto trap;
    case SysResult::kWait:
      hart.pc += length;
      ++hart.instret;
      return EngineExit::kWait;
  }

illegal:
  hart.raise(Cause::kIllegalInstruction, 0);
exception:
  retired += static_cast<uint64_t>(op - block->ops());
  hart.pc = HV_PC_OF(op);
  if (hart.exception_cause == Cause::kIllegalInstruction) hart.exception_tval = block->word(op);
// hart.pc is exact.
trap:
  hart.instret += retired;
  retired = 0;
  take_exception(hart);
// hart.pc and hart.instret are exact.
resume:
  pc = hart.pc;
  cache_.unlink_outdated();
  if (requested(hart)) goto leave;
  block = cache_.lookup_recent(hart, pc);
  if (block) HV_ENTER(block);
look_up:
  hart.pc = pc;
  block = cache_.lookup();
  if (!block) goto trap;
  HV_ENTER(block);

leave:
  hart.pc = pc;
  hart.instret += retired;
  return EngineExit::kRequest;
}

Interpreter::Interpreter(Hart& hart, std::unique_ptr<Jit> jit)
    : hart_(hart), jit_(std::move(jit)), cache_(hart, make_finisher()) {
  if (jit_) jit_->on_release([this] { drop_dead_code(); });
}

BlockCache::Finisher Interpreter::make_finisher() {
  Labels labels;
  execute(hart_, nullptr, &labels);
  cold_handler_ = labels.cold;
  native_handler_ = labels.native;
  const auto handler_of = [labels, compressed = hart_.has(Ext::kC)](Op kind, const DecodedOp& op,
                                                                    uint64_t offset) {
    if (kind == Op::jal && !compressed && (op.imm & 2)) return labels.misaligned_jal;
    if (kind == Op::jal && !in_page(offset + semantics::imm64(op))) return labels.far_jal;
    if (kind == Op::jalr && !compressed) return labels.checked_jalr;
    if (op_has(kind, op_flags::kBranch) &&
        !(in_page(offset + semantics::imm64(op)) && in_page(offset + op.rd)))
      return labels.far_branches[static_cast<size_t>(kind) - static_cast<size_t>(Op::beq)];
    return labels.ops[static_cast<size_t>(kind)];
  };
  const auto finish = [labels, handler_of](std::span<const Op> kinds, std::span<DecodedOp> ops,
                                           uint64_t page_offset) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      DecodedOp& op = ops[i];
      op.handler = handler_of(kinds[i], op, page_offset + op.pc_halfwords * 2u);
      if (op_has(kinds[i], op_flags::kBranch)) {
        op.imm += op.pc_halfwords * 2;
        op.rd = static_cast<uint8_t>(op.pc_halfwords + op.rd / 2);
      }
    }
    DecodedOp& end = ops.back();
    end.handler =
        in_page(page_offset + end.pc_halfwords * 2u) ? labels.end_of_block : labels.end_of_page;
    for (size_t i = 0; i + 1 < kinds.size(); ++i) {
      // Only where the second op has no handler of its own kind.
      const int pair = pair_index(kinds[i], kinds[i + 1]);
      if (pair < 0 || ops[i + 1].handler != labels.ops[static_cast<size_t>(kinds[i + 1])]) continue;
      ops[i].handler = labels.pairs[static_cast<size_t>(pair)];
      ++i;
    }
  };
  BlockCache::Finisher finisher{.finish = finish, .unlinked = labels.unlinked};
  if (jit_) {
    finisher.cold = labels.cold;
    finisher.heat = initial_heat();
    finisher.known = [this](uint64_t physical) { return jit_->find(physical) != nullptr; };
    finisher.page_changed = [this](uint64_t page) { jit_->page_changed(page); };
    finisher.all_changed = [this] { jit_->forget_places(); };
  }
  return finisher;
}

EngineExit Interpreter::run(Hart& hart) {
  if (requested(hart)) return EngineExit::kRequest;
  const fp::Session session(hart);
  for (;;) {
    const EngineExit exit = execute(hart, nullptr);
    if (!(hart.requests.load(std::memory_order_relaxed) & kReqHot)) return exit;
    hart.requests.fetch_and(~kReqHot, std::memory_order_relaxed);
    compile_path();
    if (requested(hart)) return EngineExit::kRequest;
  }
}

void Interpreter::compile_path() {
  // It may have been reached from its page alone, with no entry of its own by now.
  Block* first = cache_.lookup_recent(hart_, hart_.pc);
  if (!first) first = cache_.lookup();
  if (!first || !first->chainable) return;
  const uint32_t version = jit_->watch(*first);
  if (!version || jit_->queued(first->physical)) return cool(*first);
  if (NativeTrace* native = jit_->find(first->physical); native && jit_->ready(*native))
    return attach(*first, *native);
  std::vector<Block*> path;
  const uint64_t pc = hart_.pc;
  bool loops = false;
  if (!follow_path(*first, path, loops)) return;
  bool nothing = false;
  if (NativeTrace* native = jit_->compile(path, pc, loops, version, nothing))
    attach(*first, *native);
  else if (!nothing)
    cool(*first);
}

// Runs from `first`, which is at hart.pc, and notes the way. False: the blocks are gone.
bool Interpreter::follow_path(Block& first, std::vector<Block*>& path, bool& loops) {
  const uint64_t page = hart_.pc & kPageMask, clears = cache_.clears();
  size_t ops = 0;
  for (Block* block = &first;;) {
    path.push_back(block);
    ops += block->op_count;
    if (jit_->options().threshold == 0 || !run_alone(*block) || ops > kMaxPathOps) break;
    if (cache_.clears() != clears) return false;
    if ((hart_.pc & kPageMask) != page || requested(hart_)) break;
    block = cache_.lookup();
    if (!block) {
      take_exception(hart_);
      break;
    }
    if (cache_.clears() != clears) return false;
    loops = block == &first;
    if (loops || !block->chainable || block->native ||
        std::ranges::find(path, block) != path.end() ||
        ((block->physical ^ first.physical) & kPageMask))
      break;
  }
  return cache_.clears() == clears;
}

void Interpreter::attach(Block& block, NativeTrace& native) {
  if (kept_clears_ != cache_.clears()) jit_->clear();
  kept_clears_ = cache_.clears();
  block.native = &native;
  jit_->keep(block);
  block.ops()->handler = native_handler_;
}

// There is no code yet for a hot block: tries again soon.
void Interpreter::cool(Block& block) {
  // More than 1: it has to run in between.
  constexpr uint32_t kSoon = 16;
  block.heat = kSoon;
  block.ops()->handler = cold_handler_;
}

// Runs one block at hart.pc by the interpreter; whether it ran to its end and a path may go on from
// there.
bool Interpreter::run_alone(Block& block) {
  const uint32_t count = block.op_count;
  const Op last = decode(block.word(&block.ops()[count - 1]), hart_.config->extensions).op;
  if (!JitCompiler::compiles(last) || JitCompiler::ends_path(last)) return false;
  const void* const handler = block.ops()->handler;
  const uint64_t clears = cache_.clears(), retired = hart_.instret;
  block.ops()->handler = block.entry;
  hart_.requests.fetch_or(kReqStep, std::memory_order_relaxed);
  execute(hart_, &block);
  hart_.requests.fetch_and(~kReqStep, std::memory_order_relaxed);
  if (cache_.clears() != clears) return false;
  block.ops()->handler = handler;
  return hart_.instret - retired == count;
}

void Interpreter::forget_native(Block& block) {
  block.native = nullptr;
  block.heat = initial_heat();
  block.ops()->handler = cold_handler_;
}

void Interpreter::lead_on(const NativeLink* link, Block& to) {
  if (!to.native || !to.native->ready()) return;
  if (link)
    jit_->connect(link, *to.native);
  else
    jit_->remember(hart_.pc, *to.native);
}

void Interpreter::release_code() {
  if (hart_.code_pages) hart_.code_pages->release(hart_);
  if (jit_) drop_dead_code();
}

void Interpreter::drop_dead_code() {
  if (kept_clears_ != cache_.clears()) jit_->clear();
  kept_clears_ = cache_.clears();
  jit_->release([this](Block& block) { forget_native(block); });
}

void Interpreter::flush_code() {
  cache_.clear();
  if (jit_) jit_->clear();
}

void Interpreter::step(Hart& hart) {
  Block* block = cache_.single();
  if (!block) {
    take_exception(hart);
    return;
  }
  // Seen at the block's end, which is the instruction's.
  hart.requests.fetch_or(kReqStep, std::memory_order_relaxed);
  {
    const fp::Session session(hart);
    execute(hart, block);
  }
  hart.requests.fetch_and(~kReqStep, std::memory_order_relaxed);
}

Interpreter::~Interpreter() = default;

std::unique_ptr<Engine> make_interpreter(Hart& hart) {
  return std::make_unique<Interpreter>(hart);
}

std::function<std::unique_ptr<Engine>(Hart&)> jit_engines(const JitOptions& options) {
  auto shared = std::make_shared<std::shared_ptr<Translations>>();
  return [options, shared](Hart& hart) -> std::unique_ptr<Engine> {
    if (hart.id == 0) *shared = Translations::create(*hart.memory, *hart.code_pages, options);
    std::unique_ptr<Jit> jit = *shared ? Jit::create(hart, options, *shared) : nullptr;
    // Once is enough: it is the same for all harts.
    if (!jit && hart.id == 0)
      warn(hart.has(Ext::kC) ? "the host gives no memory for compiled code; all is interpreted"
                             : "code without the extension C is not compiled; all is interpreted");
    return std::make_unique<Interpreter>(hart, std::move(jit));
  };
}

}  // namespace hv
