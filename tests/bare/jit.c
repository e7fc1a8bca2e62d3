// Code that writes code, on four harts at once: the rules of fence.i (unprivileged specification,
// Zifencei) and of code that another hart runs after an interrupt made it execute fence.i.
#include "bare.h"

#ifndef ROUNDS
#define ROUNDS 20000
#endif
#define SHARED_ROUNDS (ROUNDS / 100)  // slow where harts outnumber host cores
#define HARTS 4
#define FUNCTIONS 6

typedef u64 Function(u64);
// Code and data in one page: stores beside the code must not disturb it, nor it them.
struct Page {
  u32 code[FUNCTIONS][8];
  u64 written, called;
} __attribute__((aligned(4096)));
static struct Page own[HARTS], shared;
// An instruction across two pages.
static u16 across[HARTS][4096] __attribute__((aligned(4096)));
static volatile u64 failures;

static void fail(const char* what, u64 hart, u64 expected, u64 actual) {
  if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) != 0) return;
  put_string(what);
  put_string(": hart ");
  put_decimal(hart);
  put_named(": expected", ~0ul, expected);
  put_named("got", ~0ul, actual);
}

// f(a) = a + value, in one of three forms; returns the number of words.
static u64 write_function(u32* code, u64 value, u64 form) {
  const u32 low = (u32)(value & 0x7ff);
  if (form == 0) {  // addi a0, a0, low; ret
    code[0] = low << 20 | 10u << 15 | 10u << 7 | 0x13;
    code[1] = 0x00008067;
    return 2;
  }
  if (form == 1) {  // li t0, low; add a0, a0, t0; ret, with a compressed pair
    code[0] = low << 20 | 5u << 7 | 0x13;
    code[1] = 0x80829516;  // c.add a0, t0; c.jr ra
    return 2;
  }
  // A loop that adds 1, low times: its blocks are chained before they are replaced.
  code[0] = (low & 15) << 20 | 5u << 7 | 0x13;       // li t0, low & 15
  code[1] = 0x00028863;                              // beqz t0, +16
  code[2] = 1u << 20 | 10u << 15 | 10u << 7 | 0x13;  // addi a0, a0, 1
  code[3] = 0xfff00000 | 5u << 15 | 5u << 7 | 0x13;  // addi t0, t0, -1
  code[4] = 0xfe029ce3;                              // bnez t0, -8
  code[5] = 0x00008067;                              // ret
  return 6;
}
static u64 result_of(u64 argument, u64 value, u64 form) {
  return argument + (form == 2 ? value & 15 : value & 0x7ff);
}

static u64 random_of(u64* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

// addi a0, a0, n; ret, of which only the half in the second page changes.
static void run_across(u64 hart, u64 value, u64 round) {
  u16* code = &across[hart][4096 / 2 - 1];
  const u32 word = (u32)(value & 0x7ff) << 20 | 10u << 15 | 10u << 7 | 0x13;
  code[0] = (u16)word;
  code[1] = (u16)(word >> 16);
  code[2] = 0x8082;
  asm volatile("fence.i" ::: "memory");
  const u64 got = ((Function*)code)(round);
  if (got != round + (value & 0x7ff)) fail("code across pages", hart, round + (value & 0x7ff), got);
}

static void alone(u64 hart) {
  struct Page* page = &own[hart];
  u64 state = 0x9e3779b97f4a7c15ul * (hart + 1) ^ SEED;
  u64 value[FUNCTIONS], form[FUNCTIONS];
  for (u64 i = 0; i < FUNCTIONS; ++i) {
    value[i] = random_of(&state);
    form[i] = i % 3;
    write_function(page->code[i], value[i], form[i]);
  }
  asm volatile("fence.i" ::: "memory");
  for (u64 round = 0; round < ROUNDS; ++round) {
    const u64 which = random_of(&state) % FUNCTIONS;
    value[which] = random_of(&state);
    form[which] = random_of(&state) % 3;
    write_function(page->code[which], value[which], form[which]);
    ++page->written;
    asm volatile("fence.i" ::: "memory");
    for (u64 i = 0; i < FUNCTIONS; ++i) {
      const u64 got = ((Function*)page->code[i])(round);
      ++page->called;
      if (got != result_of(round, value[i], form[i]))
        fail("own code", hart, result_of(round, value[i], form[i]), got);
    }
    run_across(hart, random_of(&state), round);
  }
  if (page->written != ROUNDS || page->called != ROUNDS * FUNCTIONS)
    fail("data beside code", hart, ROUNDS, page->written);
}

static u64 arrived, generation;
static void barrier(void) {
  const u64 before = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == HARTS) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&generation, before + 1, __ATOMIC_RELEASE);
    return;
  }
  while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == before) {
  }
}

// A remote fence as firmware does it: the interrupt's handler executes fence.i and says so.
static u64 fenced;
void __attribute__((interrupt("machine"), aligned(4))) bare_trap(void) {
  if (csr_read(mcause) != (1ul << 63 | 3)) {
    bare_unexpected(csr_read(mcause), csr_read(mepc), csr_read(mtval));
  }
  *MSIP(csr_read(mhartid)) = 0;
  asm volatile("fence.i" ::: "memory");
  __atomic_add_fetch(&fenced, 1, __ATOMIC_RELEASE);
}

static volatile u64 published;
static u64 shared_form, shared_value;

static void write_shared(u64 hart, u64 round, u64* state) {
  shared_value = random_of(state);
  shared_form = random_of(state) % 3;
  write_function(shared.code[0], shared_value, shared_form);
  __atomic_store_n(&fenced, 0, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (u64 other = 0; other < HARTS; ++other)
    if (other != hart) *MSIP(other) = 1;
  asm volatile("fence.i" ::: "memory");
  while (__atomic_load_n(&fenced, __ATOMIC_ACQUIRE) != HARTS - 1) {
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  published = round;
}

static void together(u64 hart) {
  u64 state = 0xd1342543de82ef95ul * (hart + 1) ^ SEED;
  for (u64 round = 1; round <= SHARED_ROUNDS; ++round) {
    if (round % HARTS == hart) {
      write_shared(hart, round, &state);
    } else {
      // Busy in code of its own when the interrupt comes.
      u64 count = 0;
      while (published != round) count = ((Function*)own[hart].code[0])(count);
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
    }
    const u64 got = ((Function*)shared.code[0])(round);
    const u64 expected = result_of(round, shared_value, shared_form);
    if (got != expected) fail("another hart's code", hart, expected, got);
    barrier();
  }
}

void bare_main(u64 hart) {
  if (hart >= HARTS) return;
  csr_set(mie, 8);
  barrier();
  alone(hart);
  barrier();
  csr_set(mstatus, 8);
  together(hart);
  csr_clear(mstatus, 8);
  if (hart != 0) return;
  put_decimal(HARTS * ROUNDS * 2);
  put_string(" functions of a hart's own, ");
  put_decimal(SHARED_ROUNDS);
  put_string(" shared ones, ");
  put_decimal(failures);
  put_string(failures ? " wrong results\nFAIL\n" : " wrong results\nPASS\n");
}
