// Interrupts on four busy harts: two 1000 Hz timers on each (the CLINT's and stimecmp) and
// inter-processor interrupts among all of them. Every tick and every message must arrive, once.
#include "bare.h"

#ifndef TICKS
#define TICKS 1000
#endif
#define HARTS 4
#define PERIOD 10000ul  // of mtime: 1 ms
#define INTERRUPT (1ul << 63)
#define MACHINE_SOFTWARE 3
#define SUPERVISOR_TIMER 5
#define MACHINE_TIMER 7
#define TOKENS 3

static struct Hart {
  struct Timer {
    volatile u64 ticks, late, early;
    volatile u64 next;  // mtime of the next tick
  } machine, supervisor;
  volatile u64 taken;
  u64 sent;
  u64 posted;  // messages whose interrupt has not been taken
  volatile u64 worked;
} __attribute__((aligned(64))) harts[HARTS];
static u64 ready, finished;
static volatile u64 begin;

// Each deadline follows from the one before, so a late tick is still a tick. Returns the next.
static u64 on_tick(struct Timer* timer) {
  const u64 now = *MTIME;
  if (now < timer->next) ++timer->early;
  if (now - timer->next >= PERIOD) ++timer->late;
  ++timer->ticks;
  timer->next += PERIOD;
  return timer->ticks < TICKS ? timer->next : ~0ul;
}

static void send(struct Hart* from, u64 to) {
  ++from->sent;
  __atomic_add_fetch(&harts[to].posted, 1, __ATOMIC_SEQ_CST);
  *MSIP(to) = 1;
}

// What is posted before the bit is cleared is taken here; what comes later sets it again.
static void on_message(struct Hart* hart, u64 number) {
  *MSIP(number) = 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  hart->taken += __atomic_exchange_n(&hart->posted, 0, __ATOMIC_SEQ_CST);
}

void __attribute__((interrupt("machine"), aligned(4))) bare_trap(void) {
  const u64 cause = csr_read(mcause), number = csr_read(mhartid);
  if (cause == (INTERRUPT | MACHINE_TIMER)) {
    *MTIMECMP(number) = on_tick(&harts[number].machine);
  } else if (cause == (INTERRUPT | SUPERVISOR_TIMER)) {
    csr_write(stimecmp, on_tick(&harts[number].supervisor));
  } else if (cause == (INTERRUPT | MACHINE_SOFTWARE)) {
    on_message(&harts[number], number);
  } else {
    bare_unexpected(cause, csr_read(mepc), csr_read(mtval));
  }
}

static void meet(u64* counter, u64 count) {
  __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < count) {
  }
}

static void report(void) {
  u64 sent = 0, taken = 0, ticks = 0, late = 0, early = 0;
  for (u64 i = 0; i < HARTS; ++i) {
    sent += harts[i].sent;
    taken += harts[i].taken;
    ticks += harts[i].machine.ticks + harts[i].supervisor.ticks;
    late += harts[i].machine.late + harts[i].supervisor.late;
    early += harts[i].machine.early + harts[i].supervisor.early;
  }
  put_decimal(ticks);
  put_string(" of ");
  put_decimal(2 * HARTS * TICKS);
  put_string(" ticks, ");
  put_decimal(early);
  put_string(" of them early, ");
  put_decimal(late);
  put_string(" a period late or more; ");
  put_decimal(taken);
  put_string(" of ");
  put_decimal(sent);
  put_string(" messages\n");
  put_string(ticks == 2 * HARTS * TICKS && early == 0 && sent == taken ? "PASS\n" : "FAIL\n");
}

void bare_main(u64 number) {
  if (number >= HARTS) return;
  struct Hart* hart = &harts[number];
  *MTIMECMP(number) = ~0ul;
  csr_write(stimecmp, ~0ul);
  csr_set(menvcfg, 1ul << 63);  // STCE
  meet(&ready, HARTS);
  if (number == 0) begin = *MTIME + PERIOD;
  while (begin == 0) {
  }
  // Half a period apart: each has its own interrupts.
  hart->machine.next = begin;
  hart->supervisor.next = begin + PERIOD / 2;
  *MTIMECMP(number) = hart->machine.next;
  csr_write(stimecmp, hart->supervisor.next);
  csr_set(mie, 1 << MACHINE_TIMER | 1 << SUPERVISOR_TIMER | 1 << MACHINE_SOFTWARE);
  csr_set(mstatus, 8);
  u64 state = 0x9e3779b97f4a7c15ul * (number + 1) ^ SEED, acknowledged = 0;
  // Hearing a few before sending more keeps the messages of a hart apart.
  while (hart->machine.ticks < TICKS || hart->supervisor.ticks < TICKS) {
    for (u64 i = 0; i < 200; ++i) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      ++hart->worked;
    }
    if (hart->sent - acknowledged < TOKENS) {
      send(hart, state % HARTS);
    } else {
      acknowledged = hart->sent;
    }
  }
  // Interrupts stay on until all messages are there; one that is lost makes this hang or fail.
  meet(&finished, HARTS);
  while (__atomic_load_n(&hart->posted, __ATOMIC_SEQ_CST) != 0) {
  }
  meet(&finished, 2 * HARTS);
  csr_clear(mstatus, 8);
  if (number == 0) report();
}
