// Hardware performance counters 3 to 18: Zihpm (unprivileged specification, "Counters"), mhpmevent
// (privileged specification 3.1.10) and Sscofpmf. Hart thread only.
//
// Events are numbered as in QEMU, which takes the SBI's event numbers: see event_source() in
// hpm.cpp. Counters 19 to 31 exist and are read-only zero.
#pragma once

#include <cstdint>

#include "cpu/hart.h"

namespace hv {

inline constexpr unsigned kHpmFirst = 3;
// The bits of counters 3 to 18 in mcounteren, scounteren, mcountinhibit and scountovf.
inline constexpr uint64_t kHpmBits = ((1ull << kHpmCount) - 1) << kHpmFirst;

// mhpmevent, with Sscofpmf: overflow, and the modes in which the counter stands still.
inline constexpr uint64_t kHpmOf = 1ull << 63, kHpmMinh = 1ull << 62, kHpmSinh = 1ull << 61,
                          kHpmUinh = 1ull << 60;

inline constexpr uint64_t kHpmEventCycles = 0x1, kHpmEventInstructions = 0x2,
                          kHpmEventLoadMisses = 0x10019, kHpmEventStoreMisses = 0x1001b,
                          kHpmEventFetchMisses = 0x10021;
// Whether any counter counts this event.
bool hpm_knows_event(uint64_t event);

// `counter` is 3 to 31. A value written shows from the next instruction on.
uint64_t hpm_read(Hart& hart, unsigned counter);
void hpm_write(Hart& hart, unsigned counter, uint64_t value);
uint64_t hpm_event(Hart& hart, unsigned counter);
void hpm_set_event(Hart& hart, unsigned counter, uint64_t event);
// Sets mcountinhibit's bits of these counters.
void hpm_set_inhibit(Hart& hart, uint64_t inhibit);

// Before hart.priv changes; `retiring`: by an instruction that has not been counted yet.
void hpm_settle(Hart& hart, bool retiring);
inline void hpm_mode_change(Hart& hart, bool retiring) {
  if (hart.csr.hpm_filtered) [[unlikely]]
    hpm_settle(hart, retiring);
}

// Notes overflows (OF, LCOFIP) and returns when, in clock ticks, to look again; ~0: no counter can
// overflow. An overflow is seen by this, and by any access to the counters, not at the instruction
// that causes it: some 20 us late on a busy hart, later where the host has no processor free for
// the timer thread.
uint64_t hpm_watch(Hart& hart);

}  // namespace hv
