// What bare-metal test programs for the virt board share: start.S starts every hart in M-mode with
// a stack of its own and calls bare_main; when hart 0 returns, the machine is switched off. With
// SUPERVISOR, firmware has started hart 0 in S-mode, and there is no other.
#pragma once

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#define csr_read(csr)                              \
  ({                                               \
    u64 value_;                                    \
    asm volatile("csrr %0, " #csr : "=r"(value_)); \
    value_;                                        \
  })
#define csr_write(csr, value) asm volatile("csrw " #csr ", %0" ::"r"((u64)(value)) : "memory")
#define csr_set(csr, value) asm volatile("csrs " #csr ", %0" ::"r"((u64)(value)) : "memory")
#define csr_clear(csr, value) asm volatile("csrc " #csr ", %0" ::"r"((u64)(value)) : "memory")

#define MSIP(hart) ((volatile u32*)(0x2000000ul + 4 * (hart)))
#define MTIMECMP(hart) ((volatile u64*)(0x2004000ul + 8 * (hart)))
#define MTIME ((volatile u64*)0x200bff8ul)  // 10 MHz

// The program's part.
void bare_main(u64 hart);
void bare_trap(void);  // start.S has one that reports and switches off; a program may have its own
void bare_unexpected(u64 cause, u64 pc, u64 value) __attribute__((noreturn));

void put_char(int c);
void put_string(const char* text);
void put_hex(u64 value);
void put_decimal(u64 value);
// "name7 0x..." and the end of the line; without the number when it is ~0.
void put_named(const char* name, u64 number, u64 value);
void power_off(int failed) __attribute__((noreturn));
void* memcpy(void* to, const void* from, u64 size);
void* memset(void* to, int value, u64 size);
