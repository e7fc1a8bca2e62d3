// A named host thread that runs one EventLoop (-object iothread).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "main-loop/event_loop.h"

namespace hv {

// The thread starts in create() and ends in the destructor, after the functions posted so far.
class IoThread {
 public:
  static Result<std::unique_ptr<IoThread>> create(const std::string& id,
                                                  WaitKind kind = WaitKind::kAuto);
  ~IoThread();
  EventLoop& loop() { return *loop_; }
  const std::string& id() const { return id_; }
  int thread_id() const { return tid_; }  // host tid, for query-iothreads

 private:
  IoThread() = default;
  std::string id_;
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
  int tid_ = 0;
};

}  // namespace hv
