// One hart changes code that the others run.
#include "smc.h"

static struct {
  // Odd while `state` comes into force in place of `old`; then every runner looks at it again.
  volatile u64 sequence, state, old, stop;
  volatile u64 seen[HARTS];
  volatile u64 published;  // number of a change that all harts have been fenced for
  struct Op* volatile op;
  struct Loop loop;
} plan;
static u64 writer;

// The same on all harts.
static u64 chosen(u64 what, u64 limit) {
  return mix(mix(SEED, current_round), what) % limit;
}
static void begin(const char* name) {
  current_case[hart_id()] = name;
}
static void publish(u64 number) {
  __atomic_store_n(&plan.published, number, __ATOMIC_SEQ_CST);
}
static int is_published(u64 number) {
  return __atomic_load_n(&plan.published, __ATOMIC_ACQUIRE) == number;
}
static void fence_all(u64 what) {
  fence_others(what);
  fence_self(what);
}

// The runners are busy in the same page meanwhile. The writer's fence reaches them, or they execute
// their own when they know.
static void replaced(u64 hart) {
  begin("a function replaced by another hart");
  const u64 page = chosen(1, PLAIN_PAGES), index = chosen(2, SITES), by_writer = chosen(3, 2);
  struct Function* f = site(SHARED, page, index);
  if (hart == writer) {
    for (u64 i = 0; i < SITES; ++i) ensure(site(SHARED, page, i));
    fence_all(FENCE_CODE);
  }
  barrier();
  for (u64 i = 0; i < SITES; ++i) heat(site(SHARED, page, i), 1 + random_below(60));
  barrier();
  if (hart == writer) {
    hammer(f->start, 100);
    generate(f, 0);
    if (by_writer) fence_others(FENCE_CODE);
    publish(current_round);
  } else {
    do {
      check(site(SHARED, page, (index + 1 + random_below(SITES - 1)) % SITES), 1 + random_below(30),
            random_below(MAPPINGS));
      hammer(page_of(SHARED, page), random_below(200));
    } while (!is_published(current_round));
  }
  if (hart == writer || !by_writer) fence_self(FENCE_CODE);
  check(f, 1 + random_below(100), random_below(MAPPINGS));
  check(f, 1 + random_below(5), random_below(MAPPINGS));
}

static volatile u64* loop_data(u64 hart, u64 mapping) {
  return data_word(mapping, plan.loop.start, 16 + 4 * hart);
}
static void turn(u64 way) {
  volatile u64* data[HARTS];
  u64 old[HARTS], now[HARTS];
  store_at(random_below(MAPPINGS), &plan.loop.to[way]);
  fence_others(FENCE_CODE);
  for (u64 i = 0; i < HARTS; ++i) {
    data[i] = loop_data(i, PHYSICAL);
    old[i] = data[i][2 - way];
    now[i] = data[i][1 + way];
  }
  for (u64 i = 0; i < HARTS; ++i) {
    if (i == writer) continue;
    while (data[i][1 + way] - now[i] < 20) {
      if (random_below(8) == 0) hammer(plan.loop.start, 10);
    }
    // One that was past the switch when it was fenced.
    if (data[i][2 - way] - old[i] > 1)
      fail("the old way after the fence", old[i], data[i][2 - way]);
  }
}
static void turned(u64 hart) {
  begin("a loop changed by another hart while it runs");
  struct Function* f = site(SHARED, chosen(1, PLAIN_PAGES), chosen(2, ACROSS));
  if (hart == writer) {
    f->start = 0;
    make_loop(&plan.loop, cell_of(f));
    fence_all(FENCE_CODE);
  }
  barrier();
  volatile u64* data = loop_data(hart, random_below(MAPPINGS));
  data[0] = data[1] = data[2] = 0;
  barrier();
  if (hart != writer) {
    call(address_of(random_below(MAPPINGS), plan.loop.start), 0, (u64*)data);
    return;
  }
  if (HARTS == 1) return;
  for (u64 i = 0, way = 0; i < 1 + chosen(3, 6); ++i, way ^= 1) turn(way);
  for (u64 i = 0; i < HARTS; ++i) loop_data(i, PHYSICAL)[0] = 1;
}

// One instruction of functions that all are running, in a way that needs no halt.
static void chained(u64 hart) {
  begin("a chain of functions changed by another hart while it runs");
  const struct Function* top = site(SHARED, PAGES - 1, chosen(1, SITES));
  check(top, 1 + random_below(80), random_below(MAPPINGS));
  for (u64 i = 0; i < 1 + chosen(2, 3); ++i) {
    const u64 number = current_round * 8 + i,
              address = address_of(random_below(MAPPINGS), top->start);
    const u64 argument = random_bits();
    struct Evaluation before = {0}, after = {0};
    const u64 old = evaluate(top, argument, address, &before);
    struct Store store;
    int changed = 0;
    barrier();
    if (hart == writer) {
      struct Op* op = 0;
      for (u64 tries = 0; !changed && tries < 20; ++tries)
        changed = change_atomically(
            site(SHARED, PLAIN_PAGES + random_below(CHAIN_PAGES), random_below(SITES)), &op,
            &store);
      plan.op = op;
    }
    barrier();
    after.watched = plan.op;
    const u64 now = evaluate(top, argument, address, &after);
    u64 data = 0;
    if (hart == writer) {
      if (changed) store_at(random_below(MAPPINGS), &store);
      fence_others(FENCE_CODE);
      publish(number);
      fence_self(FENCE_CODE);
    }
    for (u64 done = 0; done < 3;) {
      const int known = is_published(number);
      const u64 result = call(address, argument, &data);
      if (known || after.times < 2) {
        if (result != now && (known || result != old)) fail("result", now, result);
      }
      done += known;
      ++harts[hart].counts.calls;
    }
    barrier();
  }
}

static void data_again(u64 hart) {
  begin("a page of code, then data, then code, by another hart");
  const u64 page = chosen(1, PLAIN_PAGES), base = page_of(SHARED, page), by_writer = chosen(2, 2);
  if (hart == writer) {
    for (u64 i = 0; i < SITES; ++i) ensure(site(SHARED, page, i));
    fence_all(FENCE_CODE);
  }
  barrier();
  for (u64 i = 0; i < SITES; ++i) heat(site(SHARED, page, i), 1 + random_below(60));
  barrier();
  if (hart == writer) {
    u64 values[CELL / 8];
    for (u64 cell = 0; cell < 6; ++cell) {
      for (u64 i = 0; i < CELL / 8; ++i) values[i] = mix(current_round, cell * 64 + i);
      put(base + kCells[cell] * CELL, values, CELL);
    }
  }
  barrier();
  for (u64 cell = 0; cell < 6; ++cell) {
    const u64* values = (const u64*)address_of(random_below(MAPPINGS), base + kCells[cell] * CELL);
    for (u64 i = 0; i < CELL / 8; ++i)
      expect("data where code was", mix(current_round, cell * 64 + i), values[i]);
  }
  barrier();
  if (hart == writer) {
    for (u64 i = 0; i < SITES; ++i) generate(site(SHARED, page, i), 0);
    if (by_writer) fence_others(FENCE_CODE);
  }
  barrier();
  if (hart == writer || !by_writer) fence_self(FENCE_CODE);
  for (u64 i = 0; i < SITES; ++i) heat(site(SHARED, page, i), 1 + random_below(20));
}

#ifdef SUPERVISOR
// Runners of a page of which another hart makes another page, or none. The two differ in one
// instruction that is executed once, so each call is one or the other.
enum { FIRST_PAGE, SECOND_PAGE, NO_PAGE, STATES };

static void make_state(u64 state, const struct Function* f, const struct Function* g) {
  const u64 here = f->start / PAGE * PAGE, there = g->start / PAGE * PAGE;
  // A runner that still sees an even number also sees its state.
  __atomic_add_fetch(&plan.sequence, 1, __ATOMIC_SEQ_CST);
  plan.old = plan.state;
  __atomic_store_n(&plan.state, state, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  map_page(WINDOW_A, here, state == SECOND_PAGE ? there : here,
           state != NO_PAGE  ? MAP_NORMAL
           : random_below(2) ? MAP_NOTHING
                             : MAP_NO_EXECUTE);
  fence_all(FENCE_MAP);
  const u64 now = __atomic_add_fetch(&plan.sequence, 1, __ATOMIC_SEQ_CST);
  for (u64 i = 0; i < HARTS; ++i) {
    while (i != writer && plan.seen[i] != now) {
    }
  }
}

static void run_remapped(u64 hart, const struct Function* f, const struct Function* g) {
  const u64 argument = random_bits(), address = address_of(WINDOW_A, f->start);
  struct Evaluation evaluation = {0};
  const u64 values[STATES] = {evaluate(f, argument, address, &evaluation),
                              evaluate(g, argument, address, &evaluation), FAULTED};
  u64 data = 0, exact = 0;
  // Until the fence, code may be fetched by the old translation and its constants no longer.
  harts[hart].may_fault = 2;
  while (!plan.stop) {
    const u64 before = __atomic_load_n(&plan.sequence, __ATOMIC_SEQ_CST), state = plan.state;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const u64 result = call(address, argument, &data);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ++harts[hart].counts.calls;
    if (before % 2 == 0 && before == plan.sequence) {
      expect("result", values[state], result);
      if (++exact >= 10) plan.seen[hart] = before;
    } else {
      exact = 0;
      // In the order that does not take an older `old` for that of a new `state`.
      const u64 now = values[__atomic_load_n(&plan.state, __ATOMIC_ACQUIRE)];
      const u64 old = values[plan.old];
      if (result != old && result != now) fail("result while it changes", now, result);
    }
  }
  harts[hart].may_fault = 0;
}

static void remapped(u64 hart) {
  begin("a page remapped by another hart while it runs");
  const u64 page = chosen(1, PLAIN_PAGES),
            other = (page + 1 + chosen(2, PLAIN_PAGES - 1)) % PLAIN_PAGES;
  const u64 index = chosen(3, ACROSS);
  struct Function *f = site(SHARED, page, index), *g = site(SHARED, other, index);
  if (hart == writer) {
    struct Op* op;
    struct Store store;
    generate(f, STRAIGHT);
    *g = *f;
    g->start = (u32)(g->start + (other - page) * PAGE);
    change_atomically(g, &op, &store);
    write_code(g);
    fence_all(FENCE_CODE);
    plan.state = FIRST_PAGE;
    plan.stop = 0;
  }
  barrier();
  if (hart != writer) {
    run_remapped(hart, f, g);
    return;
  }
  for (u64 i = 0; i < 1 + chosen(4, 6); ++i)
    make_state((plan.state + 1 + random_below(STATES - 1)) % STATES, f, g);
  if (plan.state != FIRST_PAGE) make_state(FIRST_PAGE, f, g);
  plan.stop = 1;
}
#endif

static void (*const kCases[])(u64) = {
    replaced, turned, chained, data_again,
#ifdef SUPERVISOR
    remapped,
#endif
};

void run_together(u64 hart) {
  writer = chosen(10, HARTS);
  kCases[chosen(11, sizeof kCases / sizeof *kCases)](hart);
}
