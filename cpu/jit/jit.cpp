#include "cpu/jit/jit.h"

#include <array>
#include <cstring>
#include <utility>

#include "cpu/decode.h"

namespace hv {
namespace {

// An odd pc is nowhere.
constexpr NativePlace kNowhere{.pc = 1, .context = 0, .code = nullptr, .page = 0};

}  // namespace

std::unique_ptr<Jit> Jit::create(Hart& hart, const JitOptions& options,
                                 std::shared_ptr<Translations> shared) {
  // Without C, jumps to halfwords fault: left to the interpreter.
  if (!hart.has(Ext::kC)) return nullptr;
  if (!shared) shared = Translations::create(*hart.memory, *hart.code_pages, options);
  return shared ? std::unique_ptr<Jit>(new Jit(hart, std::move(shared))) : nullptr;
}

Jit::Jit(Hart& hart, std::shared_ptr<Translations> shared)
    : hart_(hart), shared_(std::move(shared)), places_(kNativePlaces, kNowhere) {
  hart_.native_places = places_.data();
  shared_->attach(*this, hart_.id);
}

Jit::~Jit() {
  shared_->detach(*this);
}

// Decodes the blocks again: what they hold for the interpreter has other operands. Ends where the
// compiler or the way from block to block does.
bool Jit::make_trace(const std::vector<Block*>& blocks, bool loops, CompileRequest& request) const {
  Trace& trace = request.trace;
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& block = *blocks[i];
    const auto begin = static_cast<uint32_t>(block.physical & ~kPageMask);
    // What this hart has decoded may be older than the page's version.
    std::array<uint8_t, kMaxBlockOps * 4> now;
    copy_from_guest(now.data(), hart_.memory->host(block.physical, block.bytes), block.bytes);
    if (std::memcmp(now.data(), block.source(), block.bytes) != 0) return false;
    request.sources.push_back({block.physical, {block.source(), block.source() + block.bytes}});
    for (uint32_t n = 0; n < block.op_count; ++n) {
      const DecodedOp* op = &block.ops()[n];
      const Decoded decoded = decode(block.word(op), hart_.config->extensions);
      if (!JitCompiler::compiles(decoded.op)) return true;
      trace.ops.push_back({.kind = decoded.op,
                           .fields = decoded.fields,
                           .page_offset = static_cast<uint16_t>(begin + op->pc_halfwords * 2u),
                           .length = decoded.length,
                           .word = block.word(op)});
    }
    const bool at_end = i + 1 == blocks.size();
    if (at_end && !loops) return true;
    TraceOp& last = trace.ops.back();
    const Block& successor = *blocks[at_end ? 0 : i + 1];
    const auto place = static_cast<int64_t>(successor.physical & ~kPageMask);
    const bool target = place == last.page_offset + int64_t{last.fields.imm};
    const bool next = place == last.page_offset + last.length;
    if (op_has(last.kind, op_flags::kBranch) ? !target && !next
        : last.kind == Op::jal               ? !target
        : JitCompiler::ends_path(last.kind)  ? true
                                             : !next)
      return true;
    last.taken = target;
    trace.loops = at_end;
  }
  return true;
}

NativeTrace* Jit::compile(const std::vector<Block*>& blocks, uint64_t pc, bool loops,
                          uint32_t version, bool& nothing) {
  CompileRequest request{
      .trace = {}, .sources = {}, .physical = blocks.front()->physical, .version = version};
  request.trace.pc = pc;
  if (!make_trace(blocks, loops, request)) return nullptr;
  nothing = request.trace.ops.empty();
  return nothing ? nullptr : shared_->compile(std::move(request));
}

bool Jit::revive(NativeTrace& trace) {
  const uint32_t version = hart_.code_pages->watch(hart_, trace.physical & kPageMask);
  return version && shared_->revive(trace, version);
}

void Jit::remember(uint64_t pc, NativeTrace& to) {
  NativePlace& place = places_[native_place_index(pc, hart_.fetch_generation)];
  if (!place.code) remembered_.push_back(&place);
  place = {.pc = pc,
           .context = hart_.fetch_generation,
           .code = to.code,
           .page = to.physical & kPageMask};
}

void Jit::page_changed(uint64_t page) {
  std::erase_if(remembered_, [page](NativePlace* place) {
    if (place->page != page) return false;
    *place = kNowhere;
    return true;
  });
}

void Jit::forget_places() {
  hart_.native_returns = {};
  for (NativePlace* place : remembered_) *place = kNowhere;
  remembered_.clear();
}

}  // namespace hv
