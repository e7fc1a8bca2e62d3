// Threads for syscalls that block.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "main-loop/event_loop.h"

namespace hv {

// Runs work on at most `max_threads` threads, started as they are needed and kept until the pool
// ends. Work is started in the order of submission and is never cancelled.
class WorkerPool {
 public:
  // `name` is the threads' name (15 characters are shown).
  WorkerPool(std::string name, unsigned max_threads);
  // Waits until everything submitted has run; its completions are then posted, perhaps not yet run.
  ~WorkerPool();

  // Any thread. `work` runs on a worker; then `done` runs on `loop`, which must live until then,
  // with what `work` returned.
  void submit(EventLoop& loop, std::function<int()> work, std::function<void(int result)> done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hv
