// Limits on requests and bytes per second, as QEMU's throttling.* options state them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "io/key_values.h"
#include "io/result.h"
#include "io/thread_safety.h"

namespace hv {

// One limit: `average` units per second, 0 for none; bursts of `maximum` units per second for
// `length` seconds when `maximum` is not 0.
struct ThrottleLimit {
  double average = 0;
  double maximum = 0;
  double length = 1;
};

struct ThrottleConfig {
  enum Kind { kTotal, kRead, kWrite, kKinds };
  std::array<ThrottleLimit, kKinds> bytes;
  std::array<ThrottleLimit, kKinds> requests;
  uint64_t request_size = 0;  // bytes: a longer request counts as several; 0: never

  bool any() const;
};

// Takes PREFIXiops-total, PREFIXbps-read-max, PREFIXiops-size and so on. With prefix "throttling."
// also the old names (iops=, bps_rd= ...). Fails with one line on a limit that makes no sense.
Result<ThrottleConfig> take_throttle_config(KeyValues& values, std::string_view prefix);

// The budget of a disk, or of several that share a group. Any thread.
//
// Leaky buckets. Each request is entered at once and told when it may start: so requests start in
// the order in which they came, and members of a group get their shares by what they ask for.
class ThrottleGroup {
 public:
  explicit ThrottleGroup(const ThrottleConfig& config) : config_(config) {}

  // The last member that states limits sets them for all.
  void configure(const ThrottleConfig& config) HV_EXCLUDES(mutex_);
  // When a request of `bytes` may start, in ns on CLOCK_MONOTONIC; `now_ns` or earlier: at once.
  int64_t reserve(bool write, uint64_t bytes, int64_t now_ns) HV_EXCLUDES(mutex_);

 private:
  struct Bucket {
    double level = 0;        // units above what `average` has let out
    double burst_level = 0;  // the same for `maximum`
  };
  // How long until a unit may go, in seconds.
  static double wait(const ThrottleLimit& limit, const Bucket& bucket);
  void leak_locked(int64_t now_ns) HV_REQUIRES(mutex_);

  Mutex mutex_;
  ThrottleConfig config_ HV_GUARDED_BY(mutex_);
  int64_t leaked_ns_ HV_GUARDED_BY(mutex_) = 0;
  std::array<Bucket, ThrottleConfig::kKinds> bytes_ HV_GUARDED_BY(mutex_);
  std::array<Bucket, ThrottleConfig::kKinds> requests_ HV_GUARDED_BY(mutex_);
};

}  // namespace hv
