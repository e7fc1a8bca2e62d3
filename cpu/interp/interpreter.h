// The interpreter: runs decoded blocks by direct-threaded dispatch. See docs/INTERPRETER.md.
#pragma once

#include <array>

#include "cpu/block_cache.h"
#include "cpu/engine.h"
#include "cpu/op.h"

namespace hv {

class Interpreter final : public Engine {
 public:
  explicit Interpreter(Hart& hart);

  EngineExit run(Hart& hart) override;
  void step(Hart& hart) override;
  void fence_i() override { ++hart_.code_generation; }
  void flush_code() override { cache_.clear(); }

  const BlockCache& cache() const { return cache_; }

 private:
  // Addresses of the handlers inside execute().
  struct Labels;

  // Runs from `block`, which is at hart.pc, or from hart.pc when nullptr, until there is a reason
  // to leave. With `labels` it only fills that in.
  template <class AnyHart>
  EngineExit execute(AnyHart& hart, Block* block, Labels* labels = nullptr);

  BlockCache::Finisher make_finisher();

  Hart& hart_;
  BlockCache cache_;
};

}  // namespace hv
