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

}  // namespace hv
