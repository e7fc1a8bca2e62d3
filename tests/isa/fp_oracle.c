/* The oracle: runs every case as a RISC-V instruction and writes struct FpResult for each to
 * standard output. Freestanding, so that a bare cross compiler is enough.
 *
 * FP_ZFA: the operations of Zfa, else all others. FP_BARE: a program for machine mode of QEMU's virt
 * board, which writes to the serial port and switches the board off. */
#include "fp_cases.h"

#ifdef FP_ZFA
#include "fp_zfa_asm.h"
#define FP_OPS "fp_zfa_ops.inc"
#else
#define FP_OPS "fp_ops.inc"
#endif

#ifdef FP_BARE
asm(".section .entry, \"ax\"\n .globl _start\n"
    "_start: la sp, stack_end\n li t0, 0x2000\n csrs mstatus, t0\n j run_all\n"
    ".bss\n .balign 16\n .skip 4096\n stack_end:\n .text\n");

enum { kUart = 0x10000000, kFinisher = 0x100000, kPass = 0x5555, kFail = 0x3333 };
static void finish(int failed) {
  *(volatile uint32_t*)kFinisher = failed ? kFail : kPass;
  for (;;) {
  }
}
static long write_output(const char* data, long size) {
  for (long i = 0; i < size; ++i) *(volatile char*)kUart = data[i];
  return size;
}
#else
static long system_call(long number, long a, long b, long c) {
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  register long a7 asm("a7") = number;
  asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
  return a0;
}

enum { kWrite = 64, kExit = 93 };
static void finish(int failed) {
  system_call(kExit, failed, 0, 0);
}
static long write_output(const char* data, long size) {
  return system_call(kWrite, 1, (long)data, size);
}
#endif

enum { kBuffer = 4096 };
static struct FpResult buffer[kBuffer];
static unsigned used;

static void flush(void) {
  const char* data = (const char*)buffer;
  long left = (long)(used * sizeof(buffer[0]));
  while (left > 0) {
    const long done = write_output(data, left);
    if (done <= 0) finish(1);
    data += done;
    left -= done;
  }
  used = 0;
}

static void put(struct FpResult result) {
  buffer[used++] = result;
  if (used == kBuffer) flush();
}

/* Instructions by shape. Operands move as raw bits. */
#define RUN(instruction)                                                                    \
  asm volatile(                                                                             \
      "fmv.d.x ft0, %2\n fmv.d.x ft1, %3\n fmv.d.x ft2, %4\n csrwi fflags, 0\n" instruction \
      "\n csrr %1, fflags\n"                                                                \
      : "=&r"(r.value), "=&r"(r.flags)                                                      \
      : "r"(c.operands[0]), "r"(c.operands[1]), "r"(c.operands[2])                          \
      : "ft0", "ft1", "ft2", "ft3", "memory")
#define F_RESULT "\n fmv.x.d %0, ft3"
#define FFF(op, rm) RUN(op " ft3, ft0, ft1" rm F_RESULT)
#define FFFF(op, rm) RUN(op " ft3, ft0, ft1, ft2" rm F_RESULT)
#define FF(op, rm) RUN(op " ft3, ft0" rm F_RESULT)
#define XF(op, rm) RUN(op " %0, ft0" rm)
#define FX(op, rm) RUN(op " ft3, %2" rm F_RESULT)
#define XFF(op, rm) RUN(op " %0, ft0, ft1" rm)

static void set_frm(unsigned frm) {
  asm volatile("csrw frm, %0" : : "r"((long)frm));
}

#define ALL(source, instruction)                         \
  for (unsigned i = 0; i < FP_CASES; ++i) {              \
    const struct FpCase c = fp_case(&random, source, i); \
    struct FpResult r;                                   \
    instruction;                                         \
    put(r);                                              \
  }
#define VARIANT(number, rm, source, shape, op) \
  set_frm(fp_variant_frm(number));             \
  ALL(source, shape(op, ", " rm))
#define ROUNDED(source, shape, op)     \
  VARIANT(0, "rne", source, shape, op) \
  VARIANT(1, "rtz", source, shape, op) \
  VARIANT(2, "rdn", source, shape, op) \
  VARIANT(3, "rup", source, shape, op) \
  VARIANT(4, "rmm", source, shape, op) \
  VARIANT(5, "dyn", source, shape, op) \
  VARIANT(6, "dyn", source, shape, op) \
  VARIANT(7, "dyn", source, shape, op) \
  VARIANT(8, "dyn", source, shape, op) \
  VARIANT(9, "dyn", source, shape, op)

#define DO_HHH_RM(op) ROUNDED(FP_HALF, FFF, op)
#define DO_HHHH_RM(op) ROUNDED(FP_HALF, FFFF, op)
#define DO_HH_RM(op) ROUNDED(FP_HALF, FF, op)
#define DO_HS_RM(op) ROUNDED(FP_SINGLE, FF, op)
#define DO_HD_RM(op) ROUNDED(FP_DOUBLE, FF, op)
#define DO_XH_RM(op) ROUNDED(FP_HALF, XF, op)
#define DO_HX_RM(op) ROUNDED(FP_INTEGER, FX, op)
#define DO_HHH(op) ALL(FP_HALF, FFF(op, ""))
#define DO_XHH(op) ALL(FP_HALF, XFF(op, ""))
#define DO_XH(op) ALL(FP_HALF, XF(op, ""))
#define DO_SH(op) ALL(FP_HALF, FF(op, ""))
#define DO_DH(op) ALL(FP_HALF, FF(op, ""))
#define FI(op, number)                \
  {                                   \
    const struct FpCase c = {{0}};    \
    struct FpResult r;                \
    RUN(op " ft3, " #number F_RESULT); \
    put(r);                           \
  }
#define FI8(op, a, b, c, d, e, f, g, h) \
  FI(op, a) FI(op, b) FI(op, c) FI(op, d) FI(op, e) FI(op, f) FI(op, g) FI(op, h)
#define DO_F_I(op)                                                                       \
  (void)random;                                                                          \
  FI8(op, 0, 1, 2, 3, 4, 5, 6, 7) FI8(op, 8, 9, 10, 11, 12, 13, 14, 15)                  \
  FI8(op, 16, 17, 18, 19, 20, 21, 22, 23) FI8(op, 24, 25, 26, 27, 28, 29, 30, 31)
#define DO_SSS_RM(op) ROUNDED(FP_SINGLE, FFF, op)
#define DO_DDD_RM(op) ROUNDED(FP_DOUBLE, FFF, op)
#define DO_SSSS_RM(op) ROUNDED(FP_SINGLE, FFFF, op)
#define DO_DDDD_RM(op) ROUNDED(FP_DOUBLE, FFFF, op)
#define DO_SS_RM(op) ROUNDED(FP_SINGLE, FF, op)
#define DO_DD_RM(op) ROUNDED(FP_DOUBLE, FF, op)
#define DO_SD_RM(op) ROUNDED(FP_DOUBLE, FF, op)
#define DO_XS_RM(op) ROUNDED(FP_SINGLE, XF, op)
#define DO_XD_RM(op) ROUNDED(FP_DOUBLE, XF, op)
#define DO_SX_RM(op) ROUNDED(FP_INTEGER, FX, op)
#define DO_DX_RM(op) ROUNDED(FP_INTEGER, FX, op)
#define DO_SSS(op) ALL(FP_SINGLE, FFF(op, ""))
#define DO_DDD(op) ALL(FP_DOUBLE, FFF(op, ""))
#define DO_XSS(op) ALL(FP_SINGLE, XFF(op, ""))
#define DO_XDD(op) ALL(FP_DOUBLE, XFF(op, ""))
#define DO_XS(op) ALL(FP_SINGLE, XF(op, ""))
#define DO_XD(op) ALL(FP_DOUBLE, XF(op, ""))
#define DO_DX(op) ALL(FP_INTEGER, FX(op, ""))
#define DO_DS(op) ALL(FP_SINGLE, FF(op, ""))

#define FP_OP(function, mnemonic, shape) \
  static void run_##function(void) {     \
    struct FpRandom random = {FP_SEED};  \
    DO_##shape(mnemonic)                 \
  }
#include FP_OPS

#ifdef FP_BARE
void run_all(void)
#else
void _start(void)
#endif
{
#define FP_OP(function, mnemonic, shape) run_##function();
#include FP_OPS
  flush();
  finish(0);
}
