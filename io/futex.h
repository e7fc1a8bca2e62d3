// Sleeping on a 32-bit word: futex(2), private to the process.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <limits>

namespace hv {

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// Sleeps while `word` is `expected`, at most until `deadline_ns` of CLOCK_MONOTONIC. May return
// early for no reason.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t expected,
                       int64_t deadline_ns = kNoDeadline) {
  timespec until{.tv_sec = deadline_ns / 1'000'000'000, .tv_nsec = deadline_ns % 1'000'000'000};
  // The bitset form takes an absolute time.
  syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
          deadline_ns == kNoDeadline ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
}

inline void futex_wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// A thread's way to wake the sleepers of a futex a little later, with a system call that it makes
// anyway.
class FutexWaker {
 public:
  // Wakes all who sleep on `word`, which stays where it is for as long as the process runs or this
  // object takes wake-ups. Never for a wake-up that the caller then waits for.
  virtual void wake_all(std::atomic<uint32_t>& word) = 0;

  // While it lives, futex_wake_all_soon() of this thread goes to `waker`; nullptr: to the kernel.
  class Scope {
   public:
    explicit Scope(FutexWaker* waker) : before_(current_) { current_ = waker; }
    ~Scope() { current_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    FutexWaker* const before_;
  };

 protected:
  ~FutexWaker() = default;

 private:
  friend void futex_wake_all_soon(std::atomic<uint32_t>& word);
  static inline thread_local FutexWaker* current_ = nullptr;
};

// As futex_wake_all(), but in a FutexWaker::Scope perhaps only soon.
inline void futex_wake_all_soon(std::atomic<uint32_t>& word) {
  if (FutexWaker::current_)
    FutexWaker::current_->wake_all(word);
  else
    futex_wake_all(word);
}

}  // namespace hv
