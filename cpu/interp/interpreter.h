// The interpreter: runs decoded blocks by direct-threaded dispatch. See docs/INTERPRETER.md.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "cpu/block_cache.h"
#include "cpu/engine.h"
#include "cpu/jit/jit.h"
#include "cpu/op.h"

namespace hv {

class Interpreter final : public Engine {
 public:
  // With `jit`, hot code is compiled.
  explicit Interpreter(Hart& hart, std::unique_ptr<Jit> jit = nullptr);
  ~Interpreter() override;

  EngineExit run(Hart& hart) override;
  void step(Hart& hart) override;
  void fence_i() override { ++hart_.code_generation; }
  void release_code() override;
  void flush_code() override;

  const BlockCache& cache() const { return cache_; }

 private:
  // Addresses of the handlers inside execute().
  struct Labels;

  // Runs from `block`, which is at hart.pc, or from hart.pc when nullptr, until there is a reason
  // to leave. With `labels` it only fills that in.
  template <class AnyHart>
  EngineExit execute(AnyHart& hart, Block* block, Labels* labels = nullptr);

  BlockCache::Finisher make_finisher();

  // Finds or makes code for the hot block at hart.pc.
  void compile_path();
  bool follow_path(Block& first, std::vector<Block*>& path, bool& loops);
  void attach(Block& block, NativeTrace& native);
  void cool(Block& block);
  void drop_dead_code();
  bool run_alone(Block& block);
  uint32_t initial_heat() const { return std::max(jit_->options().threshold, 1u); }
  void forget_native(Block& block);
  // Compiled code has come back, by `link` or by a far way, for what `to` holds.
  void lead_on(const NativeLink* link, Block& to);

  Hart& hart_;
  const std::unique_ptr<Jit> jit_;
  const void* cold_handler_ = nullptr;
  const void* native_handler_ = nullptr;
  // cache_.clears() to which the blocks belong that jit_ keeps.
  uint64_t kept_clears_ = 0;
  BlockCache cache_;
};

}  // namespace hv
