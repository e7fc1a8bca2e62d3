// Bytes on their way from any thread to the loop that writes them. Internal to main-loop.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/thread_safety.h"

namespace hv {

// Bounded: what does not fit is not taken, and the writer who met the bound is remembered so that
// it can be told when there is room again. Closed (no peer), it takes and forgets everything.
//
// push(), room() and force(): any thread. The rest: the loop's thread.
class OutputQueue {
 public:
  static constexpr size_t kLimit = 64 << 10;

  // How many of the bytes were taken.
  size_t push(std::span<const uint8_t> bytes);
  size_t room();
  // Takes all, beyond the bound too: for our own short messages.
  void force(std::span<const uint8_t> bytes);

  void open();
  // Forgets what is queued; from now on everything is taken and forgotten.
  void close();
  bool is_open();
  bool empty();
  // A writer that does not use the queue has met the descriptor's own bound.
  void note_starved();
  // The oldest bytes queued; empty if there are none. Valid until the next call of consume() or
  // close().
  std::span<const uint8_t> front();
  void consume(size_t count);
  // True once after a writer has met the bound and half of it is free again.
  bool take_room_again();

 private:
  size_t room_locked() const HV_REQUIRES(mutex_) { return queued_ < kLimit ? kLimit - queued_ : 0; }

  Mutex mutex_;
  bool open_ HV_GUARDED_BY(mutex_) = false;
  bool starved_ HV_GUARDED_BY(mutex_) = false;  // a writer has met the bound
  size_t queued_ HV_GUARDED_BY(mutex_) = 0;     // pending and what is left of writing
  std::vector<uint8_t> pending_ HV_GUARDED_BY(mutex_);
  // Loop thread: taken from pending_, written up to written_.
  std::vector<uint8_t> writing_;
  size_t written_ = 0;
};

}  // namespace hv
