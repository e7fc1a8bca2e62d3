#include "cpu/hpm.h"

#include <algorithm>

#include "cpu/trap.h"

namespace hv {
namespace {

constexpr uint64_t kEventMask = (1ull << 56) - 1;
constexpr uint64_t kFilters = kHpmMinh | kHpmSinh | kHpmUinh;

// No hart retires more in a tick of the clock (100 ns), so that a deadline computed with it comes
// early rather than late.
constexpr uint64_t kFastestPerTick = 100;
constexpr uint64_t kShortestWatch = 200;  // ticks: 20 us

// What an event counts; nullptr: nothing.
const uint64_t* event_source(const Hart& hart, uint64_t event) {
  switch (event & kEventMask) {
    case kHpmEventCycles:  // one per instruction, as mcycle
    case kHpmEventInstructions:
      return &hart.instret;
    case kHpmEventLoadMisses:
      return &hart.tlb_misses.load;
    case kHpmEventStoreMisses:
      return &hart.tlb_misses.store;
    case kHpmEventFetchMisses:
      return &hart.tlb_misses.fetch;
  }
  return nullptr;
}

bool counts_in(uint64_t event, Priv priv) {
  const uint64_t stop = priv == Priv::kMachine      ? kHpmMinh
                        : priv == Priv::kSupervisor ? kHpmSinh
                                                    : kHpmUinh;
  return !(event & stop);
}

template <class Function>
void for_each_active(Hart& hart, Function function) {
  for (uint32_t left = hart.csr.hpm_active; left; left &= left - 1)
    function(hart.csr.hpm[static_cast<unsigned>(__builtin_ctz(left))]);
}

void overflowed(Hart& hart, HpmCounter& counter) {
  if (!hart.has(Ext::kSscofpmf) || counter.event & kHpmOf) return;
  counter.event |= kHpmOf;
  hart.mip.fetch_or(kMipLcofip);
  request_interrupt_check(hart);
}

// An instruction that writes a counter does not count itself, so `since` may be ahead by one.
bool behind(uint64_t now, uint64_t since) {
  return static_cast<int64_t>(now - since) > 0;
}

// Which counters run, after a change of their settings; all have been settled.
void find_active(Hart& hart) {
  CsrState& csr = hart.csr;
  csr.hpm_active = csr.hpm_filtered = 0;
  for (unsigned i = 0; i < kHpmCount; ++i) {
    HpmCounter& counter = csr.hpm[i];
    const uint64_t* source = event_source(hart, counter.event);
    if (!source || csr.mcountinhibit >> (kHpmFirst + i) & 1) continue;
    csr.hpm_active |= 1u << i;
    if (counter.event & kFilters) csr.hpm_filtered |= 1u << i;
  }
  hart.requests.fetch_or(kReqTimer, std::memory_order_release);
}

// Starts counting from the next instruction on.
void restart(Hart& hart, HpmCounter& counter) {
  if (const uint64_t* source = event_source(hart, counter.event))
    counter.since = *source + (source == &hart.instret);
}

HpmCounter* find(Hart& hart, unsigned counter) {
  return counter - kHpmFirst < kHpmCount ? &hart.csr.hpm[counter - kHpmFirst] : nullptr;
}

}  // namespace

bool hpm_knows_event(uint64_t event) {
  return event_source(Hart{}, event) != nullptr;
}

void hpm_settle(Hart& hart, bool retiring) {
  for_each_active(hart, [&](HpmCounter& counter) {
    const uint64_t* source = event_source(hart, counter.event);
    const uint64_t now = *source + (retiring && source == &hart.instret);
    if (!behind(now, counter.since)) return;
    if (counts_in(counter.event, hart.priv)) {
      const uint64_t before = counter.value;
      counter.value += now - counter.since;
      if (counter.value < before) overflowed(hart, counter);
    }
    counter.since = now;
  });
}

uint64_t hpm_read(Hart& hart, unsigned counter) {
  hpm_settle(hart, false);
  const HpmCounter* hpm = find(hart, counter);
  return hpm ? hpm->value : 0;
}

void hpm_write(Hart& hart, unsigned counter, uint64_t value) {
  HpmCounter* hpm = find(hart, counter);
  if (!hpm) return;
  hpm->value = value;
  restart(hart, *hpm);
  hart.requests.fetch_or(kReqTimer, std::memory_order_release);
}

uint64_t hpm_event(Hart& hart, unsigned counter) {
  hpm_settle(hart, false);
  const HpmCounter* hpm = find(hart, counter);
  return hpm ? hpm->event : 0;
}

void hpm_set_event(Hart& hart, unsigned counter, uint64_t event) {
  HpmCounter* hpm = find(hart, counter);
  if (!hpm) return;
  hpm_settle(hart, false);
  hpm->event = event & (hart.has(Ext::kSscofpmf) ? kEventMask | kHpmOf | kFilters : kEventMask);
  restart(hart, *hpm);
  find_active(hart);
}

void hpm_set_inhibit(Hart& hart, uint64_t inhibit) {
  hpm_settle(hart, false);
  const uint32_t running = hart.csr.hpm_active;
  hart.csr.mcountinhibit = (hart.csr.mcountinhibit & ~kHpmBits) | (inhibit & kHpmBits);
  find_active(hart);
  for (unsigned i = 0; i < kHpmCount; ++i)
    if (hart.csr.hpm_active & ~running & 1u << i) restart(hart, hart.csr.hpm[i]);
}

uint64_t hpm_watch(Hart& hart) {
  if (!hart.csr.hpm_active || !hart.has(Ext::kSscofpmf)) return ~0ull;
  hpm_settle(hart, false);
  uint64_t shortest = ~0ull;
  for_each_active(hart, [&](const HpmCounter& counter) {
    if (counter.event & kHpmOf) return;
    const uint64_t left = ~counter.value;
    shortest = std::min(shortest, std::max(left / kFastestPerTick, kShortestWatch));
  });
  const uint64_t now = hart.clock->now();  // anything, for the guest can set it
  return shortest < ~now ? now + shortest : ~0ull;
}

}  // namespace hv
