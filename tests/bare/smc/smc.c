// The rounds: by turns, each hart changes its own code, or one that of all.
#include "smc.h"

static void report(void) {
  struct Counts sum = {0};
  for (u64 hart = 0; hart < HARTS; ++hart)
    for (u64 i = 0; i < sizeof sum / 8; ++i) ((u64*)&sum)[i] += ((u64*)&harts[hart].counts)[i];
  const struct {
    const char* name;
    u64 count;
  } lines[] = {
      {" rounds on ", ROUNDS},
      {" harts: ", HARTS},
      {" calls, ", sum.calls},
      {" changes, ", sum.changes},
      {" of them by disk, ", sum.dma},
      {" remote fences, ", sum.remote_fences},
      {" changes by a timer, ", sum.ticks},
      {" fetches that fault, ", sum.faults},
      {" stores beside code; every result right\n", sum.hammered},
  };
  for (u64 i = 0; i < sizeof lines / sizeof *lines; ++i) {
    put_decimal(lines[i].count);
    put_string(lines[i].name);
  }
  put_string("PASS\n");
}

static void make_first_code(u64 hart) {
  generate_chains(hart);
  if (hart == 0) {
    generate_chains(SHARED);
    fence_others(FENCE_CODE);
  }
  fence_self(FENCE_CODE);
}

void bare_main(u64 hart) {
  if (hart >= HARTS) return;
  start_hart(hart);
  harts[hart].random = mix(SEED, hart);
  make_first_code(hart);
  barrier();
  for (u64 round = FIRST; ROUNDS == 0 || round < FIRST + ROUNDS; ++round) {
    if (hart == 0) current_round = round;
    barrier();
    harts[hart].random = mix(mix(SEED, round), 1000 + hart);
    if (round % 2)
      run_alone(hart);
    else
      run_together(hart);
    barrier();
  }
  if (hart == 0) {
    report();
    power_off(0);
  }
  for (;;) asm volatile("wfi");
}
