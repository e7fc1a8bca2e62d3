// cpu: rv64,debug=on,svadu=on
// Breakpoints and watchpoints of both types, hit and missed. QEMU 7.2, which does not know svadu, is
// left out: it leaves mtval 0.
#include "common.inc"

  .equ MIE, 8
  .equ TYPE2, 2 << 60
  .equ TYPE6, 6 << 60
  .equ M_EXECUTE, 0x44
  .equ M_STORE, 0x42
  .equ M_LOAD, 0x41

  .macro watch type, kind, at
  li t0, \type | \kind | 1 << 16
  csrw tdata2, s0
  csrw tdata1, t0
  li a1, \at
  add a1, a1, s0
  csrsi mstatus, MIE
  trap_of lb a0, 0(a1)
  csrsi mstatus, MIE
  trap_of sb a0, 0(a1)
  li t0, \type
  csrw tdata1, t0
  .endm

// The breakpoint's instruction is skipped by the handler.
  .macro breakpoint type
  lla t0, 5f
  csrw tdata2, t0
  li t0, \type | M_EXECUTE
  csrw tdata1, t0
  csrsi mstatus, MIE
  li a0, 0
  li s11, -1
  addi a0, a0, 1
5:
  addi a0, a0, 2
  addi a0, a0, 4
  li t0, \type
  csrw tdata1, t0
  jal tp, put_trap
  show a0
  .endm

main:
  mv s9, ra
  lla s0, data
  .irp index, 0, 1
  li t0, \index
  csrw tselect, t0
  csrr a0, tselect
  show a0
  .irp kind, M_LOAD, M_STORE, M_LOAD | M_STORE
  .irp at, -1, 0, 1
  watch TYPE2, \kind, \at
  watch TYPE6, \kind, \at
  .endr
  .endr
  .endr
  li t0, 2
  csrw tselect, t0
  csrr a0, tselect
  show a0

  breakpoint TYPE2
  breakpoint TYPE6
  jr s9

  .balign 8
  .dword 0
data:
  .dword 0
