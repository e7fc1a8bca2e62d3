// Random code that is modified while it is hot, by the hart that runs it and by others. The program
// knows what every call must return from its own record of the code, so each execution of stale
// or mixed code is a wrong result. What another hart may see when is that of the unprivileged
// specification, Zifencei, and the privileged one, SFENCE.VMA; of concurrent modification only what
// Ziccif promises is used: aligned stores of 2 or 4 bytes that change one instruction.
//
// Built for M-mode there is no translation, and harts fence each other by the CLINT's interrupts;
// built for S-mode, Sv39 maps each code page three times, and firmware fences too.
//
// SEED decides all but how the harts interleave. ROUNDS = 0 runs for ever; FIRST is the first
// round, which does not need the ones before.
#pragma once
#include "../bare.h"

#ifndef ROUNDS
#define ROUNDS 100
#endif
#ifndef FIRST
#define FIRST 1
#endif
#define HARTS SMP
#if HARTS > 8
#error "a page has data words for eight harts"
#endif

// An arena is the pages of one hart, or those that all share. A page is eight cells: one of data,
// five with a function each, and the last and the next page's first with one across the pages.
#define PAGES 32ul
#define CHAIN_PAGES 4ul  // the last ones: functions that call those in lower pages
#define PLAIN_PAGES (PAGES - CHAIN_PAGES)
#define PAGE 4096ul
#define CELL 512ul
#define DATA_CELL 3
#define SITES 6ul               // of a page
#define ACROSS 5                // the site across two pages
extern const u8 kCells[SITES];  // the first cell of each
#define SHARED HARTS
#define ARENAS (HARTS + 1ul)
#define ARENA_BYTES (ARENAS * PAGES * PAGE + PAGE)

// Pages are known by their place in this memory: an offset. It is executable at several addresses.
extern u8 arenas[ARENA_BYTES];
#ifdef SUPERVISOR
enum { PHYSICAL, WINDOW_A, WINDOW_B, MAPPINGS };
#else
enum { PHYSICAL, MAPPINGS };
#endif
u64 address_of(u64 mapping, u64 offset);

// harts.c
#define FAULTED 0xfa017edul  // what a call returns whose instructions cannot be fetched
struct Counts {
  u64 calls, changes, remote_fences, dma, hammered, ticks, faults;
};
struct Hart {
  u64 random;
  volatile u64 requested, served, wanted;  // fences that others ask for
  volatile u64 may_fault;                  // 1: fetches; 2: loads of their constants too
  volatile u64 probing;
  u64 window_changed;  // WINDOW_A does not show the hart's pages as they are
  void (*on_tick)(u64 hart);
  struct Counts counts;
  u64 hammer[ARENAS * PAGES];  // what its word of each page must be
} __attribute__((aligned(4096)));
extern struct Hart harts[HARTS];
extern volatile u64 current_round;
extern const char* volatile current_case[HARTS];

enum { FENCE_CODE = 1, FENCE_MAP = 2 };
u64 hart_id(void);
void start_hart(u64 hart);  // traps, translation; firmware's other harts too
u64 random_below(u64 limit);
u64 random_bits(void);
u64 mix(u64 a, u64 b);  // a random number that belongs to the two
void barrier(void);     // interrupts are on
// Returns when all other harts have executed the fences; the caller's own are its own matter.
void fence_others(u64 what);
void fence_self(u64 what);
void disturb(u64 hart);  // fences another hart and does not wait
void set_tick(u64 ticks);
void fail(const char* what, u64 expected, u64 actual) __attribute__((noreturn));
void expect(const char* what, u64 expected, u64 actual);

// code.c
enum Kind {
  kCAddi,
  kAddi,
  kXori,
  kCLiAdd,
  kLuiAdd,
  kMul,
  kPc,
  kAmo,
  kRotate,
  kBranch,
  kCount,
  kFlip,
  kPool,
  kSelect,
  kPlainKinds,
  kCall = kPlainKinds,
  kFarCall
};
#define MAX_OPS 8
struct Op {
  u8 kind, size;
  u16 at;  // byte of the function
  int value;
  u32 callee;  // index in functions
};
struct Function {
  u32 start;  // offset; 0 as long as there is none
  u16 size, pool;
  u8 count, loops, calls;
  struct Op ops[MAX_OPS];
};
extern struct Function functions[ARENAS * PAGES * SITES];
struct Evaluation {
  const struct Op* watched;
  u64 times;    // that it was executed
  u64 counted;  // additions to the data word
};
u64 evaluate(const struct Function* f, u64 argument, u64 address, struct Evaluation* evaluation);
u64 call(u64 address, u64 argument, u64* data);
struct Function* site(u64 arena, u64 page, u64 index);
u64 cell_of(const struct Function* f);  // its offset; the first of two
u64 page_of(u64 arena, u64 page);       // its offset
// Each makes the record and writes the code; the fences are the caller's matter.
enum { STRAIGHT = 1 };  // no loop: each instruction is executed once
void generate(struct Function* f, unsigned how);
void generate_chains(u64 arena);
void ensure(struct Function* f);
void write_code(const struct Function* f);
void change_op(struct Op* op);  // a random other one of its size
struct Op* choose_op(struct Function* f);
u64 encode(const struct Function* f, const struct Op* op, u8* to);
// Changes one op's record such that one aligned store of 2 or 4 bytes changes the code: what and
// where. False: f has no such op.
struct Store {
  u64 offset, size, value;
};
int change_atomically(struct Function* f, struct Op** op, struct Store* store);
void store_at(u64 mapping, const struct Store* store);
void put_half(u8* to, u64 bits);
void put_word(u8* to, u64 bits);

// memory.c
// Writes in a random way through a random mapping. Memory around it may be written for a moment,
// but only in the same 64 bytes.
void put(u64 offset, const void* bytes, u64 size);
void find_disk(void);
u64* data_word(u64 mapping, u64 page_offset, u64 index);
void hammer(u64 page_offset, u64 count);  // stores to the hart's own word of the page
#ifdef SUPERVISOR
enum { MAP_NORMAL, MAP_NOTHING, MAP_NO_EXECUTE };
void map_page(u64 window, u64 offset, u64 target, u64 how);
void use_space(u64 space);  // 1: as it is; 2: WINDOW_A has neighbouring pages exchanged
void make_maps(void);
#endif

// alone.c, together.c
void run_alone(u64 hart);
void run_together(u64 hart);
// The loop that counts in data[1] or data[2] until data[0]; its switch is a halfword or a word.
struct Loop {
  u64 start;
  struct Store to[2];
};
void make_loop(struct Loop* loop, u64 cell_offset);
// Calls it with one argument again and again.
void heat(const struct Function* f, u64 calls);
void check(const struct Function* f, u64 calls, u64 mapping);
