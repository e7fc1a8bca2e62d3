// The host's monotonic clock.
#pragma once

#include <cstdint>
#include <ctime>

namespace hv {

// CLOCK_MONOTONIC in nanoseconds. Any thread.
inline int64_t monotonic_now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace hv
