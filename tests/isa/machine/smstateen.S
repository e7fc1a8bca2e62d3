// cpu: rv64,smstateen=on
// What S-mode and U-mode may use with each field of mstateen. The CSR accesses are made in S-mode.
#include "common.inc"

  .equ MPP, 3 << 11
  .equ MPP_S, 1 << 11

  .macro below mode:vararg
  li t0, MPP
  csrc mstatus, t0
  li t0, \mode
  csrs mstatus, t0
  lla t0, 7f
  csrw mepc, t0
  mret
7:
  trap_of csrr a0, 0x10a
  trap_of csrw 0x10a, zero
  trap_of csrr a0, 0x10c
  trap_of csrw 0x10c, zero
  trap_of csrr a0, 0x10d
  trap_of csrr a0, 0x10f
  trap_of csrr a0, 0x30c
  ecall
  .endm

main:
  mv s9, ra
  lla t0, up
  csrw mtvec, t0
  li s1, 0
  lla s2, values
1:
  ld t0, 0(s2)
  csrw 0x30c, t0
  ld t0, 8(s2)
  csrw 0x30d, t0
  csrr a0, 0x10a
  show a0
  below MPP_S
  below 0
  addi s2, s2, 8
  lla t0, values_end
  bne s2, t0, 1b
  jr s9

// An ecall goes on behind it in M-mode; everything else as `trap`.
  .balign 4
up:
  csrw mscratch, t0
  csrr t0, mcause
  addi t0, t0, -8
  sltiu t0, t0, 2
  beqz t0, trap + 4
  csrr t0, mepc
  addi t0, t0, 4
  jr t0

  .balign 8
values:
  .dword 0, 1 << 63, 1 << 62, 0, 3 << 62
values_end:
  .dword 1 << 63
