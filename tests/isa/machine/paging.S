// cpu: rv64,svnapot=on,svadu=on
// cpu: rv64,svnapot=on,svade=on
// cpu: rv64,svnapot=on,svade=on,svadu=off
// cpu: rv64,svadu=off
// What entries with N, and without A and D, translate to; entries made valid without a fence. M-mode
// looks with MPRV and MPP = S.
#include "common.inc"

  .equ MPRV, 1 << 17
  .equ MPP_S, 1 << 11
  .equ VA, 0x40000000

// Loads and stores at virtual s4 through the leaf s5 in its slot.
  .macro try
  sd s5, 0(s6)
  sfence.vma
  li t0, MPRV | MPP_S
  csrs mstatus, t0
  li a0, 0
  li s11, -1
  ld a0, 0(s4)
  csrc mstatus, t0
  jal tp, put_trap
  show a0
  ld a0, 0(s6)
  show a0
  csrs mstatus, t0
  li s11, -1
  sd s4, 8(s4)
  csrc mstatus, t0
  jal tp, put_trap
  ld a0, 0(s6)
  show a0
  .endm

main:
  mv s9, ra
  csrr a0, 0x30a
  srli a0, a0, 61
  andi a0, a0, 1
  show a0
  // Root entry of VA, then 2 MiB entries, then pages.
  lla t0, middle
  srli t0, t0, 2
  ori t0, t0, 1
  lla t1, root
  sd t0, 8(t1)
  lla t0, leaves
  srli t0, t0, 2
  ori t0, t0, 1
  lla t1, middle
  sd t0, 0(t1)
  // Each page of the target begins with its number.
  lla t0, target
  li t1, 0
1:
  sd t1, 0(t0)
  li t2, 4096
  add t0, t0, t2
  addi t1, t1, 1
  li t2, 32
  bne t1, t2, 1b
  li t0, 8 << 60
  lla t1, root
  srli t1, t1, 12
  or t0, t0, t1
  csrw satp, t0
  sfence.vma

  // ADUE as it is, clear, set.
  li s8, 0
adue:
  lla s7, cases
1:
  ld s5, 0(s7)
  lla t0, target
  srli t0, t0, 2
  add s5, s5, t0
  // The page that the case names, by its slot.
  ld t0, 8(s7)
  li s4, VA
  slli t1, t0, 12
  add s4, s4, t1
  lla s6, leaves
  slli t1, t0, 3
  add s6, s6, t1
  try
  sd zero, 0(s6)
  sfence.vma
  addi s7, s7, 16
  lla t0, cases_end
  bne s7, t0, 1b

  li t0, 1 << 61
  csrc 0x30a, t0
  addi s8, s8, 1
  li t1, 1
  beq s8, t1, adue
  csrs 0x30a, t0
  li t1, 2
  beq s8, t1, adue

  // A leaf with N in the level above.
  lla s6, middle
  lla t0, target
  srli t0, t0, 2
  li s5, 1 << 63 | 0xcf | 8 << 10
  add s5, s5, t0
  li s4, VA
  try
  // A pointer with N.
  lla t0, leaves
  srli t0, t0, 2
  li s5, 1 << 63 | 1
  or s5, s5, t0
  try
  jr s9

// Leaf flags above the target's frame, and the page through which to look.
  .balign 8
cases:
  .dword 0xcf, 0, 0xcf | 5 << 10, 3
  .dword 0x0f, 0, 0x4f, 0, 0x8f, 0, 0x43, 1, 0x03, 1
  .dword 1 << 63 | 0xcf | 8 << 10, 0, 1 << 63 | 0xcf | 8 << 10, 7, 1 << 63 | 0xcf | 8 << 10, 15
  .dword 1 << 63 | 0xcf | 24 << 10, 17, 1 << 63 | 0x0f | 8 << 10, 9
  .dword 1 << 63 | 0xcf, 0, 1 << 63 | 0xcf | 1 << 10, 0, 1 << 63 | 0xcf | 2 << 10, 0
  .dword 1 << 63 | 0xcf | 4 << 10, 0, 1 << 63 | 0xcf | 9 << 10, 0, 1 << 63 | 0xcf | 12 << 10, 0
cases_end:

  .balign 4096
root:
  .skip 4096
middle:
  .skip 4096
leaves:
  .skip 4096
  .balign 65536
target:
  .skip 32 * 4096
