// Expects which hart a hart wakes when a device has woken it.
#pragma once

#include <algorithm>
#include <atomic>

namespace hv {

// A guest takes a device's interrupts on one hart and often has its process wait on another, so one
// wake-up brings about a second one. Where the same second hart comes again and again it can be
// woken together with the first one, before that one asks for it.
//
// One for each hart ("the first"). Any thread calls; a forecast that goes wrong because two do at
// once costs time only.
class WakeForecast {
 public:
  static constexpr int kNone = -1;
  // Trusted after so many; one that does not come costs kMiss of its trust.
  static constexpr int kTrusted = 4, kMost = 8, kMiss = 2;

  // A device has woken the first hart. The hart that this one is expected to wake, or kNone.
  int device_woke() {
    pending_.store(true, kOrder);
    return trust_.load(kOrder) >= kTrusted ? second_.load(kOrder) : kNone;
  }
  // Whether the first hart may still do so: it has woken nobody since, nor come to rest.
  bool pending() const { return pending_.load(kOrder); }
  void rests() { pending_.store(false, kOrder); }

  // The first hart has woken this one, which was asleep.
  void woke(int second) {
    if (!pending_.exchange(false, kOrder)) return;
    if (second == second_.load(kOrder)) return change_trust(1);
    if (trust_.load(kOrder) > 0) return change_trust(-1);
    second_.store(second, kOrder);
    change_trust(1);
  }
  // The expected hart was awake: whether it got its interrupt in time.
  void awaited(bool came) { change_trust(came ? 1 : -kMiss); }

 private:
  static constexpr auto kOrder = std::memory_order_relaxed;

  void change_trust(int by) {
    trust_.store(std::clamp(trust_.load(kOrder) + by, 0, kMost), kOrder);
  }

  std::atomic<int> second_{kNone};
  std::atomic<int> trust_{0};
  std::atomic<bool> pending_{false};
};

}  // namespace hv
