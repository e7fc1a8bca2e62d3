// When a loop sleeps for many requests at once.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hv {

// A loop with poll handlers (queues of a guest) can sleep until several operations have completed
// or for a time, instead of until the first event: one system call serves many requests, and
// meanwhile the guest need not notify. What completes or arrives early waits. This says when and
// how long, from how many requests the guest keeps under way.
//
// Some of them are in flight, the others are the guest's: their completions are on their way to it,
// and it will answer them with new requests. While many are the guest's, the loop sleeps a turn: a
// time in which the guest makes some of them, but does not run dry. Else it sleeps until what is in
// flight has completed.
//
// Loop thread. Times in nanoseconds.
class Gathering {
 public:
  // Until so many operations have completed, or so long.
  struct Sleep {
    unsigned operations;
    int64_t longest_ns;
  };
  // With so many in flight completions gather; so many of the guest's are worth a turn.
  static constexpr unsigned kFrom = 2, kTurnFrom = 8;
  // Until three quarters have completed, or kLongestNs. From kAllFrom on until all have: leaving
  // some behind makes small groups of many requests, each with its own system calls. With a few
  // (kPatientFrom) it does so as long as all complete within kPatientNs, so that nobody waits long
  // for somebody else's slow operation.
  static constexpr unsigned kPatientFrom = 4, kAllFrom = 12;
  static constexpr int64_t kPatientNs = 150'000, kLongestNs = 300'000, kLongestAllNs = 450'000;
  static constexpr int64_t kShortestTurnNs = 50'000, kLongestTurnNs = 300'000;
  // A loop as quick as the guest would serve one that has many requests to make one by one for
  // ever, with a notification, a sleep and an interrupt for each. So after a number of sleeps no
  // longer than kShortNs it gathers for once, for kTrialNs, and sees whether that makes a burst. If
  // not, it tries again after twice as many.
  static constexpr int64_t kShortNs = 150'000, kTrialNs = 200'000;
  static constexpr unsigned kFirstTrial = 4, kRarestTrial = 4096;

  // Nothing has happened, and so many operations are in flight: whether to gather now.
  bool wants(unsigned in_flight) {
    few_ = in_flight < kFrom;
    trial_ = few_ && short_sleeps_ >= next_trial_;
    if (trial_) {
      short_sleeps_ = 0;
      next_trial_ = std::min(next_trial_ * 2, kRarestTrial);  // until a burst comes
      bursts_ = 1;
      return true;
    }
    if (few_) return bursts_ >= 2 && depth_ >= kTurnFrom && !(in_flight == 0 && empty_turns_ >= 2);
    if (pause_ == 0) return true;
    --pause_;
    return false;
  }

  // After wants(): whether to look for requests before the sleep. What is served at once rather
  // than by an operation gains nothing by that.
  bool looks_first() const { return !few_ || !at_once_; }
  // Requests were found, and served at once or not.
  void served(bool at_once) { at_once_ = at_once; }

  // The sleep, with so many in flight and `found` requests among them that were found just now.
  Sleep begin(unsigned in_flight, unsigned found) {
    in_flight_ = in_flight;
    found_ = found;
    few_ = in_flight < kFrom;
    turn_ = !trial_ && (few_ || depth_ >= in_flight + kTurnFrom);
    probe_ = turn_ && ++turns_ % kProbe == 0;
    if (trial_) return {kAllFrom, kTrialNs};
    if (turn_) return {in_flight + 1, probe_ ? turn_ns_ / 4 : turn_ns_};
    if (in_flight >= kAllFrom) return {in_flight, kLongestAllNs};
    if (patient_ && in_flight >= kPatientFrom) return {in_flight, kLongestNs};
    return {in_flight * 3 / 4, kLongestNs};
  }

  // After it: what is in flight now, the requests found since then, whether there was anything, and
  // the time in which the requests were made.
  void end(unsigned in_flight, unsigned requests, bool progress, int64_t took_ns) {
    if (!turn_ && !few_) patient_ = in_flight == 0 && took_ns < kPatientNs;
    if (few_ ? found_ + requests > 0 : progress) {
      if (turn_) adapt_turn(requests, took_ns);
      empty_turns_ = 0;
      next_pause_ = 1;
      return;
    }
    if (probe_) return;  // it was short
    const bool longest = turn_ns_ == kLongestTurnNs;
    if (turn_) turn_ns_ = std::min(turn_ns_ * 2, kLongestTurnNs);
    if (few_) {
      // A guest that is late gets a second chance, when its first request has come.
      ++empty_turns_;
      if (in_flight_ > 0) depth_ = bursts_ = 0;
    } else if (!turn_ || longest) {
      depth_ = bursts_ = 0;
      pause_ = next_pause_;
      next_pause_ = std::min(next_pause_ * 2, kLongestPause);
    }
  }

  // The loop has slept without gathering.
  void slept(int64_t took_ns) {
    if (took_ns < kShortNs) short_sleeps_++;
  }

  // At the end of a round: completions dispatched and requests found while gathering, in this
  // round, and what is in flight.
  void round(unsigned completed, unsigned requests, unsigned in_flight) {
    // Only a burst that was gathered says that another trial soon is worth it.
    if (requests >= kTurnFrom) {
      next_trial_ = kFirstTrial;
      short_sleeps_ = 0;
    }
    if (completed + requests > 1) empty_turns_ = 0;
    // What is served at once is never in flight.
    const unsigned under_way = std::max(in_flight + completed, requests);
    if (under_way == 0) return;
    depth_ = std::max(depth_ - (depth_ + 15) / 16, under_way);
    if (under_way >= kTurnFrom)
      ++bursts_;
    else if (depth_ < kTurnFrom)
      bursts_ = 0;
  }

 private:
  // After a sleep in which nothing happened (a slow disk) it gathers no more for so many sleeps at
  // most: one the first time, then twice as many each time.
  static constexpr unsigned kLongestPause = 16;

  // The guest makes requests at its pace. A turn is long enough for kTurn of them; but where it has
  // made them more slowly than at its best it has run dry meanwhile: the turn was too long. Now and
  // then one is short, to see the pace of a guest that always runs dry.
  static constexpr unsigned kTurn = 16, kProbe = 32;
  static constexpr double kForget = 0.995, kDry = 0.5;

  void adapt_turn(unsigned requests, int64_t took_ns) {
    if (took_ns < kShortestTurnNs / 4) return;  // something else has ended it: too short to tell
    const double pace = requests / static_cast<double>(took_ns);
    best_pace_ = std::max(best_pace_ * kForget, pace);
    if (probe_) return;
    if (pace < best_pace_ * kDry)
      turn_ns_ = std::max(turn_ns_ - turn_ns_ / 8, kShortestTurnNs);
    else if (requests < kTurn)
      turn_ns_ = std::min(turn_ns_ + turn_ns_ / 8, kLongestTurnNs);
    else if (requests > kTurn + kTurn / 2)
      turn_ns_ = std::max(turn_ns_ - turn_ns_ / 16, kShortestTurnNs);
  }

  bool few_ = false, trial_ = false, turn_ = false;  // of the latest sleep
  unsigned in_flight_ = 0, found_ = 0;               // before it
  unsigned depth_ = 0;                               // requests that the guest keeps under way
  unsigned bursts_ = 0;                              // rounds with many
  bool at_once_ = false;                             // the latest requests were served so
  int64_t turn_ns_ = 2 * kShortestTurnNs;
  unsigned turns_ = 0;
  bool probe_ = false;
  double best_pace_ = 0;      // requests per nanosecond
  unsigned empty_turns_ = 0;  // one after the other
  bool patient_ = true;       // all completed soon in the latest sleep for completions
  unsigned pause_ = 0, next_pause_ = 1;
  unsigned short_sleeps_ = 0, next_trial_ = kFirstTrial;
};

}  // namespace hv
