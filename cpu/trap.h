// Traps: exceptions and interrupts, their delegation and their order.
#pragma once

#include <cstdint>

#include "cpu/hart.h"

namespace hv {

// Takes the exception recorded in the hart; hart.pc is the instruction's address and becomes the
// handler's. Privileged specification 3.1.8 (delegation), 3.1.7 and 10.1.2 (vectors).
void take_exception(Hart& hart);

// Takes the highest-priority interrupt that is pending, enabled and not masked, if any; true if
// hart.pc moved. Order MEI, MSI, MTI, SEI, SSI, STI (3.1.9), LCOFI.
bool take_interrupt(Hart& hart);

// Some enabled interrupt is pending, whatever mstatus says: what ends WFI.
bool wakes_from_wfi(const Hart& hart);

// An interrupt that take_interrupt() would take now is pending.
bool interrupt_ready(const Hart& hart);

// After a change of mstatus, mie, mideleg, privilege or a pending bit on the hart's own thread:
// asks the engine to leave its block when an interrupt has become due.
void request_interrupt_check(Hart& hart);

// Sets the S-mode timer (Sstc; also how a built-in SBI does set_timer, with or without Sstc) and
// has the vCPU watch the new deadline. Hart thread.
void set_stimecmp(Hart& hart, uint64_t deadline_ticks);

// Recomputes MTIP and STIP from the clock; returns the earliest future deadline in ticks (~0:
// none). Other writers of a deadline set kReqTimer, so that the vCPU calls this.
uint64_t update_timers(Hart& hart);

// Architectural reset: M-mode, pc = reset_pc, CSRs to reset values, registers to 0.
void reset_hart(Hart& hart, uint64_t reset_pc);

// Keeps hart.fp_enabled and the MMU context in step after a direct change of mstatus/priv/satp.
void state_changed(Hart& hart);

}  // namespace hv
