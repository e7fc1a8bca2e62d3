// The SBI's PMU extension over the calling hart's counters.
#pragma once

#include <cstdint>

#include "cpu/hart.h"
#include "hw/machine/sbi_return.h"

namespace hv {

// SBI specification 2.0, chapter 11, functions 0 to 4: hardware counters. There are no firmware
// counters and no snapshots. Counters go by the numbers of their CSRs: 0 (cycle) and 2 (instret)
// run always and are never given out by config_matching, 1 does not exist, 3 to 18 are hpmcounter3
// to 18. All state is in the hart: a counter is taken while its mhpmevent is not 0.
SbiReturn sbi_pmu_call(Hart& hart, uint64_t function);

// What firmware leaves: no counter taken, all but cycle and instret stopped.
void sbi_pmu_reset(Hart& hart);

}  // namespace hv
