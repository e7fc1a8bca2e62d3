// Debug triggers on addresses (Debug specification 1.0, Sdtrig): breakpoints and watchpoints whose
// action is a breakpoint exception. Hart thread only.
//
// Two triggers, as in QEMU, of types mcontrol (2) and mcontrol6 (6), which match one address
// (match = 0). A load, store or atomic matches when its bytes include the address and its size is
// the trigger's, if that names one; an atomic that stores counts as a load and a store. The
// exception comes before the instruction. To keep it from overwriting the state of a handler
// (chapter "Native Triggers"), M-mode triggers are dormant from a trap to M-mode until mret or
// until mstatus.MIE is set, and S-mode ones, where breakpoints are delegated, likewise with sret
// and sstatus.SIE. The chapter's first solution goes by MIE and SIE alone; then code that has never
// enabled interrupts would have no breakpoints at all, while in QEMU it has.
//
// They cost nothing while none is armed: pages with a watchpoint are kept out of the data TLBs, and
// pages with a breakpoint are executed by single instructions (cpu/mmu.cpp).
#pragma once

#include <cstdint>

#include "cpu/hart.h"

namespace hv {

enum class Access : uint8_t;  // cpu/mmu.h

// A trigger for this kind of access lies in the page.
bool has_trigger(const Hart& hart, uint64_t page, Access access);
// False: a trigger has fired, the exception is in the hart. `size` counts for loads and stores.
bool pass_triggers(Hart& hart, uint64_t address, uint64_t size, Access access);
bool pass_atomic_triggers(Hart& hart, uint64_t address, uint64_t size, Access access);

// What tdata1 keeps of a value that is written to it.
uint64_t legal_tdata1(uint64_t value);

uint64_t read_tselect(Hart& hart, unsigned csr);
void write_tselect(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
uint64_t read_tdata1(Hart& hart, unsigned csr);
void write_tdata1(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
uint64_t read_tdata2(Hart& hart, unsigned csr);
void write_tdata2(Hart& hart, unsigned csr, uint64_t value, uint64_t mask);
uint64_t read_tinfo(Hart& hart, unsigned csr);

}  // namespace hv
