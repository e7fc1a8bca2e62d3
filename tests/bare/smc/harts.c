// Harts: random numbers, traps, fences of other harts, the end.
#include "smc.h"

struct Hart harts[HARTS];
volatile u64 current_round;
const char* volatile current_case[HARTS];

u64 hart_id(void) {
  u64 id;
  asm volatile("mv %0, tp" : "=r"(id));
  return id;
}

u64 mix(u64 a, u64 b) {
  u64 hash = (a ^ (b + 0x9e3779b97f4a7c15ul)) * 0xbf58476d1ce4e5b9ul;
  hash = (hash ^ hash >> 31) * 0x94d049bb133111ebul;
  return hash ^ hash >> 29;
}
u64 random_bits(void) {
  u64* state = &harts[hart_id()].random;
  *state += 0x9e3779b97f4a7c15ul;
  return mix(*state, 1);
}
u64 random_below(u64 limit) {
  return random_bits() % limit;
}

static u64 failed;
void fail(const char* what, u64 expected, u64 actual) {
  // The first one reports; the others wait for the machine's end.
  while (__atomic_exchange_n(&failed, 1, __ATOMIC_SEQ_CST)) {
  }
  put_string("wrong: ");
  put_string(what);
  put_string(" in case ");
  put_string(current_case[hart_id()]);
  put_string(", hart ");
  put_decimal(hart_id());
  put_string(", round ");
  put_decimal(current_round);
  put_string(", seed ");
  put_decimal(SEED);
  put_named("\nexpected", ~0ul, expected);
  put_named("got", ~0ul, actual);
  put_string("FAIL\n");
  power_off(1);
}
void expect(const char* what, u64 expected, u64 actual) {
  if (expected != actual) fail(what, expected, actual);
}

#ifdef SUPERVISOR
#define STATUS sstatus
#define ENABLE sie
#define SOFTWARE_INTERRUPT 1
#define TIMER_INTERRUPT 5
#define CAUSE scause
#define PC sepc
#define VALUE stval
#define GLOBAL_ENABLE 2
enum { TIME = 0x54494d45, IPI = 0x735049, RFENCE = 0x52464e43, HSM = 0x48534d };
static void sbi(u64 extension, u64 function, u64 first, u64 second, u64 third, u64 fourth) {
  register u64 a0 asm("a0") = first;
  register u64 a1 asm("a1") = second;
  register u64 a2 asm("a2") = third;
  register u64 a3 asm("a3") = fourth;
  register u64 a6 asm("a6") = function;
  register u64 a7 asm("a7") = extension;
  asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a6), "r"(a7) : "memory");
  if (a0) fail("SBI call", 0, a0);
}
static void interrupt(u64 hart) {
  sbi(IPI, 0, 1ul << hart, 0, 0, 0);
}
static void acknowledge(void) {
  csr_clear(sip, 1 << SOFTWARE_INTERRUPT);
}
void set_tick(u64 ticks) {
  u64 now;
  asm volatile("rdtime %0" : "=r"(now));
  sbi(TIME, 0, ticks == ~0ul ? ~0ul : now + ticks, 0, 0, 0);
}
#else
#define STATUS mstatus
#define ENABLE mie
#define SOFTWARE_INTERRUPT 3
#define TIMER_INTERRUPT 7
#define CAUSE mcause
#define PC mepc
#define VALUE mtval
#define GLOBAL_ENABLE 8
static void interrupt(u64 hart) {
  *MSIP(hart) = 1;
}
static void acknowledge(void) {
  *MSIP(hart_id()) = 0;
}
void set_tick(u64 ticks) {
  *MTIMECMP(hart_id()) = ticks == ~0ul ? ~0ul : *MTIME + ticks;
}
#endif

// The names above are macros, which only a macro's argument expands.
#define read_csr(csr) csr_read(csr)
#define write_csr(csr, value) csr_write(csr, value)
#define set_csr(csr, value) csr_set(csr, value)
#define clear_csr(csr, value) csr_clear(csr, value)

static void fence(u64 what) {
#ifdef SUPERVISOR
  if (what & FENCE_MAP) asm volatile("sfence.vma" ::: "memory");
#endif
  if (what & FENCE_CODE) asm volatile("fence.i" ::: "memory");
}

// What was asked for before the interrupt is taken is done here; what comes later sets it again.
static void on_interrupt(struct Hart* hart) {
  acknowledge();
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const u64 requested = hart->requested;
  fence(__atomic_exchange_n(&hart->wanted, 0, __ATOMIC_SEQ_CST));
  __atomic_store_n(&hart->served, requested, __ATOMIC_RELEASE);
}

extern const char landing[];
asm(".balign 4\nlanding:\n  li a0, 0xfa017ed\n  ret\n");

#ifdef SUPERVISOR
#define KIND "supervisor"
#else
#define KIND "machine"
#endif
void __attribute__((interrupt(KIND), aligned(4))) bare_trap(void) {
  struct Hart* hart = &harts[hart_id()];
  const u64 cause = read_csr(CAUSE);
  if (cause == (1ul << 63 | SOFTWARE_INTERRUPT)) {
    on_interrupt(hart);
  } else if (cause == (1ul << 63 | TIMER_INTERRUPT)) {
    set_tick(~0ul);
    if (hart->on_tick) hart->on_tick(hart_id());
  } else if ((cause == 12 && hart->may_fault) || (cause == 13 && hart->may_fault == 2)) {
    // Functions that may fault call nothing, so ra still holds the way back.
    ++hart->counts.faults;
    write_csr(PC, landing);
  } else if (cause == 2 && hart->probing) {
    hart->probing = 0;
    write_csr(PC, read_csr(PC) + 4);
  } else {
    put_string(current_case[hart_id()]);
    put_string(": ");
    put_named("round", ~0ul, current_round);
    bare_unexpected(cause, read_csr(PC), read_csr(VALUE));
  }
}

void start_hart(u64 hart) {
  asm volatile("mv tp, %0" ::"r"(hart));
  current_case[hart] = "start";
  set_csr(STATUS, 0x6000);  // FS
#ifdef SUPERVISOR
  static u64 started;
  if (!__atomic_exchange_n(&started, 1, __ATOMIC_SEQ_CST)) {
    extern void _start(void);
    make_maps();
    find_disk();
    for (u64 other = 0; other < HARTS; ++other)
      if (other != hart) sbi(HSM, 0, other, (u64)_start, 0, 0);
  }
  use_space(1);
#else
  if (hart == 0) find_disk();
#endif
  set_tick(~0ul);
  set_csr(ENABLE, 1 << SOFTWARE_INTERRUPT | 1 << TIMER_INTERRUPT);
  set_csr(STATUS, GLOBAL_ENABLE);
  barrier();
}

static u64 arrived, generation;
void barrier(void) {
  const u64 before = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == HARTS) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&generation, before + 1, __ATOMIC_SEQ_CST);
    for (u64 other = 0; other < HARTS; ++other)
      if (other != hart_id()) interrupt(other);
    return;
  }
  for (u64 spins = 0; spins < 50; ++spins)
    if (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) != before) return;
  for (;;) {
    // The interrupt must not be taken between the look and wfi.
    clear_csr(STATUS, GLOBAL_ENABLE);
    const int over = __atomic_load_n(&generation, __ATOMIC_ACQUIRE) != before;
    if (!over) asm volatile("wfi" ::: "memory");
    set_csr(STATUS, GLOBAL_ENABLE);
    if (over) return;
  }
}

static u64 ask(u64 hart, u64 what) {
  __atomic_or_fetch(&harts[hart].wanted, what, __ATOMIC_SEQ_CST);
  const u64 ticket = __atomic_add_fetch(&harts[hart].requested, 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  interrupt(hart);
  return ticket;
}
static void wait_for(u64 hart, u64 ticket) {
  while (__atomic_load_n(&harts[hart].served, __ATOMIC_ACQUIRE) < ticket) {
  }
}

#ifdef SUPERVISOR
static void fence_by_firmware(u64 mask, u64 what) {
  if (what & FENCE_MAP) {
    if (random_below(2))
      sbi(RFENCE, 1, mask, 0, 0, ~0ul);
    else
      sbi(RFENCE, 1, mask, 0, address_of(WINDOW_A, 0), ARENA_BYTES);
  }
  if (what & FENCE_CODE) sbi(RFENCE, 0, mask, 0, 0, 0);
}
#endif

void fence_others(u64 what) {
  const u64 self = hart_id();
  ++harts[self].counts.remote_fences;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#ifdef SUPERVISOR
  const u64 mask = ((1ul << HARTS) - 1) & ~(1ul << self);
  if (mask && random_below(2)) {
    fence_by_firmware(mask, what);
    return;
  }
#endif
  u64 tickets[HARTS];
  for (u64 other = 0; other < HARTS; ++other)
    if (other != self) tickets[other] = ask(other, what);
  for (u64 other = 0; other < HARTS; ++other)
    if (other != self) wait_for(other, tickets[other]);
}

void fence_self(u64 what) {
  const u64 way = random_below(16);
  if (way == 0) {
    wait_for(hart_id(), ask(hart_id(), what));
#ifdef SUPERVISOR
  } else if (way == 1) {
    fence_by_firmware(1ul << hart_id(), what);
#endif
  } else {
    fence(what);
  }
}

void disturb(u64 hart) {
  ask(hart, FENCE_CODE | (random_below(4) ? 0 : FENCE_MAP));
}
