#include "main-loop/timer_queue.h"

#include <algorithm>

namespace hv {

bool TimerQueue::earlier(const TimerRecord& a, const TimerRecord& b) {
  return a.deadline_ns != b.deadline_ns ? a.deadline_ns < b.deadline_ns : a.sequence < b.sequence;
}

void TimerQueue::place(size_t position, TimerRecord* record) {
  heap_[position] = record;
  record->position = position;
}

void TimerQueue::sift_up(size_t position) {
  TimerRecord* record = heap_[position];
  while (position > 0) {
    const size_t parent = (position - 1) / 2;
    if (!earlier(*record, *heap_[parent])) break;
    place(position, heap_[parent]);
    position = parent;
  }
  place(position, record);
}

void TimerQueue::sift_down(size_t position) {
  TimerRecord* record = heap_[position];
  for (;;) {
    size_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && earlier(*heap_[child + 1], *heap_[child])) child++;
    if (!earlier(*heap_[child], *record)) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, record);
}

void TimerQueue::remove_at(size_t position) {
  heap_[position]->position = TimerRecord::kNotArmed;
  TimerRecord* last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  place(position, last);
  sift_up(position);
  sift_down(last->position);
}

void TimerQueue::arm(TimerRecord& record, int64_t deadline_ns) {
  cancel(record);
  record.deadline_ns = deadline_ns;
  record.sequence = next_sequence_++;
  heap_.push_back(&record);
  sift_up(heap_.size() - 1);
}

void TimerQueue::cancel(TimerRecord& record) {
  if (record.position != TimerRecord::kNotArmed) remove_at(record.position);
}

TimerRecord* TimerQueue::pop_due(int64_t now_ns, uint64_t before_sequence) {
  if (heap_.empty()) return nullptr;
  TimerRecord* first = heap_.front();
  // A due record armed this round stops the round even if older ones lie behind it: they are due in
  // the next round, which does not sleep.
  if (first->deadline_ns > now_ns || first->sequence >= before_sequence) return nullptr;
  remove_at(0);
  return first;
}

}  // namespace hv
