#include "main-loop/output_queue.h"

#include <algorithm>
#include <utility>

namespace hv {

size_t OutputQueue::push(std::span<const uint8_t> bytes) {
  MutexLock lock(mutex_);
  if (!open_) return bytes.size();
  const size_t taken = std::min(bytes.size(), room_locked());
  pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  queued_ += taken;
  if (taken < bytes.size()) starved_ = true;
  return taken;
}

size_t OutputQueue::room() {
  MutexLock lock(mutex_);
  if (!open_) return kLimit;
  const size_t room = room_locked();
  if (room == 0) starved_ = true;
  return room;
}

void OutputQueue::force(std::span<const uint8_t> bytes) {
  MutexLock lock(mutex_);
  if (!open_) return;
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  queued_ += bytes.size();
}

void OutputQueue::open() {
  MutexLock lock(mutex_);
  open_ = true;
}

void OutputQueue::close() {
  MutexLock lock(mutex_);
  open_ = false;
  queued_ = 0;
  pending_.clear();
  writing_.clear();
  written_ = 0;
}

bool OutputQueue::is_open() {
  MutexLock lock(mutex_);
  return open_;
}

void OutputQueue::note_starved() {
  MutexLock lock(mutex_);
  starved_ = true;
}

bool OutputQueue::empty() {
  MutexLock lock(mutex_);
  return queued_ == 0;
}

std::span<const uint8_t> OutputQueue::front() {
  if (written_ == writing_.size()) {
    writing_.clear();
    written_ = 0;
    MutexLock lock(mutex_);
    std::swap(pending_, writing_);
  }
  return std::span(writing_).subspan(written_);
}

void OutputQueue::consume(size_t count) {
  written_ += count;
  MutexLock lock(mutex_);
  queued_ -= count;
}

bool OutputQueue::take_room_again() {
  MutexLock lock(mutex_);
  if (!starved_ || room_locked() < kLimit / 2) return false;
  starved_ = false;
  return true;
}

}  // namespace hv
