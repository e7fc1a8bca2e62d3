// Signals as events of the main loop, through signalfd.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "main-loop/event_loop.h"

namespace hv {

// Blocks the signals in the calling thread; call before other threads start so that they inherit
// the mask. The callback runs on the loop with the signal number and the sender's pid.
class SignalWatch {
 public:
  static Result<std::unique_ptr<SignalWatch>> create(
      EventLoop& loop, std::initializer_list<int> signals,
      std::function<void(int signal, int sender_pid)> callback);
  virtual ~SignalWatch() = default;
};

}  // namespace hv
