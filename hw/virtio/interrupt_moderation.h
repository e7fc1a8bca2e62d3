// When a queue's interrupts wait for each other.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hv {

// One interrupt serves what is published in one round of the loop. And interrupts of a driver that
// makes requests without waiting for the ones before are held back for longer, while the loop polls
// the queue anyway: until enough have come, for kLongestNs, or until the loop has nothing more to
// do. A driver that waits for each request does not wait for this.
//
// How it knows: a request that comes within kTooSoonNs of an interrupt is hardly the answer to it.
// Then it holds two, and twice as many each time that the driver goes on meanwhile. When the driver
// often does not (all it may have on its way are held), it holds fewer for a time.
//
// Loop thread.
class InterruptModeration {
 public:
  static constexpr int64_t kTooSoonNs = 25'000, kLongestNs = 300'000;
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
  // Something that calls for an interrupt was published, or anything while holding(). True:
  // interrupt.
  bool completed(int64_t now_ns) {
    if (held_ == 0) held_since_ns_ = now_ns;
    if (++held_ < kMost) return false;
    send_enough(now_ns);
    return true;
  }
  // At the end of a round: whether what is held has to go now; idle: the loop has nothing left to
  // do.
  bool due(bool idle, int64_t now_ns) {
    if (!holding()) return false;
    if (held_ >= target_) {
      send_enough(now_ns);
      return true;
    }
    if (!idle && now_ns - held_since_ns_ < kLongestNs) return false;
    if (idle && ++stops_ >= kManyStops) {
      limit_ = std::max(1u, held_ * 3 / 4);
      stops_ = 0;
    }
    target_ = std::min(target_, limit_);
    send(now_ns);
    return true;
  }

 private:
  // The driver stops at what is held so often, of so many interrupts: too many are held. So many
  // interrupts later it tries again to hold more.
  static constexpr unsigned kManyStops = 4, kStopsOf = 16, kRetry = 64;

  void send_enough(int64_t now_ns) {
    if (held_ > 1 && went_on_) target_ = std::min(target_ * 2, limit_);
    send(now_ns);
  }
  void send(int64_t now_ns) {
    held_ = 0;
    went_on_ = false;
    sent_ns_ = now_ns;
    if (++sent_ % kStopsOf == 0) stops_ = 0;
    if (sent_ % kRetry == 0) limit_ = std::min(limit_ * 2, kMost);
  }

  unsigned target_ = 1, limit_ = kMost;
  unsigned held_ = 0, sent_ = 0, stops_ = 0;
  bool went_on_ = false;
  int64_t held_since_ns_ = 0, sent_ns_ = 0;
};

}  // namespace hv
