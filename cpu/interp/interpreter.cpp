#include "cpu/interp/interpreter.h"

#include <cstdint>
#include <memory>
#include <type_traits>

#include "cpu/fpu.h"
#include "cpu/semantics.h"
#include "cpu/trap.h"

namespace hv {
namespace {

bool same_page(uint64_t a, uint64_t b) {
  return ((a ^ b) & kPageMask) == 0;
}

bool requested(const Hart& hart) {
  return hart.requests.load(std::memory_order_relaxed) != 0;
}

}  // namespace

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

// Leaves the block by its exit `which` (index of Block::next) for `address`.
#define HV_EXIT(which, address)                                                        \
  do {                                                                                 \
    target = (address);                                                                \
    successor = block->next[which];                                                    \
    if (successor->verified != hart.code_generation || requested(hart)) [[unlikely]] { \
      exit = (which);                                                                  \
      goto unchained_exit;                                                             \
    }                                                                                  \
    hart.pc = target;                                                                  \
    hart.instret += block->op_count;                                                   \
    HV_ENTER(successor);                                                               \
  } while (0)

#define HV_BRANCH(id)                                          \
  do {                                                         \
    const uint64_t pc = semantics::pc_of(hart, *op);           \
    if (semantics::id(hart, *op) == semantics::Branch::kTaken) \
      HV_EXIT(1, pc + semantics::imm64(*op));                  \
    else                                                       \
      HV_EXIT(0, pc + op->rd);                                 \
  } while (0)

// A jal's target is the same each time, a jalr's is not.
#define HV_JUMP(id)                     \
  do {                                  \
    target = semantics::id(hart, *op);  \
    if constexpr (Op::id == Op::jal) {  \
      HV_EXIT(1, target);               \
    } else {                            \
      hart.pc = target;                 \
      hart.instret += block->op_count;  \
      if (requested(hart)) [[unlikely]] \
        goto leave;                     \
      block = cache_.lookup_recent();   \
      if (!block) [[unlikely]]          \
        goto look_up;                   \
      HV_ENTER(block);                  \
    }                                   \
  } while (0)

// Makes pc and instret exact first. Afterwards the block may be gone.
#define HV_SYSTEM(id)                                    \
  do {                                                   \
    hart.pc = semantics::pc_of(hart, *op);               \
    hart.instret += block->op_count - 1;                 \
    length = Block::op_length(op);                       \
    outcome = semantics::id(hart, *op, block->word(op)); \
    goto after_system;                                   \
  } while (0)

// One row's handler; its kind follows from the type of the row's body (cpu/semantics.h).
#define HV_HANDLER(id)                                                   \
  op_##id : {                                                            \
    if constexpr (requires { semantics::id(hart, *op, 0u); }) {          \
      HV_SYSTEM(id);                                                     \
    } else {                                                             \
      using Outcome = decltype(semantics::id(hart, *op));                \
      if constexpr (std::is_same_v<Outcome, void>) {                     \
        semantics::id(hart, *op);                                        \
        HV_NEXT;                                                         \
      } else if constexpr (std::is_same_v<Outcome, bool>) {              \
        if (!semantics::id(hart, *op)) [[unlikely]]                      \
          goto exception;                                                \
        HV_NEXT;                                                         \
      } else if constexpr (std::is_same_v<Outcome, semantics::Branch>) { \
        HV_BRANCH(id);                                                   \
      } else {                                                           \
        HV_JUMP(id);                                                     \
      }                                                                  \
    }                                                                    \
  }

// A template only so that each handler is compiled for its own kind alone.
template <class AnyHart>
EngineExit Interpreter::execute(AnyHart& hart, Block* block, Labels* labels) {
  Block* successor;
  DecodedOp* op;
  uint64_t target;
  unsigned exit, length;
  SysResult outcome;

  if (labels) {
    *labels = {.ops =
                   {
                       &&illegal,
#define INSN(id, pattern, format, ext, flags) &&op_##id,
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
                   },
               .misaligned_jal = &&misaligned_jal,
               .checked_jalr = &&checked_jalr,
               .end_of_block = &&end_of_block};
    return EngineExit::kRequest;
  }
  if (!block) goto resume;
  HV_ENTER(block);

#define INSN(id, pattern, format, ext, flags) HV_HANDLER(id)
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"

end_of_block:
  HV_EXIT(0, semantics::pc_of(hart, *op));

misaligned_jal:
  hart.raise(Cause::kFetchMisaligned, semantics::pc_of(hart, *op) + semantics::imm64(*op));
  goto exception;

checked_jalr:
  target = semantics::jalr_target(hart, *op);
  if (target & 2) {
    hart.raise(Cause::kFetchMisaligned, target);
    goto exception;
  }
  HV_JUMP(jalr);

// The successor is not known, or was decoded before a fence.i, or the engine is asked to leave.
unchained_exit:
  if ((target & 2) && !hart.has(Ext::kC)) {
    hart.raise(Cause::kFetchMisaligned, target);
    goto exception;
  }
  {
    bool chain = same_page(hart.pc, target);
    hart.pc = target;
    hart.instret += block->op_count;
    if (requested(hart)) goto leave;
    successor = cache_.lookup_recent();
    if (!successor) {
      const uint64_t clears = cache_.clears();
      successor = cache_.lookup();
      if (!successor) goto trap;
      chain = chain && cache_.clears() == clears;
    }
    if (chain && successor->chainable) block->next[exit] = successor;
  }
  HV_ENTER(successor);

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
  hart.instret += static_cast<uint64_t>(op - block->ops());
  hart.pc = semantics::pc_of(hart, *op);
  if (hart.exception_cause == Cause::kIllegalInstruction) hart.exception_tval = block->word(op);
trap:
  take_exception(hart);
resume:
  if (requested(hart)) goto leave;
  block = cache_.lookup_recent();
  if (block) HV_ENTER(block);
look_up:
  block = cache_.lookup();
  if (!block) goto trap;
  HV_ENTER(block);

leave:
  return EngineExit::kRequest;
}

Interpreter::Interpreter(Hart& hart) : hart_(hart), cache_(hart, make_handlers()) {}

BlockCache::Handlers Interpreter::make_handlers() {
  Labels labels;
  execute(hart_, nullptr, &labels);
  const bool compressed = hart_.has(Ext::kC);
  const auto of_op = [labels, compressed](Op op, const DecodedOp& fields) -> const void* {
    if (!compressed && op == Op::jal && (fields.imm & 2)) return labels.misaligned_jal;
    if (!compressed && op == Op::jalr) return labels.checked_jalr;
    return labels.ops[static_cast<size_t>(op)];
  };
  return {.of_op = of_op, .end_of_block = labels.end_of_block};
}

EngineExit Interpreter::run(Hart& hart) {
  if (requested(hart)) return EngineExit::kRequest;
  const fp::Session session(hart);
  return execute(hart, nullptr);
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

std::unique_ptr<Engine> make_interpreter(Hart& hart) {
  return std::make_unique<Interpreter>(hart);
}

}  // namespace hv
