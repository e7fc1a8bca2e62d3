#include "cpu/jit/trace_log.h"

#include <fmt/format.h>

#include <array>

#include "cpu/decode.h"
#include "cpu/disasm.h"
#include "cpu/hart.h"
#include "cpu/jit/values.h"

namespace hv {
namespace {

constexpr std::array<const char*, static_cast<size_t>(Op::kCount)> kNames = {
    "illegal",
#define INSN(id, pattern, format, ext, flags) #id,
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};
static_assert(kNames.size() == static_cast<size_t>(Op::kCount));

// What is in a path is an instruction of the hart's.
const ExtensionSet& extensions() {
  static const ExtensionSet all = [] {
    ExtensionSet set;
    for (unsigned i = 0; i < static_cast<unsigned>(Ext::kCount); ++i)
      set.set(static_cast<Ext>(i), true);
    return set;
  }();
  return all;
}

const char* name_of(Op kind) {
  return kNames[static_cast<size_t>(kind)];
}

// optimize() clears registers that an instruction does not read.
bool same(const TraceOp& op, const Decoded& own) {
  const DecodedOp &a = op.fields, &b = own.fields;
  return op.kind == own.op && a.imm == b.imm && a.rd == b.rd &&
         (a.rs1 == b.rs1 || !jit::reads_rs1(op.kind)) &&
         (a.rs2 == b.rs2 || !jit::reads_rs2(op.kind));
}

// What optimize() has made of it.
std::string optimized(const Trace& trace, const TraceOp& op) {
  if (op.form == TraceOp::Form::kNothing) return "\t# nothing";
  if (op.form == TraceOp::Form::kConstant)
    return op_has(op.kind, op_flags::kBranch)
               ? fmt::format("\t# {} of x{} and 0x{:x}", name_of(op.kind), op.fields.rs1,
                             op.constant)
               : fmt::format("\t# 0x{:x}", op.constant);
  std::string text;
  if (!same(op, decode(op.word, extensions())))
    text = fmt::format("\t# {} rd={} rs1={} rs2={} imm={}", name_of(op.kind), op.fields.rd,
                       op.fields.rs1, op.fields.rs2, op.fields.imm);
  if (op.group >= 0)
    text +=
        fmt::format("\t# {} group {} of {} bytes at {}", op.probes ? "probe for" : "in", op.group,
                    trace.groups[static_cast<size_t>(op.group)].bytes, op.group_offset);
  if (op.probes && trace.groups[static_cast<size_t>(op.group)].step)
    text += fmt::format(", steps by {}", trace.groups[static_cast<size_t>(op.group)].step);
  return text;
}

}  // namespace

std::string code_name(const Trace& trace) {
  return fmt::format("guest_0x{:x}", trace.pc);
}

std::string to_text(const Trace& trace, const TraceOp& op) {
  const uint64_t pc = (trace.pc & kPageMask) + op.page_offset;
  std::string text = fmt::format("0x{:016x}:  {:0{}x}\t{}", pc, op.word, op.length * 2,
                                 disassemble(op.word, pc, extensions()));
  const bool end = &op == &trace.ops.back() && !trace.loops;
  if (op_has(op.kind, op_flags::kBranch) && !end) text += op.taken ? "\t# taken" : "\t# not taken";
  return text + optimized(trace, op);
}

std::string to_text(const Trace& trace) {
  std::string text = fmt::format("OP: path of {} instructions at 0x{:x}{}", trace.ops.size(),
                                 trace.pc, trace.loops ? ", a loop" : "");
  for (const TraceOp& op : trace.ops) text += "\n" + to_text(trace, op);
  return text;
}

}  // namespace hv
