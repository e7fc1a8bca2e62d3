// When a queue's interrupts wait for each other.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hv {

// Holds back interrupts of a driver that makes requests without waiting for the ones before, while
// the loop polls the queue anyway, so that one interrupt serves several completions. What is held
// goes when enough have come, after kLongestNs, or when the loop has nothing more to do; so a
// driver that waits for each request never waits for this.
//
// How it knows: a request that comes within kTooSoonNs of an interrupt cannot be the answer to it.
// Then it holds two, and twice as many each time that the driver goes on meanwhile. When the driver
// does not (all it may have on its way are held), it holds half as many for a time.
//
// Loop thread.
class InterruptModeration {
 public:
  static constexpr int64_t kTooSoonNs = 8'000, kLongestNs = 100'000;
  static constexpr unsigned kMost = 16;

  void reset() { *this = InterruptModeration(); }
  bool holding() const { return held_ > 0; }

  // Requests were taken.
  void took_requests(int64_t now_ns) {
    if (holding())
      went_on_ = true;
    else if (target_ == 1 && now_ns - sent_ns_ < kTooSoonNs)
      target_ = std::min(2u, limit_);
  }
  // Completions that call for an interrupt were shown, or more while holding(). True: interrupt.
  bool completed(int64_t now_ns) {
    if (held_ == 0) held_since_ns_ = now_ns;
    if (++held_ < target_ && now_ns - held_since_ns_ < kLongestNs) return false;
    if (held_ > 1 && went_on_) target_ = std::min(target_ * 2, limit_);
    send(now_ns);
    return true;
  }
  // Whether what is held has to go now; idle: the loop has nothing left to do.
  bool due(bool idle, int64_t now_ns) {
    if (!holding() || (!idle && now_ns - held_since_ns_ < kLongestNs)) return false;
    if (idle) limit_ = std::max(1u, held_ / 2);
    target_ = std::min(target_, limit_);
    send(now_ns);
    return true;
  }

 private:
  // So many interrupts later it tries again to hold more.
  static constexpr unsigned kRetry = 64;

  void send(int64_t now_ns) {
    held_ = 0;
    went_on_ = false;
    sent_ns_ = now_ns;
    if (++sent_ % kRetry == 0) limit_ = std::min(limit_ * 2, kMost);
  }

  unsigned target_ = 1, limit_ = kMost;
  unsigned held_ = 0, sent_ = 0;
  bool went_on_ = false;
  int64_t held_since_ns_ = 0, sent_ns_ = 0;
};

}  // namespace hv
