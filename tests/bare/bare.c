#include "bare.h"

#define UART ((volatile u8*)0x10000000ul)
#define FINISHER ((volatile u32*)0x100000ul)

void put_char(int c) {
  while (!(UART[5] & 0x20)) {
  }
  UART[0] = (u8)c;
}

void put_string(const char* text) {
  while (*text) put_char(*text++);
}

void put_hex(u64 value) {
  for (int shift = 60; shift >= 0; shift -= 4) put_char("0123456789abcdef"[value >> shift & 15]);
}

void put_decimal(u64 value) {
  if (value >= 10) put_decimal(value / 10);
  put_char('0' + (int)(value % 10));
}

void put_named(const char* name, u64 number, u64 value) {
  put_string(name);
  if (number != ~0ul) put_decimal(number);
  put_string(" 0x");
  put_hex(value);
  put_char('\n');
}

void power_off(int failed) {
  *FINISHER = failed ? 1u << 16 | 0x3333 : 0x5555;
  for (;;) asm volatile("wfi");
}

void bare_unexpected(u64 cause, u64 pc, u64 value) {
  put_string("unexpected trap:\n");
  put_named("mcause ", ~0ul, cause);
  put_named("mepc ", ~0ul, pc);
  put_named("mtval ", ~0ul, value);
  power_off(1);
}

void* memcpy(void* to, const void* from, u64 size) {
  for (u64 i = 0; i < size; ++i) ((u8*)to)[i] = ((const u8*)from)[i];
  return to;
}

void* memset(void* to, int value, u64 size) {
  for (u64 i = 0; i < size; ++i) ((u8*)to)[i] = (u8)value;
  return to;
}
