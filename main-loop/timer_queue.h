// The deadlines of a loop. Internal to main-loop; loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace hv {

struct TimerRecord {
  static constexpr size_t kNotArmed = SIZE_MAX;

  std::function<void()> callback;
  int64_t deadline_ns = 0;
  uint64_t sequence = 0;  // order of arming, among equal deadlines
  size_t position = kNotArmed;
};

// A binary heap whose records know their place, so that cancelling costs what arming does.
class TimerQueue {
 public:
  // Puts the record in, or moves it to its new deadline.
  void arm(TimerRecord& record, int64_t deadline_ns);
  void cancel(TimerRecord& record);

  bool empty() const { return heap_.empty(); }
  int64_t next_deadline_ns() const { return heap_.front()->deadline_ns; }  // not when empty
  // Arming that happens from now on gets a sequence not below this.
  uint64_t next_sequence() const { return next_sequence_; }
  // Takes out the earliest record that is due at `now_ns` and was armed before `before_sequence`;
  // nullptr if there is none.
  TimerRecord* pop_due(int64_t now_ns, uint64_t before_sequence);

 private:
  static bool earlier(const TimerRecord& a, const TimerRecord& b);
  void place(size_t position, TimerRecord* record);
  void sift_up(size_t position);
  void sift_down(size_t position);
  void remove_at(size_t position);

  std::vector<TimerRecord*> heap_;
  uint64_t next_sequence_ = 0;
};

}  // namespace hv
