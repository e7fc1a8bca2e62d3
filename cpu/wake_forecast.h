// Expects which hart a hart wakes when a device has woken it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace hv {

// A guest takes a device's interrupts on one hart and often has its process wait on another, so one
// wake-up brings about a second one. Where the same second hart comes again and again it can be
// woken together with the first one, before that one asks for it.
//
// One for each hart ("the first"). Times in nanoseconds.
class WakeForecast {
 public:
  static constexpr int kNone = -1;
  // Trusted after so many; a hart that was woken or kept awake in vain costs kMiss of the trust.
  static constexpr int kTrusted = 4, kMost = 8, kMiss = 2;
  // What comes later was not brought about by the device. It includes that the first hart may have
  // to wait until the thread that has woken it leaves it the processor, after a batch of requests.
  static constexpr int64_t kWithinNs = 150'000;

  // Any thread: a device has woken the first hart. Whom this one is expected to interrupt, or
  // kNone.
  int device_woke(int64_t now_ns) {
    woken_ns_.store(now_ns, kOrder);
    return trust_.load(kOrder) >= kTrusted ? second_.load(kOrder) : kNone;
  }
  // Any thread: the expected hart was woken, or stays awake.
  void acted_on() { acted_on_.store(true, kOrder); }
  // Any thread: whether the first hart may still do so; it has interrupted nobody, nor come to
  // rest.
  bool pending() const { return woken_ns_.load(kOrder) != 0; }

  // The first hart's thread: it interrupts this one; it comes to rest.
  void interrupts(int second, int64_t now_ns) {
    const int64_t woken_ns = woken_ns_.exchange(0, kOrder);
    if (woken_ns == 0) return;
    const bool in_vain = acted_on_.exchange(false, kOrder);
    const bool late = now_ns - woken_ns > kWithinNs;
    if (!late && second == second_.load(kOrder)) return change_trust(1);
    if (in_vain) return change_trust(-kMiss);
    if (late) return;
    if (trust_.load(kOrder) > 0) return change_trust(-1);
    second_.store(second, kOrder);
    change_trust(1);
  }
  void rests() {
    if (woken_ns_.exchange(0, kOrder) != 0 && acted_on_.exchange(false, kOrder))
      change_trust(-kMiss);
  }

 private:
  static constexpr auto kOrder = std::memory_order_relaxed;

  void change_trust(int by) {
    trust_.store(std::clamp(trust_.load(kOrder) + by, 0, kMost), kOrder);
  }

  std::atomic<int> second_{kNone};
  std::atomic<int> trust_{0};
  std::atomic<int64_t> woken_ns_{0};  // 0: not pending
  std::atomic<bool> acted_on_{false};
};

}  // namespace hv
