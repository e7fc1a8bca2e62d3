// Traps: exceptions and interrupts, their delegation and their order.
#pragma once

#include <cstdint>

#include "cpu/hart.h"

namespace hv {

// Takes the exception recorded in the hart; hart.pc is the instruction's address and becomes the
// handler's. Privileged specification 3.1.8 (delegation), 3.1.7 and 10.1.2 (vectors).
void take_exception(Hart& hart);

// Takes the highest-priority interrupt that is pending, enabled and not masked, if any; true if
// hart.pc moved. Order MEI, MSI, MTI, SEI, SSI, STI (3.1.9).
bool take_interrupt(Hart& hart);

// Some enabled interrupt is pending, whatever mstatus says: what ends WFI.
bool wakes_from_wfi(const Hart& hart);

// Recomputes MTIP and STIP from the clock; returns the earliest future deadline in ticks (~0:
// none).
uint64_t update_timers(Hart& hart);

// Architectural reset: M-mode, pc = reset_pc, CSRs to reset values, registers to 0.
void reset_hart(Hart& hart, uint64_t reset_pc);

// Keeps hart.fp_enabled and the MMU context in step after a direct change of mstatus/priv/satp.
void state_changed(Hart& hart);

}  // namespace hv
