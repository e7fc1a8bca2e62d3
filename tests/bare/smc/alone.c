// What a hart does to its own code. Others store to the data in its pages and interrupt it.
#include "smc.h"

void check(const struct Function* f, u64 calls, u64 mapping) {
  u64* data = data_word(random_below(MAPPINGS), f->start, 8 + hart_id());
  const u64 argument = random_bits(), address = address_of(mapping, f->start);
  struct Evaluation evaluation = {0};
  const u64 expected = evaluate(f, argument, address, &evaluation);
  const u64 before = *data;
  for (u64 i = 0; i < calls; ++i) {
    const u64 result = call(address, argument, data);
    if (result != expected) fail("result", expected, result);
  }
  expect("count beside code", before + calls * evaluation.counted, *data);
  harts[hart_id()].counts.calls += calls;
}

static void check_again(const struct Function* f) {
  const u64 calls = 1 + random_below(4);
  check(f, calls, random_below(MAPPINGS));
  if (random_below(4) == 0) check(f, 80, random_below(MAPPINGS));
}

// Most of the time at one address, so that it gets hot there.
void heat(const struct Function* f, u64 calls) {
  check(f, calls, random_below(MAPPINGS));
  if (random_below(3) == 0) hammer(f->start, random_below(100));
  if (random_below(3) == 0) check(f, 5, random_below(MAPPINGS));
}
static u64 some_calls(void) {
  return 1 + random_below(random_below(3) ? 20 : 300);
}

static struct Function* plain(u64 hart) {
  struct Function* f = site(hart, random_below(PLAIN_PAGES), random_below(SITES));
  ensure(f);
  return f;
}
static void begin(const char* name) {
  current_case[hart_id()] = name;
}

static void write_op(const struct Function* f, const struct Op* op) {
  u8 code[16];
  const u64 constant = (u64)(long)op->value;
  put(f->start + op->at, code, encode(f, op, code));
  put(f->start + f->pool + 8 * (u64)(op - f->ops), &constant, 8);
}

static void patch(u64 hart) {
  begin("an instruction replaced");
  struct Function* f = plain(hart);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  for (u64 i = 0; i < 1 + random_below(4); ++i) {
    struct Op* op = choose_op(f);
    change_op(op);
    write_op(f, op);
    fence_self(FENCE_CODE);
    check_again(f);
  }
  struct Function* neighbour = f + random_below(SITES) - (u64)(f - functions) % SITES;
  if (neighbour->start) check_again(neighbour);
}

static void patch_in_place(u64 hart) {
  begin("one store into an instruction");
  struct Function* f = plain(hart);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  struct Op* op;
  struct Store store;
  for (u64 i = 0; i < 8 && change_atomically(f, &op, &store); ++i) {
    store_at(random_below(MAPPINGS), &store);
    fence_self(FENCE_CODE);
    check_again(f);
  }
}

static void replace(u64 hart) {
  begin("a function replaced");
  struct Function* f = plain(hart);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  generate(f, 0);
  fence_self(FENCE_CODE);
  check_again(f);
}

// Data needs no fence.
static void constants(u64 hart) {
  begin("constants beside code");
  struct Function* f = plain(hart);
  do {
    generate(f, 0);
    f->ops[0].kind = f->ops[0].size == 12 ? kPool : f->ops[0].kind;
  } while (f->ops[0].kind != kPool);
  write_code(f);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  for (u64 i = 0; i < 30; ++i) {
    f->ops[0].value = (int)random_bits();
    const u64 constant = (u64)(long)f->ops[0].value;
    if (random_below(8) == 0)
      put(f->start + f->pool, &constant, 8);
    else
      asm volatile("sd %1, (%0)" ::"r"(address_of(random_below(MAPPINGS), f->start + f->pool)),
                   "r"(constant)
                   : "memory");
    check(f, 1 + random_below(3), random_below(MAPPINGS));
  }
}

static void stores_beside(u64 hart) {
  begin("stores beside hot code");
  struct Function* f = plain(hart);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  for (u64 i = 0; i < 20; ++i) {
    hammer(f->start, 50);
    check(f, 1 + random_below(10), random_below(MAPPINGS));
  }
}

static void chains(u64 hart) {
  begin("functions that call each other");
  struct Function* top = site(hart, PAGES - 1, random_below(SITES));
  fence_self(FENCE_CODE);
  heat(top, 1 + random_below(100));
  for (u64 i = 0; i < 4; ++i) {
    struct Function* f = site(hart, PLAIN_PAGES + random_below(CHAIN_PAGES), random_below(SITES));
    struct Op* op = choose_op(f);
    struct Store store;
    if (random_below(2) && change_atomically(f, &op, &store)) {
      store_at(random_below(MAPPINGS), &store);
    } else if (op->kind < kPlainKinds) {
      change_op(op);
      write_op(f, op);
    }
    fence_self(FENCE_CODE);
    check_again(top);
    check_again(f);
  }
}

// All of a page but its data and what of it belongs to the pages beside.
static void forget_page(u64 hart, u64 page) {
  for (u64 i = 0; i < SITES; ++i) site(hart, page, i)->start = 0;
}
static void reuse(u64 hart) {
  begin("a page of code, then data, then code");
  const u64 page = random_below(PLAIN_PAGES), base = page_of(hart, page);
  struct Function* f = site(hart, page, random_below(SITES));
  ensure(f);
  fence_self(FENCE_CODE);
  heat(f, some_calls());
  forget_page(hart, page);
  static u8 pages[HARTS][PAGE];
  u8* values = pages[hart];
  for (u64 i = 0; i < PAGE; ++i) values[i] = (u8)random_bits();
  for (u64 i = 0; i < 6; ++i) put(base + kCells[i] * CELL, values + kCells[i] * CELL, CELL);
  for (u64 round = 0; round < 10; ++round) {
    for (u64 i = 0; i < 100; ++i) {
      const u64 at = CELL * kCells[random_below(6)] + random_below(CELL);
      volatile u8* byte = (volatile u8*)address_of(random_below(MAPPINGS), base + at);
      expect("data where code was", values[at], *byte);
      *byte = values[at] = (u8)(values[at] + 1);
    }
  }
  generate(f, 0);
  fence_self(FENCE_CODE);
  heat(f, 2);
  heat(f, some_calls());
}

static void copy_page(u64 hart) {
  begin("a page copied over another");
  const u64 from = random_below(PLAIN_PAGES),
            to = (from + 1 + random_below(PLAIN_PAGES - 1)) % PLAIN_PAGES;
  for (u64 i = 0; i < SITES; ++i) {
    ensure(site(hart, from, i));
    ensure(site(hart, to, i));
  }
  fence_self(FENCE_CODE);
  heat(site(hart, to, random_below(ACROSS)), some_calls());
  static const u8 kStarts[] = {1, 4}, kEnds[] = {3, 7};
  static u8 pages[HARTS][PAGE];
  const u64 source = page_of(hart, from), target = page_of(hart, to);
  for (u64 i = 0; i < 2; ++i) {
    const u64 at = kStarts[i] * CELL, size = (u64)(kEnds[i] - kStarts[i]) * CELL;
    memcpy(pages[hart], (void*)address_of(random_below(MAPPINGS), source + at), size);
    put(target + at, pages[hart], size);
  }
  for (u64 i = 0; i < ACROSS; ++i) {
    struct Function* f = site(hart, to, i);
    *f = *site(hart, from, i);
    f->start = (u32)(f->start - source + target);
  }
  fence_self(FENCE_CODE);
  for (u64 i = 0; i < SITES; ++i) check_again(site(hart, to, i));
}

// Code that stores into itself: the next instruction but one, or but the fence's two.
static void into_itself(u64 hart) {
  begin("code that stores into itself");
  struct Function* f = plain(hart);
  const u64 start = f->start, fenced = random_below(2), rounds = 2 + random_below(200);
  f->start = 0;
  u8 code[64];
  u64 at = 0;
  put_word(code, (rounds & 0xfff) << 20 | 6 << 7 | 0x13);  // li t1, rounds
  at = 4;
  if (random_below(2)) {
    put_half(code + at, 0x0001);  // c.nop: the next are misaligned
    at += 2;
  }
  const u64 top = at;
  const u64 distance = (fenced ? 12 : 8) + 4 * random_below(3);
  put_word(code + at, 0x00000297);  // auipc t0, 0
  put_word(code + at + 4, (12ul << 20) | (distance >> 5) << 25 | 5 << 15 | 2 << 12 |
                              (distance & 31) << 7 | 0x23);  // sw a2, distance(t0)
  at += 8;
  if (fenced) {
    put_word(code + at, 0x0000100f);
    at += 4;
  }
  for (; at < top + distance; at += 4) put_word(code + at, 0x00000013);
  const u64 first = random_below(1000), second = 1001 + random_below(1000);
  const u64 words[] = {first << 20 | 0x50513, second << 20 | 0x50513};  // addi a0, a0, N
  put_word(code + at, words[1]);
  put_word(code + at + 4, 0x00060393);   // mv t2, a2
  put_word(code + at + 8, 0x00068613);   // mv a2, a3
  put_word(code + at + 12, 0x00038693);  // mv a3, t2
  put_word(code + at + 16, 0xfff30313);  // addi t1, t1, -1
  at += 20;
  const u64 back = top - at;
  put_word(code + at, (back >> 12 & 1) << 31 | (back >> 5 & 63) << 25 | 6 << 15 | 1 << 12 |
                          (back >> 1 & 15) << 8 | (back >> 11 & 1) << 7 | 0x63);
  put_half(code + at + 4, 0x8082);
  put(start, code, at + 6);
  asm volatile("fence.i" ::: "memory");
  for (u64 i = 0; i < 3; ++i) {
    typedef u64 Code(u64, u64, u64, u64);
    const u64 mapping = random_below(MAPPINGS);
    const u64 result = ((Code*)address_of(mapping, start))(0, 0, words[0], words[1]);
    // The first round stores words[0].
    const u64 old = rounds / 2, now = rounds - old;
    if (fenced) {
      expect("sum", now * first + old * second, result);
    } else if ((result - rounds * first) % (second - first) ||
               (result - rounds * first) / (second - first) > rounds) {
      fail("sum of either instruction", now * first + old * second, result);
    }
    if (!fenced) put(start, code, at + 6);
    if (!fenced) asm volatile("fence.i" ::: "memory");
  }
  generate(f, 0);
  fence_self(FENCE_CODE);
  check_again(f);
}

// The hart's timer turns the switch of the loop that it interrupts.
static struct Ticking {
  struct Loop loop;
  volatile u64 *data, flips, left, last_old;
} ticking[HARTS];
static void on_tick(u64 hart) {
  struct Ticking* t = &ticking[hart];
  ++harts[hart].counts.ticks;
  const u64 old = t->flips % 2 ? 2 : 1;  // of data, since the last flip; the first way is data[2]
  if (t->flips && t->data[old] - t->last_old > 1) fail("old way taken", t->last_old, t->data[old]);
  if (--t->left == 0) {
    t->data[0] = 1;
    return;
  }
  ++t->flips;
  t->last_old = t->data[t->flips % 2 ? 2 : 1];
  store_at(t->flips % MAPPINGS, &t->loop.to[t->flips % 2 ? 0 : 1]);
  asm volatile("fence.i" ::: "memory");
  set_tick(30 + mix(t->flips, hart) % 500);
}
static void ticks(u64 hart) {
  begin("a loop changed by the timer's interrupt");
  struct Function* f = plain(hart);
  if ((u64)(f - functions) % SITES == ACROSS) --f;
  struct Ticking* t = &ticking[hart];
  make_loop(&t->loop, cell_of(f));
  f->start = 0;
  t->data = data_word(random_below(MAPPINGS), t->loop.start, 16);
  t->data[0] = t->data[1] = t->data[2] = t->flips = 0;
  t->left = 2 + random_below(8);
  asm volatile("fence.i" ::: "memory");
  harts[hart].on_tick = on_tick;
  set_tick(100);
  call(address_of(random_below(MAPPINGS), t->loop.start), 0, (u64*)t->data);
  harts[hart].on_tick = 0;
}

#ifdef SUPERVISOR
static void fence_page(u64 address) {
  switch (random_below(4)) {
    case 0:
      asm volatile("sfence.vma %0" ::"r"(address) : "memory");
      break;
    case 1:
      asm volatile("sfence.vma %0, %1" ::"r"(address), "r"(1) : "memory");
      break;
    case 2:
      asm volatile("sfence.vma x0, %0" ::"r"(1) : "memory");
      break;
    default:
      fence_self(FENCE_MAP);
  }
}

static void fault(const struct Function* f, u64 address) {
  const u64 hart = hart_id();
  harts[hart].may_fault = 1;
  for (u64 i = 0; i < 3; ++i) {
    u64 data = 0;
    expect("call of what is not mapped", FAULTED, call(address, f->start, &data));
  }
  harts[hart].may_fault = 0;
}

// The function there, as the window shows the page at the moment.
static void check_at(const struct Function* f, u64 address, u64 calls) {
  u64 data = 0;
  struct Evaluation evaluation = {0};
  const u64 argument = random_bits(), expected = evaluate(f, argument, address, &evaluation);
  for (u64 i = 0; i < calls; ++i) expect("result", expected, call(address, argument, &data));
  expect("count", calls * evaluation.counted, data);
  harts[hart_id()].counts.calls += calls;
}

static void remap(u64 hart) {
  begin("pages remapped");
  // Not the first page, into which a function of the arena before reaches.
  const u64 page = 1 + random_below(PLAIN_PAGES - 1), index = random_below(ACROSS);
  const u64 other_page = (page + 1 + random_below(PLAIN_PAGES - 1)) % PLAIN_PAGES;
  struct Function *f = site(hart, page, index), *g = site(hart, other_page, index);
  ensure(f);
  ensure(g);
  if (random_below(2)) {  // both at the same place of their pages
    *g = *f;
    g->start = (u32)(g->start + (other_page - page) * PAGE);
    for (u64 i = 0; i < g->count; ++i) change_op(&g->ops[i]);
    write_code(g);
  }
  fence_self(FENCE_CODE);
  const u64 here = page_of(hart, page), there = page_of(hart, other_page);
  const u64 at_f = address_of(WINDOW_A, f->start),
            at_g = address_of(WINDOW_A, here + g->start % PAGE);
  check_at(f, at_f, some_calls());
  for (u64 i = 0; i < 4; ++i) {
    harts[hart].window_changed = 1;
    map_page(WINDOW_A, here, there, MAP_NORMAL);
    fence_page(at_g);
    check_at(g, at_g, some_calls());
    if (random_below(2)) {
      map_page(WINDOW_A, here, there, random_below(2) ? MAP_NOTHING : MAP_NO_EXECUTE);
      fence_page(at_g);
      fault(g, at_g);
    }
    if (random_below(2)) {
      struct Op* op = choose_op(f);
      change_op(op);
      write_op(f, op);
      fence_self(FENCE_CODE);
    }
    map_page(WINDOW_A, here, here, MAP_NORMAL);
    fence_page(at_f);
    harts[hart].window_changed = 0;
    check_at(f, at_f, some_calls());
  }
}

static void spaces(u64 hart) {
  begin("two address spaces");
  const u64 page = random_below(PLAIN_PAGES) & ~1ul;
  struct Function *f = site(hart, page, random_below(ACROSS)),
                  *g = site(hart, page + 1, random_below(ACROSS));
  ensure(f);
  ensure(g);
  fence_self(FENCE_CODE);
  const u64 at_f = address_of(WINDOW_A, f->start), at_g = address_of(WINDOW_A, g->start);
  for (u64 i = 0; i < 6; ++i) {
    check_at(f, at_f, some_calls());
    use_space(2);
    check_at(f, at_f + PAGE, some_calls());
    check_at(g, at_g - PAGE, some_calls());
    use_space(1);
    check_at(g, at_g, 1 + random_below(10));
  }
}
#endif

static void sweep(u64 hart) {
  begin("all functions in turn");
  for (u64 page = 0; page < PLAIN_PAGES; ++page)
    for (u64 i = 0; i < SITES; ++i) ensure(site(hart, page, i));
  fence_self(FENCE_CODE);
  const u64 calls = 1 + random_below(80);
  for (u64 page = 0; page < PLAIN_PAGES; ++page)
    for (u64 i = 0; i < SITES; ++i) heat(site(hart, page, i), calls);
}

static void (*const kCases[])(u64) = {
    patch,  patch_in_place, replace,   constants,   stores_beside,
    chains, reuse,          copy_page, into_itself, ticks,
#ifdef SUPERVISOR
    remap,  spaces,
#endif
};

void run_alone(u64 hart) {
  for (u64 i = 0; i < 10; ++i) {
    if (HARTS > 1) {
      const u64 other = (hart + 1 + random_below(HARTS - 1)) % HARTS;
      hammer(page_of(other, random_below(PAGES)), random_below(500));
      if (random_below(3) == 0) disturb(other);
    }
    kCases[random_below(sizeof kCases / sizeof *kCases)](hart);
  }
  if (random_below(8) == 0) sweep(hart);
}
