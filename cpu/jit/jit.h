// A hart's side of compiled code: which code its blocks have, and how it gets from place to place.
// See docs/JIT.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cpu/block_cache.h"
#include "cpu/engine.h"
#include "cpu/jit/translations.h"

namespace hv {

// Hart thread only.
class Jit {
 public:
  // Without `shared` a machine's first, or only, hart; nullptr: the host cannot run compiled code.
  // The hart has its CodePages.
  static std::unique_ptr<Jit> create(Hart& hart, const JitOptions& options,
                                     std::shared_ptr<Translations> shared = nullptr);
  ~Jit();
  Jit(const Jit&) = delete;
  Jit& operator=(const Jit&) = delete;

  const JitOptions& options() const { return shared_->options(); }

  // Code there is for the place, in whatever state; nullptr: none.
  NativeTrace* find(uint64_t physical) { return shared_->find(physical); }
  bool queued(uint64_t physical) { return shared_->queued(physical); }
  // Compiles what `blocks` hold, which ran one after the other; they are in one page. `loops`: the
  // last one led to the first, which is at `pc`. nullptr: not yet, or no room; `nothing`: never.
  NativeTrace* compile(const std::vector<Block*>& blocks, uint64_t pc, bool loops, uint32_t version,
                       bool& nothing);
  // The page's version, if what is compiled from it can be kept; else 0.
  uint32_t watch(const Block& block) {
    return hart_.code_pages->watch(hart_, block.physical & kPageMask);
  }

  // Whether the trace may be entered; a suspect one is looked at again.
  bool ready(NativeTrace& trace) { return trace.ready() || revive(trace); }
  JitCompiler::Result enter(const NativeTrace& trace, uint64_t pc) {
    return shared_->compiler().enter(hart_, trace, pc);
  }
  // The next time, compiled code goes from the link, or from anywhere to pc in this context,
  // straight to `to`.
  void connect(const NativeLink* from, NativeTrace& to) {
    shared_->connect(const_cast<NativeLink&>(*from), to);
  }
  void remember(uint64_t pc, NativeTrace& to);
  // At a fence.i after a change of the page: no way there that goes by what it held before.
  void page_changed(uint64_t page);
  void forget_places();

  // Blocks that have got code.
  void keep(Block& block) { kept_[&block] = block.native->filling; }
  // Calls forget(block) for those whose code drains, and leaves all such code alone from now on.
  // Harts are asked far more often to give up TLB entries (CodePages::release), so it does nothing
  // when nothing has begun to drain since the last time: Translations::kept_from() says why that is
  // enough.
  template <class Forget>
  void release(Forget forget) {
    const uint64_t from = shared_->kept_from();
    if (from == let_go_) return;
    let_go_ = from;
    std::erase_if(kept_, [&](const auto& kept) {
      const auto [block, filling] = kept;
      if (filling >= from) return false;
      if (block->native) forget(*block);
      return true;
    });
    forget_places();
  }
  void release() {
    if (release_) release_();
  }
  void on_release(std::function<void()> fn) { release_ = std::move(fn); }
  // All blocks are gone.
  void clear() {
    kept_.clear();
    forget_places();
  }

 private:
  Jit(Hart& hart, std::shared_ptr<Translations> shared);
  bool make_trace(const std::vector<Block*>& blocks, bool loops, CompileRequest& request) const;
  bool revive(NativeTrace& trace);

  Hart& hart_;
  const std::shared_ptr<Translations> shared_;
  std::vector<NativePlace> places_;
  std::vector<NativePlace*> remembered_;
  // Blocks with code, and the filling of its region.
  std::unordered_map<Block*, uint64_t> kept_;
  // Translations::kept_from() at the latest release().
  uint64_t let_go_ = 0;
  std::function<void()> release_;
};

}  // namespace hv
