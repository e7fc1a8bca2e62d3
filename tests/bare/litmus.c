// Litmus tests of the memory model (unprivileged specification, RVWMO) on up to four harts: each
// test runs many times on fresh variables, and an outcome that the model forbids fails.
//
// A thread goes through a batch of instances; before each it waits a little for the others, so that
// they meet where the host runs them at once. A random delay moves them against each other.
#include "bare.h"

#ifndef BATCHES
#define BATCHES 48
#endif
#ifndef SEED
#define SEED 1
#endif
#define INSTANCES 1024
#define MAX_HARTS 4

struct Instance {
  u64 x __attribute__((aligned(64)));
  u64 y __attribute__((aligned(64)));
  u64 z __attribute__((aligned(64)));
};
static struct Instance instances[INSTANCES] __attribute__((aligned(4096)));
static u64 results[MAX_HARTS][INSTANCES][2];  // what the threads read

typedef void Thread(struct Instance* at, u64* out);
typedef int Verdict(const struct Instance* at, u64 r[MAX_HARTS][2]);
struct Test {
  const char* name;
  Thread* threads[MAX_HARTS];
  Verdict* forbidden;
};

// One thread's instructions on x, y and z; o and p are what it reads, t is free, t1 = 1, t2 = 2.
#define THREAD(name, code)                                           \
  static void name(struct Instance* at, u64* out) {                  \
    u64 o = 0, p = 0, t;                                             \
    asm volatile("li t1, 1\nli t2, 2\n" code                         \
                 : [o] "+&r"(o), [p] "+&r"(p), [t] "=&r"(t)          \
                 : [x] "r"(&at->x), [y] "r"(&at->y), [z] "r"(&at->z) \
                 : "t1", "t2", "t3", "memory");                      \
    out[0] = o;                                                      \
    out[1] = p;                                                      \
  }
#define FORBIDDEN(name, condition)                                  \
  static int name(const struct Instance* at, u64 r[MAX_HARTS][2]) { \
    (void)at;                                                       \
    (void)r;                                                        \
    return condition;                                               \
  }

// Named by what they do in order: w and r a variable, 2 = the value 2, else 1.
THREAD(w_x, "sd t1, (%[x])\n")
THREAD(w_y, "sd t1, (%[y])\n")
THREAD(wx_ww_wy, "sd t1, (%[x])\nfence w, w\nsd t1, (%[y])\n")
THREAD(wx_tso_wy, "sd t1, (%[x])\nfence.tso\nsd t1, (%[y])\n")
THREAD(wx_rl_wy, "sd t1, (%[x])\namoswap.d.rl %[t], t1, (%[y])\n")
THREAD(wx_sc_rl_wy,
       "sd t1, (%[x])\n1: lr.d %[t], (%[y])\nsc.d.rl %[t], t1, (%[y])\nbnez %[t], 1b\n")
THREAD(wx2_ww_wy, "sd t2, (%[x])\nfence w, w\nsd t1, (%[y])\n")
THREAD(wx_ww_wy2, "sd t1, (%[x])\nfence w, w\nsd t2, (%[y])\n")
THREAD(wy_ww_wx2, "sd t1, (%[y])\nfence w, w\nsd t2, (%[x])\n")
THREAD(wx_rwrw_wy, "sd t1, (%[x])\nfence rw, rw\nsd t1, (%[y])\n")
THREAD(w_x_ones, "li t3, -1\nsd t3, (%[x])\n")
THREAD(w_x_twice, "sd t1, (%[x])\nsd t2, (%[x])\n")

THREAD(ry_rr_rx, "ld %[o], (%[y])\nfence r, r\nld %[p], (%[x])\n")
THREAD(rx_rr_ry, "ld %[o], (%[x])\nfence r, r\nld %[p], (%[y])\n")
THREAD(ry_tso_rx, "ld %[o], (%[y])\nfence.tso\nld %[p], (%[x])\n")
THREAD(ry_addr_rx, "ld %[o], (%[y])\nxor %[t], %[o], %[o]\nadd %[t], %[t], %[x]\nld %[p], (%[t])\n")
THREAD(ry_aq_rx, "lr.d.aq %[o], (%[y])\nld %[p], (%[x])\n")
THREAD(ry_amo_aq_rx, "amoor.d.aq %[o], zero, (%[y])\nld %[p], (%[x])\n")
THREAD(rz_rr_rx, "ld %[o], (%[z])\nfence r, r\nld %[p], (%[x])\n")
THREAD(rx_rx, "ld %[o], (%[x])\nld %[p], (%[x])\n")
THREAD(rx_rx_narrow, "lw %[o], (%[x])\nlbu %[p], (%[x])\n")

THREAD(wx_ry, "sd t1, (%[x])\nld %[o], (%[y])\n")
THREAD(wy_rx, "sd t1, (%[y])\nld %[o], (%[x])\n")
THREAD(wx_rwrw_ry, "sd t1, (%[x])\nfence rw, rw\nld %[o], (%[y])\n")
THREAD(wy_rwrw_rx, "sd t1, (%[y])\nfence rw, rw\nld %[o], (%[x])\n")
THREAD(wx_wr_ry, "sd t1, (%[x])\nfence w, r\nld %[o], (%[y])\n")
THREAD(wy_wr_rx, "sd t1, (%[y])\nfence w, r\nld %[o], (%[x])\n")
THREAD(wy2_rwrw_rx, "sd t2, (%[y])\nfence rw, rw\nld %[o], (%[x])\n")
THREAD(swap_x_ry, "amoswap.d.aqrl %[t], t1, (%[x])\nld %[o], (%[y])\n")
THREAD(swap_y_rx, "amoswap.d.aqrl %[t], t1, (%[y])\nld %[o], (%[x])\n")
THREAD(sc_x_ry,
       "1: lr.d.aq %[t], (%[x])\nsc.d.aqrl %[t], t1, (%[x])\nbnez %[t], 1b\nld %[o], (%[y])\n")
THREAD(sc_y_rx,
       "1: lr.d.aq %[t], (%[y])\nsc.d.aqrl %[t], t1, (%[y])\nbnez %[t], 1b\nld %[o], (%[x])\n")
THREAD(rx_rw_wy, "ld %[o], (%[x])\nfence r, w\nsd t1, (%[y])\n")
THREAD(ry_rw_wx, "ld %[o], (%[y])\nfence r, w\nsd t1, (%[x])\n")
THREAD(rx_data_wy, "ld %[o], (%[x])\nxor %[t], %[o], %[o]\naddi %[t], %[t], 1\nsd %[t], (%[y])\n")
THREAD(ry_ctrl_wx, "ld %[o], (%[y])\nbnez %[o], 1f\n1: sd t1, (%[x])\n")
THREAD(rx_rww_wy, "ld %[o], (%[x])\nfence rw, w\nsd %[o], (%[y])\n")
THREAD(ry_rww_wz, "ld %[o], (%[y])\nfence rw, w\nsd %[o], (%[z])\n")
THREAD(wx2_rx, "sd t2, (%[x])\nld %[o], (%[x])\n")

// Four additions each.
THREAD(amo_add,
       "amoadd.d %[o], t1, (%[x])\namoadd.d %[o], t1, (%[x])\n"
       "amoadd.w %[o], t1, (%[x])\namoadd.d.aqrl %[o], t1, (%[x])\n")
THREAD(lr_sc_add,
       "li %[p], 4\n1: lr.d %[t], (%[x])\nadd %[t], %[t], t1\nsc.d %[o], %[t], (%[x])\n"
       "bnez %[o], 1b\naddi %[p], %[p], -1\nbnez %[p], 1b\n")
THREAD(lr_sc_add_w,
       "li %[p], 4\n1: lr.w %[t], (%[x])\naddw %[t], %[t], t1\nsc.w %[o], %[t], (%[x])\n"
       "bnez %[o], 1b\naddi %[p], %[p], -1\nbnez %[p], 1b\n")
// Who finds 0 has won.
THREAD(swap_once, "amoswap.d %[o], t1, (%[x])\nseqz %[o], %[o]\n")
THREAD(max_once, "amomaxu.d %[o], t1, (%[x])\nseqz %[o], %[o]\n")
THREAD(or_once, "amoor.w %[o], t1, (%[x])\nseqz %[o], %[o]\n")

FORBIDDEN(seen_1_0, r[1][0] == 1 && r[1][1] == 0)
FORBIDDEN(both_0, r[0][0] == 0 && r[1][0] == 0)
FORBIDDEN(both_1, r[0][0] == 1 && r[1][0] == 1)
FORBIDDEN(s_forbidden, r[1][0] == 1 && at->x == 2)
FORBIDDEN(r_forbidden, at->y == 2 && r[1][0] == 0)
FORBIDDEN(w22_forbidden, at->x == 1 && at->y == 1)
FORBIDDEN(iriw_forbidden, r[2][0] == 1 && r[2][1] == 0 && r[3][0] == 1 && r[3][1] == 0)
FORBIDDEN(third_misses, r[1][0] == 1 && r[2][0] == 1 && r[2][1] == 0)
FORBIDDEN(backwards, r[1][0] > r[1][1])
FORBIDDEN(cowr_forbidden, r[0][0] == 0 || (r[0][0] == 1 && at->x == 2))
FORBIDDEN(torn, (r[1][0] != 0 && r[1][0] != ~0ul) || (r[1][1] != 0 && r[1][1] != ~0ul))
FORBIDDEN(sum_wrong, at->x != 16)
FORBIDDEN(not_one, r[0][0] + r[1][0] + r[2][0] + r[3][0] != 1)
FORBIDDEN(nothing, 0)

// The names of the literature, and what orders each thread.
static const struct Test tests[] = {
    {"MP+fence.w.w+fence.r.r", {wx_ww_wy, ry_rr_rx}, seen_1_0},
    {"MP+fence.w.w+addr", {wx_ww_wy, ry_addr_rx}, seen_1_0},
    {"MP+fence.tso+fence.tso", {wx_tso_wy, ry_tso_rx}, seen_1_0},
    {"MP+amoswap.rl+lr.aq", {wx_rl_wy, ry_aq_rx}, seen_1_0},
    {"MP+sc.rl+amoor.aq", {wx_sc_rl_wy, ry_amo_aq_rx}, seen_1_0},
    {"SB+fence.rw.rw+fence.rw.rw", {wx_rwrw_ry, wy_rwrw_rx}, both_0},
    {"SB+fence.w.r+fence.w.r", {wx_wr_ry, wy_wr_rx}, both_0},
    {"SB+amoswap.aqrl+amoswap.aqrl", {swap_x_ry, swap_y_rx}, both_0},
    {"SB+sc.aqrl+sc.aqrl", {sc_x_ry, sc_y_rx}, both_0},
    {"SB+fence.rw.rw+amoswap.aqrl", {wx_rwrw_ry, swap_y_rx}, both_0},
    {"LB+fence.r.w+fence.r.w", {rx_rw_wy, ry_rw_wx}, both_1},
    {"LB+data+ctrl", {rx_data_wy, ry_ctrl_wx}, both_1},
    {"S+fence.w.w+fence.r.w", {wx2_ww_wy, ry_rw_wx}, s_forbidden},
    {"R+fence.rw.rw+fence.rw.rw", {wx_rwrw_wy, wy2_rwrw_rx}, r_forbidden},
    {"2+2W+fence.w.w+fence.w.w", {wx_ww_wy2, wy_ww_wx2}, w22_forbidden},
    {"IRIW+fence.r.r+fence.r.r", {w_x, w_y, rx_rr_ry, ry_rr_rx}, iriw_forbidden},
    {"WRC+fence.rw.w+fence.r.r", {w_x, rx_rww_wy, ry_rr_rx}, third_misses},
    {"ISA2+fence.w.w+fence.rw.w+fence.r.r", {wx_ww_wy, ry_rww_wz, rz_rr_rx}, third_misses},
    {"CoRR", {w_x_twice, rx_rx}, backwards},
    {"CoRR, two sizes", {w_x_twice, rx_rx_narrow}, backwards},
    {"CoWR", {wx2_rx, w_x}, cowr_forbidden},
    {"an aligned doubleword is not torn", {w_x_ones, rx_rx}, torn},
    {"AMO sum", {amo_add, amo_add, amo_add, amo_add}, sum_wrong},
    {"LR/SC sum", {lr_sc_add, lr_sc_add, lr_sc_add_w, lr_sc_add}, sum_wrong},
    {"AMO and LR/SC sum", {amo_add, lr_sc_add, amo_add, lr_sc_add_w}, sum_wrong},
    {"one winner of amoswap", {swap_once, swap_once, swap_once, swap_once}, not_one},
    {"one winner of amomaxu and amoor", {max_once, or_once, max_once, or_once}, not_one},
    // Allowed; how often it is seen tells whether threads meet at all.
    {"SB, no fences", {wx_ry, wy_rx}, nothing},
};
#define TESTS (sizeof(tests) / sizeof(tests[0]))

static u64 arrived, generation;
static void barrier(u64 count) {
  const u64 before = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == count) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&generation, before + 1, __ATOMIC_RELEASE);
    return;
  }
  while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == before) {
  }
}

static u64 random_state[MAX_HARTS];
static u64 next_random(u64 hart) {
  u64 s = random_state[hart];
  s ^= s << 13;
  s ^= s >> 7;
  s ^= s << 17;
  return random_state[hart] = s;
}

static u64 threads_of(const struct Test* test) {
  u64 count = 0;
  while (count < MAX_HARTS && test->threads[count]) ++count;
  return count;
}

// The current test, and which hart is its thread 0.
static volatile u64 current, first_hart;

// Brings the threads together before an instance, but for a while only: the host may not be running
// one of them.
static struct {
  volatile u64 at __attribute__((aligned(64)));
} progress[MAX_HARTS];
static void meet(u64 thread, u64 count, u64 instance) {
  progress[thread].at = instance;
  for (u64 other = 0; other < count; ++other)
    for (u64 tries = 60; tries > 0 && progress[other].at < instance; --tries) {
    }
}

static void run_thread(u64 hart) {
  const struct Test* test = &tests[current];
  const u64 thread = (hart + MAX_HARTS - first_hart) % MAX_HARTS;
  const u64 count = threads_of(test);
  barrier(count);
  for (u64 i = 0; i < INSTANCES; ++i) {
    meet(thread, count, i);
    for (u64 delay = next_random(hart) % 4; delay > 0; --delay) asm volatile("nop");
    test->threads[thread](&instances[i], results[thread][i]);
  }
  barrier(count);
  progress[thread].at = 0;
}

// Harts that a test does not need sleep: they would take host time from those it does.
static void follow(u64 hart) {
  for (;;) {
    while (!*MSIP(hart)) asm volatile("wfi");
    *MSIP(hart) = 0;
    if (current == TESTS) return;
    run_thread(hart);
  }
}

static void lead(u64 number, u64 batch) {
  const u64 count = threads_of(&tests[number]);
  for (u64 i = 0; i < INSTANCES; ++i) {
    instances[i].x = instances[i].y = instances[i].z = 0;
    for (u64 t = 0; t < MAX_HARTS; ++t) results[t][i][0] = results[t][i][1] = 0;
  }
  current = number;
  // Hart 0 is each thread in turn, so that every pair of neighbours meets.
  first_hart = (MAX_HARTS - batch % count) % MAX_HARTS;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (u64 thread = 0; thread < count; ++thread) {
    const u64 other = (first_hart + thread) % MAX_HARTS;
    if (other != 0) *MSIP(other) = 1;
  }
  run_thread(0);
}

static u64 count_outcomes(Verdict* verdict) {
  u64 found = 0;
  for (u64 i = 0; i < INSTANCES; ++i) {
    u64 r[MAX_HARTS][2];
    for (u64 t = 0; t < MAX_HARTS; ++t)
      for (u64 k = 0; k < 2; ++k) r[t][k] = results[t][i][k];
    found += verdict(&instances[i], r) != 0;
  }
  return found;
}

void bare_main(u64 hart) {
  if (hart >= MAX_HARTS) return;
  csr_set(mie, 8);  // a software interrupt ends a wfi; mstatus.MIE stays off
  random_state[hart] = (0x9e3779b97f4a7c15ul * (hart + 1)) ^ SEED;
  if (hart != 0) return follow(hart);
  u64 runs = 0, failed = 0;
  for (u64 number = 0; number < TESTS; ++number) {
    Verdict* verdict = tests[number].forbidden;
    u64 forbidden = 0, weak = 0;
    for (u64 batch = 0; batch < BATCHES; ++batch) {
      lead(number, batch);
      forbidden += count_outcomes(verdict);
      if (verdict == nothing) weak += count_outcomes(both_0);
    }
    runs += BATCHES * INSTANCES;
    failed += forbidden;
    put_string(tests[number].name);
    put_string(": ");
    put_decimal(forbidden);
    put_string(" forbidden");
    if (verdict == nothing) {
      put_string("; both read 0, which is allowed: ");
      put_decimal(weak);
    }
    put_char('\n');
  }
  put_decimal(runs);
  put_string(" runs, ");
  put_decimal(failed);
  put_string(" forbidden outcomes\n");
  put_string(failed ? "FAIL\n" : "PASS\n");
  current = TESTS;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (u64 other = 1; other < MAX_HARTS; ++other) *MSIP(other) = 1;
}
