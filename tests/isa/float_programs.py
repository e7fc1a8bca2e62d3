"""Test programs for F, D and Zfh: values, rounding modes, flags, NaN boxes and fcsr."""

from programs import MASK, ROUNDING, Program, double_bits, single_bits

BOX = 0xFFFFFFFF << 32
BOX_HALF = 0xFFFFFFFFFFFF << 16
VALUES = [0.0, -0.0, 1.0, -1.0, 1.5, 2.5, -2.5, 0.5, 3.0, 1e-3, 1 / 3, 2.0**31, -(2.0**31) - 1,
          2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30, 2147483647.5, 4294967295.5, 0.1, -0.9]
HALVES = [0x0000, 0x8000, 0x3C00, 0xBC00, 0x3E00, 0x4100, 0xC100, 0x3800, 0x0001, 0x83FF, 0x0400,
          0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFE55, 0x3C01, 0x1000, 0x3555, 0x5BFF, 0x6400]
SINGLES = [0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
           0x7F800001, 0xFFC12345, 0x3F800001, 0x33800000]
DOUBLES = [0x0000000000000001, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF,
           0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001,
           0xFFF8123456789ABC, 0x3FF0000000000001, 0x36A0000000000000, 0x380FFFFFFFFFFFFF,
           0x47EFFFFFE0000000, 0x47EFFFFFF0000000]

ORDER = "hsd"
TWO = "fadd fsub fmul fdiv".split()
TWO_EXACT = "fsgnj fsgnjn fsgnjx fmin fmax".split()
COMPARE = "feq flt fle".split()
FUSED = "fmadd fmsub fnmsub fnmadd".split()


class FloatProgram(Program):
    def value(self, precision):
        rng = self.rng
        if precision == "h":
            # most random halves are no numbers near 1
            bits = rng.choice([rng.choice(HALVES), rng.getrandbits(16),
                               rng.getrandbits(16) & 0x87FF | rng.randrange(6, 9) << 11])
            return bits | (rng.getrandbits(64) & BOX_HALF if rng.randrange(10) == 0 else BOX_HALF)
        if precision == "s":
            bits = rng.choice([rng.choice(SINGLES), single_bits(rng.choice(VALUES)),
                               rng.getrandbits(32), single_bits(rng.uniform(-100, 100))])
            # one in ten is not a NaN box
            return bits | (rng.getrandbits(64) & BOX if rng.randrange(10) == 0 else BOX)
        return rng.choice([rng.choice(DOUBLES), double_bits(rng.choice(VALUES)),
                           rng.getrandbits(64), double_bits(rng.uniform(-100, 100))])

    def fp(self, instruction, table, to_integer=False):
        def body():
            dynamic = self.rng.randrange(5)
            self.emit("fld fa0, 0(s10)", "fld fa1, 8(s10)", "fld fa2, 16(s10)", "ld a0, 0(s10)",
                      f"li t0, {dynamic << 5}", "csrw fcsr, t0", instruction, "csrr t1, fcsr")
            self.emit("mv t2, a1" if to_integer else "fmv.x.d t2, fa3")
            self.store("t2", "t1")
            return f"{instruction} (frm {dynamic})"

        self.over_table(table, body, 2)

    def precision(self, p, others):
        rows = 110
        table = self.table([(self.value(p), self.value(p), self.value(p)) for _ in range(rows)])
        numbers = self.table([(self.word(), 0, 0) for _ in range(rows)])
        for mode in ROUNDING:
            for op in FUSED:
                self.fp(f"{op}.{p} fa3, fa0, fa1, fa2, {mode}", table)
            for op in TWO:
                self.fp(f"{op}.{p} fa3, fa0, fa1, {mode}", table)
            self.fp(f"fsqrt.{p} fa3, fa0, {mode}", table)
            for integer in ("w", "wu", "l", "lu"):
                self.fp(f"fcvt.{integer}.{p} a1, fa0, {mode}", table, True)
                exact = p == "d" and integer in ("w", "wu")
                self.fp(f"fcvt.{p}.{integer} fa3, a0" + ("" if exact else f", {mode}"), numbers)
        for op in TWO_EXACT:
            self.fp(f"{op}.{p} fa3, fa0, fa1", table)
        for op in COMPARE:
            self.fp(f"{op}.{p} a1, fa0, fa1", table, True)
        self.fp(f"fclass.{p} a1, fa0", table, True)
        bits = "w" if p == "s" else p
        self.fp(f"fmv.x.{bits} a1, fa0", table, True)
        self.fp(f"fmv.{bits}.x fa3, a0", numbers)
        # the other precisions' values: boxes and wide results
        for other in others:
            for mode in ROUNDING if ORDER.index(p) > ORDER.index(other) else [""]:
                self.fp(f"fcvt.{other}.{p} fa3, fa0" + (f", {mode}" if mode else ""), table)
        for load, store in ((f"fl{bits}", f"fs{bits}"),):
            for at in (0, 8, 4092, 4090, 4093, 2047):
                text = f"{load}/{store} at bytes+{at}"
                self.emit(f"lla a0, bytes + {at}", "fmv.d.x fa3, zero", f"{load} fa3, 0(a0)",
                          "fmv.x.d a1, fa3", "lla a0, scratch", "sd zero, 0(a0)",
                          f"{store} fa3, 0(a0)", "ld a2, 0(a0)")
                self.store("a1", "a2")
                self.group(2, lambda i, text=text: text)

    def compressed(self):
        self.emit("mv s8, sp", "lla sp, bytes", "lla a0, bytes", "lla a1, scratch",
                  "c.fldsp fa4, 504(sp)", "c.fld fa5, 248(a0)", "c.fsd fa4, 8(a1)",
                  "lla sp, scratch", "c.fsdsp fa5, 504(sp)", "ld t0, 8(a1)", "ld t1, 504(sp)",
                  "mv sp, s8")
        self.store("t0", "t1")
        self.group(2, lambda i: "c.fld, c.fldsp, c.fsd, c.fsdsp")

    def csr(self):
        for name, mask in (("fflags", 31), ("frm", 7), ("fcsr", 255)):
            for op in ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"):
                for _ in range(4):
                    first, second = self.rng.randint(0, mask), self.word()
                    operand = self.rng.randint(0, 31) if op.endswith("i") else "t1"
                    d = self.rng.choice(["t2", "zero", "t2"])
                    text = f"{op} {d}, {name}, {operand}  # {first:#x}, t1 = {second:#x}"
                    self.emit(f"li t0, {first}", f"csrw {name}, t0", f"li t1, {second:#x}",
                              text, "csrr t3, fcsr")
                    self.store(d, "t3")
                    self.group(2, lambda i, text=text: text)


def float_program(seed):
    program = FloatProgram(seed)
    program.precision("h", "sd")
    program.precision("s", "hd")
    program.precision("d", "hs")
    program.compressed()
    program.csr()
    return program
