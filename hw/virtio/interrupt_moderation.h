// When a queue's interrupts wait for each other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "main-loop/event_loop.h"

namespace hv {

// One interrupt serves what is published in one round of the loop. And interrupts of a driver that
// makes requests without waiting for the ones before are held back for longer, while the loop polls
// the queue anyway: until they are for enough requests, for kLongestNs, or until the loop sleeps.
//
// Whether the driver waits shows when it goes on although an interrupt is held. The first one is
// held when a request comes within kTooSoonNs of an interrupt, for that is hardly the answer to it,
// and else once in a while, as a trial. Then interrupts are held for two requests, and for twice as
// many each time that the driver goes on meanwhile. When the driver often does not (all it may have
// on its way are held), they are held for fewer for a time.
//
// Loop thread.
class InterruptModeration {
 public:
  using Next = PollHandler::Next;
  static constexpr int64_t kTooSoonNs = 25'000, kLongestNs = 300'000;
  // Requests of one interrupt, and those of a round that is not over yet.
  static constexpr unsigned kMost = 16, kMostInRound = 64;

  void reset() { *this = InterruptModeration(); }
  bool holding() const { return held_ > 0; }

  // Requests were taken.
  void took_requests(int64_t now_ns) {
    if (holding())
      went_on_ = true;
    else if (target_ == 1 && now_ns - sent_ns_ < kTooSoonNs)
      target_ = std::min(2u, limit_);
    else if (target_ == 1 && ++untried_ >= next_trial_)
      begin_trial();
  }
  // `count` requests that call for an interrupt were published, or any while holding(). True:
  // interrupt.
  bool completed(unsigned count, int64_t now_ns) {
    if (held_ == 0) held_since_ns_ = now_ns;
    held_ += count;
    if (held_ < kMostInRound) return false;
    send_enough(now_ns);
    return true;
  }
  // At the end of a round: whether what is held has to go before what the loop does next.
  bool due(Next next, int64_t now_ns) {
    if (!holding()) return false;
    if (held_ >= target_) {
      send_enough(now_ns);
      return true;
    }
    if (next == Next::kLook && now_ns - held_since_ns_ < kLongestNs) return false;
    // Before a sleep that gathers the driver has had no time to go on.
    const bool stopped = next == Next::kSleep || (next == Next::kLook && !went_on_);
    if (!trial_ && stopped && ++stops_ >= kManyStops) hold_fewer();
    send(now_ns);
    return true;
  }

 private:
  // The driver stops at what is held so often, of so many interrupts: too many are held. So many
  // interrupts later it tries again to hold more.
  static constexpr unsigned kManyStops = 4, kStopsOf = 16, kRetry = 64;
  // So many times of taking requests before the first trial, twice as many before each that fails.
  static constexpr unsigned kFirstTrial = 8, kRarestTrial = 4096;

  void begin_trial() {
    untried_ = 0;
    next_trial_ = std::min(next_trial_ * 2, kRarestTrial);
    target_ = 2;
    trial_ = true;
  }
  void hold_fewer() {
    limit_ = std::max(1u, held_ * 3 / 4);
    target_ = std::min(target_, limit_);
    stops_ = 0;
  }
  void send_enough(int64_t now_ns) {
    if (held_ > 1 && went_on_) {
      if (trial_) limit_ = kMost;
      trial_ = false;
      target_ = std::min(target_ * 2, limit_);
      // One with two or three requests on its way can pass a trial, but no more.
      if (target_ > 4) next_trial_ = kFirstTrial;
    }
    send(now_ns);
  }
  void send(int64_t now_ns) {
    held_ = 0;
    went_on_ = false;
    if (std::exchange(trial_, false)) target_ = 1;
    sent_ns_ = now_ns;
    if (++sent_ % kStopsOf == 0) stops_ = 0;
    if (sent_ % kRetry == 0) limit_ = std::min(limit_ * 2, kMost);
  }

  unsigned target_ = 1, limit_ = kMost;
  unsigned held_ = 0, sent_ = 0, stops_ = 0;
  unsigned untried_ = 0, next_trial_ = kFirstTrial;
  bool went_on_ = false, trial_ = false;
  int64_t held_since_ns_ = 0, sent_ns_ = 0;
};

}  // namespace hv
