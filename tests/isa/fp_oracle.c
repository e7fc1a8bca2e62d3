/* The oracle: runs every case as a RISC-V instruction and writes struct FpResult for each to
 * standard output. Freestanding, so that a bare cross compiler is enough. */
#include "fp_cases.h"

static long system_call(long number, long a, long b, long c) {
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  register long a7 asm("a7") = number;
  asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
  return a0;
}

enum { kWrite = 64, kExit = 93, kBuffer = 4096 };
static struct FpResult buffer[kBuffer];
static unsigned used;

static void flush(void) {
  const char* data = (const char*)buffer;
  long left = (long)(used * sizeof(buffer[0]));
  while (left > 0) {
    const long done = system_call(kWrite, 1, (long)data, left);
    if (done <= 0) system_call(kExit, 1, 0, 0);
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
#include "fp_ops.inc"

void _start(void) {
#define FP_OP(function, mnemonic, shape) run_##function();
#include "fp_ops.inc"
  flush();
  system_call(kExit, 0, 0, 0);
}
