#include "cpu/jit/jit.h"

#include "cpu/decode.h"

namespace hv {
namespace {

// An odd pc is nowhere.
constexpr NativePlace kNowhere{.pc = 1, .context = 0, .code = nullptr, .unused = 0};

}  // namespace

std::unique_ptr<Jit> Jit::create(Hart& hart, const JitOptions& options) {
  // Without C, jumps to halfwords fault: left to the interpreter.
  if (!hart.has(Ext::kC)) return nullptr;
  std::unique_ptr<Jit> jit(new Jit(hart, options));
  jit->compiler_ = JitCompiler::create(hart, jit->places_.data(), options.code_bytes);
  return jit->compiler_ ? std::move(jit) : nullptr;
}

Jit::Jit(Hart& hart, const JitOptions& options)
    : hart_(hart), options_(options), places_(kNativePlaces, kNowhere) {}

// Decodes the blocks again: what they hold for the interpreter has other operands. Ends where the
// compiler or the way from block to block does.
void Jit::make_trace(const std::vector<Block*>& blocks, bool loops, Trace& trace,
                     NativeTrace& native) const {
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& block = *blocks[i];
    const auto begin = static_cast<uint32_t>(block.physical & ~kPageMask);
    native.sources.push_back({block.physical, {block.source(), block.source() + block.bytes}});
    for (uint32_t n = 0; n < block.op_count; ++n) {
      const DecodedOp* op = &block.ops()[n];
      const Decoded decoded = decode(block.word(op), hart_.config->extensions);
      if (!JitCompiler::compiles(decoded.op)) return;
      trace.ops.push_back({.kind = decoded.op,
                           .fields = decoded.fields,
                           .page_offset = static_cast<uint16_t>(begin + op->pc_halfwords * 2u),
                           .length = decoded.length,
                           .word = block.word(op)});
    }
    const bool at_end = i + 1 == blocks.size();
    if (at_end && !loops) return;
    TraceOp& last = trace.ops.back();
    const Block& successor = *blocks[at_end ? 0 : i + 1];
    const auto place = static_cast<int64_t>(successor.physical & ~kPageMask);
    const bool target = place == last.page_offset + int64_t{last.fields.imm};
    const bool next = place == last.page_offset + last.length;
    if (op_has(last.kind, op_flags::kBranch) ? !target && !next
        : last.kind == Op::jal               ? !target
        : last.kind == Op::jalr              ? true
                                             : !next)
      return;
    last.taken = target;
    trace.loops = at_end;
  }
}

NativeTrace* Jit::compile(const std::vector<Block*>& blocks, bool loops) {
  Trace trace;
  auto native = std::make_unique<NativeTrace>();
  make_trace(blocks, loops, trace, *native);
  if (trace.ops.empty()) return nullptr;
  if (!compiler_->compile(trace, *native)) {
    // Alone in there it would not fit either.
    full_ = !traces_.empty();
    return nullptr;
  }
  native->verified = hart_.code_generation;
  traces_.push_back(std::move(native));
  return traces_.back().get();
}

void Jit::connect(const NativeLink* from, const NativeTrace& to) {
  auto* link = const_cast<NativeLink*>(from);
  if (link->target == compiler_->unlinked()) connected_.push_back(link);
  link->target = to.code;
}

void Jit::remember(uint64_t pc, const NativeTrace& to) {
  NativePlace& place = places_[native_place_index(pc)];
  if (!place.code) remembered_.push_back(&place);
  place = {.pc = pc, .context = hart_.fetch_generation, .code = to.code, .unused = 0};
}

void Jit::unlink() {
  for (NativeLink* link : connected_) link->target = compiler_->unlinked();
  connected_.clear();
  for (NativePlace* place : remembered_) *place = kNowhere;
  remembered_.clear();
  generation_ = hart_.code_generation;
}

bool Jit::verify(NativeTrace& trace) {
  std::vector<uint8_t> now;
  for (const NativeTrace::Source& source : trace.sources) {
    now.resize(source.bytes.size());
    copy_from_guest(now.data(), hart_.memory->host(source.physical, now.size()), now.size());
    if (now != source.bytes) return false;
  }
  trace.verified = hart_.code_generation;
  return true;
}

void Jit::clear() {
  connected_.clear();
  for (NativePlace* place : remembered_) *place = kNowhere;
  remembered_.clear();
  traces_.clear();
  compiler_->clear();
  full_ = false;
}

}  // namespace hv
