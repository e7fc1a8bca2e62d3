// Hardware breakpoints as an operating system gets them: S-mode code that installs debug triggers
// through the SBI's debug trigger extension (SBI specification 3.0, chapter 19) and is stopped by
// them in code that has run before. Also runs under OpenSBI, on QEMU too.
#include "bare.h"

#define DBTR 0x44425452
enum { NUMBER, SET_MEMORY, READ, INSTALL, UPDATE, UNINSTALL, ENABLE, DISABLE };
#define SUPERVISOR_MODE (1ul << 4)
enum { LOAD = 1, STORE = 2, EXECUTE = 4 };
#define ROUNDS 100

struct Result {
  long error;
  u64 value;
};
static struct Entry {
  u64 state, tdata1, tdata2, tdata3;
} entries[2];
static u64 words[2];
static volatile u64 traps, last_pc, last_value;
static u64 failures;
// OpenSBI before 1.7: update has other arguments, and install puts the index behind the entry.
static int older;

static struct Result sbi(u64 extension, u64 function, u64 first, u64 second) {
  register u64 a0 asm("a0") = first;
  register u64 a1 asm("a1") = second;
  register u64 a2 asm("a2") = 0;
  register u64 a6 asm("a6") = function;
  register u64 a7 asm("a7") = extension;
  asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
  return (struct Result){(long)a0, a1};
}

// The instructions that triggers stop at are four bytes long and are left out when they do.
void __attribute__((interrupt("supervisor"), aligned(4))) bare_trap(void) {
  const u64 cause = csr_read(scause), pc = csr_read(sepc);
  if (cause != 3) bare_unexpected(cause, pc, csr_read(stval));
  ++traps;
  last_pc = pc;
  last_value = csr_read(stval);
  csr_write(sepc, pc + 4);
}

// Adds 1 to 0, loads the word, stores a value to it; returns the sum and what was loaded.
struct Touched {
  u64 sum, loaded;
};
struct Touched touch(u64* where, u64 value);
extern const char touch_execute[], touch_load[], touch_store[];
asm(".option push\n"
    ".option norvc\n"
    "touch:\n"
    "  mv t0, a0\n"
    "  mv t1, a1\n"
    "  li a0, 0\n"
    "  li a1, -1\n"
    "touch_execute: addi a0, a0, 1\n"
    "touch_load: ld a1, 0(t0)\n"
    "touch_store: sd t1, 0(t0)\n"
    "  ret\n"
    ".option pop\n");

static void expect(const char* what, u64 expected, u64 actual) {
  if (expected == actual || failures++ > 20) return;
  put_string(what);
  put_named(": expected", ~0ul, expected);
  put_named("got", ~0ul, actual);
}

static void call(const char* what, u64 function, u64 first, u64 second) {
  expect(what, 0, (u64)sbi(DBTR, function, first, second).error);
}

// Runs touch() again and again on a word that is 0; a trigger of this kind (0: none) stops it each
// time.
static void run(const char* what, u64 kind, u64* where) {
  const u64 before = traps;
  for (u64 i = 0; i < ROUNDS; ++i) {
    const struct Touched touched = touch(where, i + 1);
    expect(what, kind == EXECUTE ? 0 : 1, touched.sum);
    expect(what, kind == LOAD ? ~0ul : kind == STORE ? 0 : i, touched.loaded);
  }
  expect(what, kind ? ROUNDS : 0, traps - before);
  if (!kind) return;
  const char* place = kind == EXECUTE ? touch_execute : kind == LOAD ? touch_load : touch_store;
  expect(what, (u64)place, last_pc);
  expect(what, kind == EXECUTE ? (u64)place : (u64)where, last_value);
}

// No trigger is on the word.
static void settle(u64* where, u64 expected) {
  expect("the word", expected, *(volatile u64*)where);
  *(volatile u64*)where = 0;
}

static void install(u64 tdata1, u64 address) {
  entries[0] = (struct Entry){~0ul, tdata1, address, 0};
  call("install", INSTALL, 1, 0);
}

static void try_kind(u64 type, u64 kind) {
  const u64 control = type << 60 | kind;
  const u64 address = kind == EXECUTE ? (u64)touch_execute : (u64)&words[0];
  const u64 left = kind == STORE ? 0 : ROUNDS;  // by the last run
  run("before", 0, &words[0]);
  settle(&words[0], ROUNDS);
  install(control | SUPERVISOR_MODE, address);
  if (!older) expect("index", 0, entries[0].state);
  run("installed", kind, &words[0]);
  call("disable", DISABLE, 0, 1);
  settle(&words[0], left);
  run("disabled", 0, &words[0]);
  settle(&words[0], ROUNDS);
  call("read", READ, 0, 1);
  expect("state", 5, entries[0].state & 0xff);  // mapped, s
  expect("tdata1", control, entries[0].tdata1 & ~(1ul << 22 | 1ul << 20));  // but hit
  expect("tdata2", address, entries[0].tdata2);
  call("enable", ENABLE, 0, 1);
  run("enabled", kind, &words[0]);
  if (kind != EXECUTE) run("other word", 0, &words[1]);
  if (kind != EXECUTE && !older) {
    settle(&words[1], ROUNDS);
    entries[0] = (struct Entry){0, control | SUPERVISOR_MODE, (u64)&words[1], 0};
    call("update", UPDATE, 1, 0);
    settle(&words[0], left);
    run("updated", kind, &words[1]);
    run("updated away", 0, &words[0]);
  }
  call("uninstall", UNINSTALL, 0, 1);
  words[0] = words[1] = 0;
  run("uninstalled", 0, &words[0]);
  settle(&words[0], ROUNDS);
}

static void try_two(void) {
  install(6ul << 60 | SUPERVISOR_MODE | STORE, (u64)&words[1]);
  install(2ul << 60 | SUPERVISOR_MODE | EXECUTE, (u64)touch_execute);
  if (!older) expect("second index", 1, entries[0].state);
  entries[0].tdata1 = 6ul << 60 | SUPERVISOR_MODE | LOAD;
  expect("a third", ~0ul, (u64)sbi(DBTR, INSTALL, 1, 0).error);  // SBI_ERR_FAILED
  run("the second", EXECUTE, &words[0]);
  call("uninstall", UNINSTALL, 1, 1);
  run("the first", STORE, &words[1]);
  call("uninstall", UNINSTALL, 0, 1);
}

void bare_main(u64 hart) {
  (void)hart;
  const u64 implementation = sbi(0x10, 1, 0, 0).value, version = sbi(0x10, 2, 0, 0).value;
  older = implementation == 1 && version < (1 << 16 | 7);
  expect("probe", 1, sbi(0x10, 3, DBTR, 0).value);
  expect("triggers", 2, sbi(DBTR, NUMBER, 0, 0).value);
  call("set memory", SET_MEMORY, (u64)entries, 0);
  for (u64 type = 2; type <= 6; type += 4)
    for (u64 kind = LOAD; kind <= EXECUTE; kind <<= 1) try_kind(type, kind);
  try_two();
  put_decimal(traps);
  put_string(failures ? " breakpoints\nFAIL\n" : " breakpoints\nPASS\n");
}
