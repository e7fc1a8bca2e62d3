#include "hw/machine/sbi_pmu.h"

#include <bit>

#include "cpu/hpm.h"

namespace hv {
namespace {

using enum SbiError;

// Flags of config_matching, start and stop.
constexpr uint64_t kSkipMatch = 1 << 0, kClearValue = 1 << 1, kAutoStart = 1 << 2,
                   kSetUinh = 1 << 5, kSetSinh = 1 << 6, kConfigFlags = 0xff;
constexpr uint64_t kSetInitialValue = 1 << 0, kReset = 1 << 0;

constexpr uint64_t kCounters = kHpmFirst + kHpmCount;
constexpr uint64_t kFixedBits = 1 << 0 | 1 << 2;
constexpr unsigned kFirstCounterCsr = 0xc00, kCounterWidth = 64;

constexpr uint64_t kEventTypeShift = 16, kRawType = 2, kRawSelector = (1ull << 48) - 1;

bool running(const Hart& hart, unsigned counter) {
  return !(hart.csr.mcountinhibit >> counter & 1);
}
bool taken(Hart& hart, unsigned counter) {
  return counter < kHpmFirst || hpm_event(hart, counter) != 0;
}

void start(Hart& hart, unsigned counter) {
  // Without OF the next overflow interrupts again.
  hpm_set_event(hart, counter, hpm_event(hart, counter) & ~kHpmOf);
  hpm_set_inhibit(hart, hart.csr.mcountinhibit & ~(1ull << counter));
}
void stop(Hart& hart, unsigned counter) {
  hpm_set_inhibit(hart, hart.csr.mcountinhibit | 1ull << counter);
}

// The counters that base and mask name, as bits; 0: one of them does not exist, or none is named.
uint64_t named(uint64_t base, uint64_t mask) {
  if (mask == 0 || base >= kCounters) return 0;
  const uint64_t bits = mask << base;
  const bool lost = bits >> base != mask;
  return lost || bits & ~(kHpmBits | kFixedBits) ? 0 : bits;
}

SbiReturn counter_info(uint64_t counter) {
  if (counter >= kCounters || !((kHpmBits | kFixedBits) >> counter & 1)) return {kInvalidParam};
  return {kSuccess, (kFirstCounterCsr + counter) | (kCounterWidth - 1) << 12};
}

// Linux names counter 1 with all others, so a mask may hold what does not exist.
SbiReturn config_matching(Hart& hart, uint64_t base, uint64_t mask, uint64_t flags, uint64_t event,
                          uint64_t data) {
  if (base >= kCounters || mask == 0 || flags & ~kConfigFlags) return {kInvalidParam};
  const uint64_t candidates = mask << base & kHpmBits;
  unsigned counter = 0;
  if (flags & kSkipMatch) {
    counter = static_cast<unsigned>(base) + static_cast<unsigned>(std::countr_zero(mask));
    if (counter < kHpmFirst || counter >= kCounters || !taken(hart, counter))
      return {kInvalidParam};
  } else {
    if (event >> kEventTypeShift == kRawType) event = data & kRawSelector;
    if (!hpm_knows_event(event)) return {kNotSupported};
    for (uint64_t left = candidates; left && !counter; left &= left - 1) {
      const auto next = static_cast<unsigned>(std::countr_zero(left));
      if (!taken(hart, next)) counter = next;
    }
    if (!counter) return {kNotSupported};
    stop(hart, counter);
    if (flags & kSetUinh) event |= kHpmUinh;
    if (flags & kSetSinh) event |= kHpmSinh;
    hpm_set_event(hart, counter, event);
  }
  if (flags & kClearValue) hpm_write(hart, counter, 0);
  if (flags & kAutoStart) start(hart, counter);
  return {kSuccess, counter};
}

SbiReturn start_counters(Hart& hart, uint64_t counters, uint64_t flags, uint64_t initial) {
  if (!counters || flags & ~kSetInitialValue) return {kInvalidParam};
  SbiReturn result;
  for (uint64_t left = counters; left; left &= left - 1) {
    const auto counter = static_cast<unsigned>(std::countr_zero(left));
    if (!taken(hart, counter)) {
      result.error = kInvalidParam;
    } else if (running(hart, counter)) {
      result.error = kAlreadyStarted;
    } else {
      if (flags & kSetInitialValue) hpm_write(hart, counter, initial);
      start(hart, counter);
    }
  }
  return result;
}

SbiReturn stop_counters(Hart& hart, uint64_t counters, uint64_t flags) {
  if (!counters || flags & ~kReset) return {kInvalidParam};
  SbiReturn result;
  for (uint64_t left = counters & kHpmBits; left; left &= left - 1) {
    const auto counter = static_cast<unsigned>(std::countr_zero(left));
    if (!running(hart, counter)) result.error = kAlreadyStopped;
    stop(hart, counter);
    if (flags & kReset) hpm_set_event(hart, counter, 0);
  }
  return result;
}

}  // namespace

SbiReturn sbi_pmu_call(Hart& hart, uint64_t function) {
  const uint64_t* a = &hart.x[10];
  switch (function) {
    case 0:
      return {kSuccess, kCounters};
    case 1:
      return counter_info(a[0]);
    case 2:
      return config_matching(hart, a[0], a[1], a[2], a[3], a[4]);
    case 3:
      return start_counters(hart, named(a[0], a[1]), a[2], a[3]);
    case 4:
      return stop_counters(hart, named(a[0], a[1]), a[2]);
  }
  return {kNotSupported};
}

void sbi_pmu_reset(Hart& hart) {
  for (unsigned i = 0; i < kHpmCount; ++i) hpm_set_event(hart, kHpmFirst + i, 0);
  hpm_set_inhibit(hart, kHpmBits);
}

}  // namespace hv
