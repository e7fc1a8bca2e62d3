// cpu: rv64,zacas=on,zabha=on
// Compare-and-swap and atomics of every width on edge values.
#include "common.inc"

  .macro amo funct5, width
  .insn r 0x2f, \width, \funct5 << 2, a0, a1, a2
  .endm

// Each amo of the width, at memory of s1 with the operand s2.
  .macro amos width
  .irp funct5, 1, 0, 4, 12, 8, 16, 20, 24, 28
  sd s1, 0(s0)
  mv a1, s0
  mv a2, s2
  amo \funct5, \width
  show a0
  ld a0, 0(s0)
  show a0
  .endr
  .endm

// amocas with rd equal to memory of s1, and unequal.
  .macro cas width
  .irp flip, 0, 1
  sd s1, 0(s0)
  xori a0, s1, \flip
  mv a1, s0
  mv a2, s2
  amo 5, \width
  show a0
  ld a0, 0(s0)
  show a0
  .endr
  .endm

main:
  mv s9, ra
  lla s3, values
1:
  ld s1, 0(s3)
  ld s2, 8(s3)
  lla s0, memory
  amos 0
  amos 1
  amos 2
  amos 3
  addi s0, s0, 1
  sd zero, -1(s0)
  mv a1, s0
  mv a2, s2
  amo 0, 0
  show a0
  ld a0, -1(s0)
  show a0
  addi s0, s0, -1
  cas 0
  cas 1
  cas 2
  cas 3
  addi s3, s3, 8
  lla t0, values_end
  bne s3, t0, 1b

// Pairs: equal, unequal in one half, x0 as either operand.
  .macro quad rd, rs2, low, high
  sd s1, 0(s0)
  sd s2, 8(s0)
  addi a0, s1, \low
  addi a1, s2, \high
  li a2, 0x1111
  li a3, 0x2222
  li ra, 99
  .insn r 0x2f, 4, 5 << 2, \rd, s0, \rs2
  show a0
  show a1
  ld a0, 0(s0)
  show a0
  ld a0, 8(s0)
  show a0
  .endm
  ld s1, values
  ld s2, values + 8
  quad a0, a2, 0, 0
  quad a0, a2, 1, 0
  quad a0, a2, 0, 1
  quad a0, zero, 0, 0
  quad zero, a2, 0, 0
  li s1, 0
  li s2, 0
  quad zero, a2, 0, 0
  quad zero, zero, 0, 0

// Odd pairs; misaligned; where there is no memory.
  trap_of .insn r 0x2f, 4, 5 << 2, a1, s0, a2
  trap_of .insn r 0x2f, 4, 5 << 2, a0, s0, a3
  addi a1, s0, 8
  trap_of .insn r 0x2f, 4, 5 << 2, a4, a1, a2
  addi a1, s0, 4
  trap_of .insn r 0x2f, 3, 5 << 2, a4, a1, a2
  addi a1, s0, 1
  trap_of .insn r 0x2f, 2, 5 << 2, a4, a1, a2
  trap_of .insn r 0x2f, 1, 5 << 2, a4, a1, a2
  trap_of .insn r 0x2f, 1, 0 << 2, a4, a1, a2
  trap_of .insn r 0x2f, 0, 0 << 2, a4, a1, a2
  jr s9

  .balign 16
memory:
  .skip 16
values:
  .dword 0x8000000080008080, 0x7fffffff7fff7f7f, 0, -1, 0x0123456789abcdef, 1, 0x80, 0x8000
  .dword 0x80000000, 0x7f, 0x7fff
values_end:
  .dword 0x7fffffff
