// cpu: rv64,smepmp=on
// Smepmp: every encoding of an entry with and without MML, seen from M-mode and S-mode; RLB; which
// entries MML refuses. The program has a locked entry for its code, its data none.
#include "common.inc"

  .equ MSECCFG, 0x747
  .equ MPRV, 1 << 17
  .equ MPP_S, 1 << 11
  .equ STACK, 0x80200000
  // Entry 1: locked, NAPOT, R and X.
  .equ CODE, 0x9d << 8

// Loads, stores and fetches at the region, as M-mode and as S-mode.
  .macro try
  trap_of ld a0, 0(s0)
  trap_of sd zero, 8(s0)
  li s11, -1
  lla s8, 8f
  jalr ra, s0
8:
  jal tp, put_trap
  li t0, MPRV | MPP_S
  csrs mstatus, t0
  li s11, -1
  ld a0, 0(s0)
  csrc mstatus, t0
  jal tp, put_trap
  csrs mstatus, t0
  li s11, -1
  sd zero, 8(s0)
  csrc mstatus, t0
  jal tp, put_trap
  .endm

// Entry 0 as each of the 16 encodings. Those with W and without R are reserved where MML is clear.
  .macro every_encoding reserved
  li s1, 0
1:
  .if \reserved
  andi t0, s1, 3
  li t1, 2
  beq t0, t1, 2f
  .endif
  andi t0, s1, 7
  ori t0, t0, 0x18
  andi t1, s1, 8
  slli t1, t1, 4
  or t0, t0, t1
  li t1, CODE
  or t0, t0, t1
  csrw pmpcfg0, t0
  csrr a0, pmpcfg0
  show a0
  try
2:
  addi s1, s1, 1
  li t0, 16
  bne s1, t0, 1b
  .endm

main:
  mv s9, ra
  li sp, STACK
  lla t0, fetch_trap
  csrw mtvec, t0
  csrw pmpaddr15, zero
  csrw pmpcfg2, zero
  lla s0, region
  // A ret, for the fetches.
  li t0, 0x8067
  sw t0, 0(s0)
  fence.i
  csrr a0, MSECCFG
  show a0
  li t0, 4
  csrw MSECCFG, t0
  csrr a0, MSECCFG
  show a0
  srli t0, s0, 2
  ori t0, t0, 0x1ff
  csrw pmpaddr0, t0
  // 64 KiB of code from the start of RAM.
  li t0, 0x80000000 >> 2 | 0x1fff
  csrw pmpaddr1, t0
  every_encoding 1
  li t0, 5
  csrw MSECCFG, t0
  csrr a0, MSECCFG
  show a0
  every_encoding 0

  // MMWP: what no entry matches.
  csrw pmpaddr0, zero
  li t0, CODE
  csrw pmpcfg0, t0
  trap_of ld a0, 0(s0)
  // RLB cannot come back while there is a lock, nor MML go.
  li t0, 0
  csrw MSECCFG, t0
  csrr a0, MSECCFG
  show a0
  li t0, 4
  csrw MSECCFG, t0
  csrr a0, MSECCFG
  show a0
  li t0, 0x9f << 8
  csrw pmpcfg0, t0
  csrr a0, pmpcfg0
  show a0
  csrw pmpaddr1, zero
  csrr a0, pmpaddr1
  show a0
  // Locked encodings for entries 8 to 15, all off.
  li t0, 0x8786858483828180
  csrw pmpcfg2, t0
  csrr a0, pmpcfg2
  show a0
  jr s9

// As `trap`, but goes to s8 from a fetch of the region, which has no next instruction.
  .balign 4
fetch_trap:
  csrw mscratch, t0
  csrr t0, mepc
  bne t0, s0, trap + 4
  csrr s11, mcause
  csrw mepc, s8
  csrr t0, mscratch
  mret

  .balign 65536
region:
  .skip 4096
