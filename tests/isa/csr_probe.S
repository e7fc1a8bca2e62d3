// Writes patterns to CSRs in M-mode and prints what reads back, for csr_compare.py. Bare metal on
// the virt board: results leave by the UART, the test finisher ends the machine.
//
// rows.inc, which csr_compare.py writes, holds a line `.dword CSR, PATTERN` for each pattern.
// Printed: one character for each of the 4096 numbers (see `sweep`), then 16 hexadecimal digits for
// each row.

  .equ UART, 0x10000000
  .equ LINE_STATUS, 5
  .equ TRANSMITTER_EMPTY, 0x20
  .equ FINISHER, 0x100000
  .equ PASS, 0x5555
  .equ FS_DIRTY, 0x6000

  .option norvc
  .globl _start
_start:
  lla t0, trap
  csrw mtvec, t0
  li t0, FS_DIRTY
  csrs mstatus, t0

// '-' where reading traps, 'r' where only writing does, 'w' where neither.
sweep:
  li s0, 0
1:
  li a1, '-'
  call read_csr
  bnez s11, 2f
  li a1, 'w'
  // The triggers are left alone: QEMU 10 ends with an assertion at some values.
  srli t0, s0, 4
  li t1, 0x7a
  beq t0, t1, 2f
  call write_csr
  beqz s11, 2f
  li a1, 'r'
2:
  call put_char
  addi s0, s0, 1
  li t0, 4096
  bne s0, t0, 1b
  call put_newline

  lla s1, rows
  lla s2, rows_end
1:
  ld s0, 0(s1)
  call read_csr
  mv s3, a0
  ld a0, 8(s1)
  call write_csr
  call read_csr
  mv s4, a0
  mv a0, s3
  call write_csr
  mv a0, s4
  call put_number
  addi s1, s1, 16
  bne s1, s2, 1b

  li t0, FINISHER
  li t1, PASS
  sw t1, 0(t0)
1:
  j 1b

// a0 = CSR number s0; s11: it trapped.
read_csr:
  lla t0, readers
  j call_stub
// CSR number s0 = a0; s11: it trapped.
write_csr:
  lla t0, writers
call_stub:
  slli t1, s0, 3
  add t0, t0, t1
  li s11, 0
  jr t0

  .balign 4
trap:
  li s11, 1
  csrr t0, mepc
  addi t0, t0, 4
  csrw mepc, t0
  mret

// a1 to the UART.
put_char:
  li t0, UART
1:
  lbu t1, LINE_STATUS(t0)
  andi t1, t1, TRANSMITTER_EMPTY
  beqz t1, 1b
  sb a1, 0(t0)
  ret

// a0 in hexadecimal, and the end of the line.
put_number:
  mv s5, ra
  li s6, 16
1:
  srli a1, a0, 60
  slli a0, a0, 4
  lla t0, digits
  add t0, t0, a1
  lbu a1, 0(t0)
  call put_char
  addi s6, s6, -1
  bnez s6, 1b
  mv ra, s5
put_newline:
  li a1, '\n'
  j put_char

  .balign 8
readers:
  .set number, 0
  .rept 4096
  csrr a0, number
  ret
  .set number, number + 1
  .endr
writers:
  .set number, 0
  .rept 4096
  csrw number, a0
  ret
  .set number, number + 1
  .endr

digits:
  .ascii "0123456789abcdef"
  .balign 8
rows:
  .include "rows.inc"
rows_end:
