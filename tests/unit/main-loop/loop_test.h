// What the event loop tests share.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <latch>
#include <memory>
#include <thread>

#include "main-loop/event_loop.h"

namespace hv {

struct OnUring {
  static constexpr WaitKind kKind = WaitKind::kUring;
};
struct OnEpoll {
  static constexpr WaitKind kKind = WaitKind::kEpoll;
};

inline bool uring_available() {
  static const bool available = EventLoop::create("probe", WaitKind::kUring).has_value();
  return available;
}

// A host without io_uring runs the io_uring cases on epoll, and says so.
template <class On>
std::unique_ptr<EventLoop> make_loop() {
  WaitKind kind = On::kKind;
  if (kind == WaitKind::kUring && !uring_available()) {
    WARN("io_uring is not available here");
    kind = WaitKind::kEpoll;
  }
  auto loop = EventLoop::create("test", kind);
  REQUIRE(loop.has_value());
  return std::move(*loop);
}

// A loop that runs on a thread of its own.
template <class On>
class RunningLoop {
 public:
  RunningLoop() : loop_(make_loop<On>()) {
    std::latch adopted(1);
    thread_ = std::thread([this, &adopted] {
      loop_->adopt();
      adopted.count_down();
      loop_->run();
    });
    adopted.wait();
  }
  ~RunningLoop() { stop(); }
  EventLoop& loop() { return *loop_; }
  void stop() {
    if (!thread_.joinable()) return;
    loop_->post([this] { loop_->quit(); });
    thread_.join();
    loop_->adopt();
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

inline void signal_eventfd(int fd) {
  const uint64_t one = 1;
  REQUIRE(write(fd, &one, sizeof one) == sizeof one);
}

inline void drain_eventfd(int fd) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = read(fd, &count, sizeof count);
}

}  // namespace hv
