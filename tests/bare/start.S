// Entry of bare-metal test programs; see bare.h.
  .equ STACK_SHIFT, 14
  .equ MAX_HARTS, 8
  .equ FS_INITIAL, 0x2000

  .section .text.start, "ax"
  .globl _start
_start:
#ifdef SUPERVISOR
  // The firmware has started hart 0 alone.
  lla t0, bare_trap
  csrw stvec, t0
#else
  csrr a0, mhartid
  li t0, MAX_HARTS
  bgeu a0, t0, park
  lla t0, bare_trap
  csrw mtvec, t0
  li t0, FS_INITIAL
  csrs mstatus, t0
#endif
  lla sp, stacks
  addi t0, a0, 1
  slli t0, t0, STACK_SHIFT
  add sp, sp, t0
  call bare_main
#ifndef SUPERVISOR
  csrr a0, mhartid
  bnez a0, park
#endif
  li a0, 0
  call power_off
#ifndef SUPERVISOR
park:
  csrw mie, zero
#endif
1:
  wfi
  j 1b

  .weak bare_trap
  .balign 4
bare_trap:
#ifdef SUPERVISOR
  csrr a0, scause
  csrr a1, sepc
  csrr a2, stval
#else
  csrr a0, mcause
  csrr a1, mepc
  csrr a2, mtval
#endif
  call bare_unexpected

  .bss
  .balign 16
stacks:
  .space MAX_HARTS << STACK_SHIFT
