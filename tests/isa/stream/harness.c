// Runs an instruction stream (make_stream.cpp) round after round in S- or U-mode and prints what
// came of it: bare metal on the virt board, for run_streams.py.
#include "../../bare/bare.h"
#include "layout.h"

struct Context {
  u64 x[32];
  u64 f[32];
  u64 fcsr;
};
// Shared with harness_entry.S, which knows the order.
struct Traps {
  u64 reservation;  // what the handler's SC aims at
  u64 count, hash, cause, value, pc;
  u64 end;
  u64 scratch[8];
  struct Context* context;
  u64 harness_sp;
};
struct Traps traps;
struct Context context;

void run_round(struct Context* context, struct Traps* traps);

#define HEADER ((const struct StreamHeader*)STREAM_BLOB)

static u64 mix(u64 hash, u64 value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ul;
  return hash ^ hash >> 29;
}

static void prepare(u64 round) {
  const u64* pool = (const u64*)(STREAM_BLOB + STREAM_POOL);
  for (u64 i = 0; i < 32; ++i) {
    context.x[i] = pool[(round * 37 + i * 29) % STREAM_POOL_SIZE];
    context.f[i] = pool[STREAM_POOL_SIZE + (round * 41 + i * 31) % STREAM_POOL_SIZE];
  }
  context.x[2] = STREAM_X2;
  context.x[3] = STREAM_X3;
  context.x[8] = STREAM_X8;
  context.fcsr = round % 5 << 5;
}

static u64 scratch_hash(void) {
  const u64* scratch = (const u64*)(STREAM_BLOB + STREAM_SCRATCH);
  u64 hash = 0;
  for (u64 i = 0; i < 4 * 512; ++i) hash = mix(hash, scratch[i]);
  return hash;
}

static void dump(void) {
  for (u64 i = 0; i < 32; ++i) put_named("x", i, context.x[i]);
  for (u64 i = 0; i < 32; ++i) put_named("f", i, context.f[i]);
  put_named("fcsr", ~0ul, context.fcsr);
  const u64* scratch = (const u64*)(STREAM_BLOB + STREAM_SCRATCH);
  for (u64 i = 0; i < 4; ++i) {
    u64 hash = 0;
    for (u64 k = 0; k < 512; ++k) hash = mix(hash, scratch[i * 512 + k]);
    put_named("scratch page ", i, hash);
  }
  put_named("traps ", ~0ul, traps.count);
  put_named("last mcause ", ~0ul, traps.cause);
  put_named("last mtval ", ~0ul, traps.value);
  put_named("last mepc ", ~0ul, traps.pc);
  put_named("hash of all traps ", ~0ul, traps.hash);
}

// A hart of the stream may reach its own pages and nothing else: stray addresses fault the same
// way on every emulator.
static void protect(void) {
  csr_write(pmpaddr0, (STREAM_BLOB + 0x100000 / 2 - 1) >> 2);
  csr_write(pmpcfg0, 0x1f);  // NAPOT, readable, writable, executable
}

void bare_main(u64 hart) {
  if (hart != 0) return;
  protect();
  csr_write(medeleg, 0);
  csr_write(mideleg, 0);
  csr_write(mie, 0);
  csr_write(mcounteren, 0);
  csr_write(satp, HEADER->satp);
  asm volatile("sfence.vma" ::: "memory");
  traps.end = HEADER->end;
  // MPP, and FS dirty.
  const u64 status = HEADER->privilege << 11 | 3ul << 13;
  u64 instructions = 0;
  for (u64 round = HEADER->first; round < HEADER->last; ++round) {
    prepare(round);
    csr_write(mstatus, status);
    const u64 start = csr_read(minstret);
    run_round(&context, &traps);
    instructions += csr_read(minstret) - start;
    if (HEADER->dump) {
      dump();
      continue;
    }
    u64 hash = mix(traps.hash, context.fcsr);
    for (u64 i = 0; i < 32; ++i) hash = mix(mix(hash, context.x[i]), context.f[i]);
    if (round % 8 == 7 || round + 1 == HEADER->last) hash = mix(hash, scratch_hash());
    put_hex(hash);
    put_char('\n');
  }
  put_string("# instructions ");
  put_hex(instructions);
  put_string(" traps ");
  put_hex(traps.count);
  put_char('\n');
}
