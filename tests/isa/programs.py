"""Generates assembler test programs for every instruction of cpu/isa.

A program appends 8-byte results to a buffer (pointer in s11), writes the buffer to descriptor 1 and
exits, by Linux system calls. Each group of results has a description, so that the first difference
between two runs can be named.
"""

import random
import struct

MASK = (1 << 64) - 1
EDGES = [0, 1, 2, 3, 7, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF,
         0x80000000, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000,
         0xFFFFFFFF80000000, 0xFFFFFFFF7FFFFFFF, MASK - 1, MASK]

R_OPS = """add sub sll slt sltu xor srl sra or and addw subw sllw srlw sraw
mul mulh mulhsu mulhu div divu rem remu mulw divw divuw remw remuw
add.uw sh1add sh2add sh3add sh1add.uw sh2add.uw sh3add.uw andn orn xnor min minu max maxu
rol ror rolw rorw bclr bext binv bset
clmul clmulh clmulr pack packh packw xperm4 xperm8
aes64es aes64esm aes64ds aes64dsm aes64ks2""".split()
# ctzw is apart: QEMU before 8.0 looks above bit 31 when the low word is 0.
R1_OPS = "clz ctz cpop clzw cpopw sext.b sext.h zext.h orc.b rev8 brev8".split()
R1_OPS += """aes64im sha256sum0 sha256sum1 sha256sig0 sha256sig1 sha512sum0 sha512sum1 sha512sig0
sha512sig1 sm3p0 sm3p1""".split()
SM4_OPS = "sm4ed sm4ks".split()
I_OPS = "addi slti sltiu xori ori andi addiw".split()
SHIFT_OPS = "slli srli srai rori bclri bexti binvi bseti slli.uw".split()
SHIFTW_OPS = "slliw srliw sraiw roriw".split()
LOADS = {"lb": 1, "lh": 2, "lw": 4, "ld": 8, "lbu": 1, "lhu": 2, "lwu": 4}
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
BRANCHES = "beq bne blt bge bltu bgeu".split()
AMOS = "swap add xor and or min max minu maxu".split()
ROUNDING = ["rne", "rtz", "rdn", "rup", "rmm", "dyn"]

# Free for operands: all but zero, sp, gp, tp and the pointers s8..s11.
FREE = ["ra", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
        "s2", "s3", "s4", "s5", "s6", "s7", "t3", "t4", "t5", "t6"]
COMPRESSED = ["s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5"]


def single_bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def double_bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


class Program:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.text = []
        self.data = []
        self.groups = []  # (number of results, description of the i-th)
        self.labels = 0
        self.pairs = self.table(
            [(a, b) for a in EDGES for b in (0, 1, 63, 1 << 31, 1 << 63, MASK)]
            + [(self.word(), self.word()) for _ in range(60)])

    def word(self):
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.rng.choice(EDGES)
        if kind == 1:
            return self.rng.getrandbits(64) >> self.rng.randrange(64)
        if kind == 2:
            return MASK ^ (self.rng.getrandbits(64) >> self.rng.randrange(64))
        return self.rng.getrandbits(64)

    def label(self):
        self.labels += 1
        return f"L{self.labels}"

    def emit(self, *lines):
        self.text += lines

    def table(self, rows):
        """Puts rows of 64-bit numbers into memory; returns (label, rows)."""
        label = self.label()
        self.data.append(f"{label}:")
        for row in rows:
            self.data.append(".dword " + ", ".join(hex(v & MASK) for v in row))
        self.data.append(f"{label}_end:")
        return label, rows

    def store(self, *registers):
        for i, register in enumerate(registers):
            self.emit(f"sd {register}, {8 * i}(s11)")
        self.emit(f"addi s11, s11, {8 * len(registers)}")

    def group(self, count, describe):
        self.groups.append((count, describe))

    def over_table(self, table, body, results):
        """Runs body() for each row with s10 at the row; it stores `results` values."""
        label, rows = table
        start = self.label()
        self.emit(f"lla s10, {label}", f"lla s9, {label}_end", f"{start}:")
        text = body()
        self.emit(f"addi s10, s10, {8 * len(rows[0])}", f"bne s10, s9, {start}")
        self.group(len(rows) * results,
                   lambda i: f"{text} with {[hex(v) for v in rows[i // results]]}")

    def compute(self, instruction, *regs, table=None):
        """`instruction` is text with {d}, {a}, {b} for rd, rs1, rs2."""
        d, a, b = regs

        def body():
            self.emit(f"ld {a}, 0(s10)" if a != "zero" else "nop",
                      f"ld {b}, 8(s10)" if b != "zero" else "nop")
            text = instruction.format(d=d, a=a, b=b)
            self.emit(text)
            self.store(d, a)
            return text

        self.over_table(table or self.pairs, body, 2)

    def three(self):
        return self.rng.sample(FREE, 3)

    def integer(self):
        for op in R_OPS:
            d, a, b = self.three()
            for regs in ((d, a, b), (a, a, b), (b, a, b), (d, a, a), ("zero", a, b),
                         (d, "zero", b), (d, a, "zero")):
                self.compute(op + " {d}, {a}, {b}", *regs)
        for op in R1_OPS:
            d, a, b = self.three()
            for regs in ((d, a, b), (a, a, b), ("zero", a, b)):
                self.compute(op + " {d}, {a}", *regs)
        low_words = self.table([row for row in self.pairs[1] if row[0] & 0xFFFFFFFF])
        d, a, b = self.three()
        self.compute("ctzw {d}, {a}", d, a, b, table=low_words)
        for ops, values in ((I_OPS, (-2048, -1, 0, 1, 2047)), (SHIFT_OPS, (0, 1, 31, 32, 63)),
                            (SHIFTW_OPS, (0, 1, 16, 31))):
            for op in ops:
                for value in values + (self.rng.randint(min(values), max(values)),):
                    d, a, b = self.three()
                    if self.rng.randrange(4) == 0:
                        d = a
                    self.compute(op + " {d}, {a}, " + str(value), d, a, b)
        for value in range(11):
            self.compute(f"aes64ks1i {{d}}, {{a}}, {value}", *self.three())
        for op in SM4_OPS:
            for value in range(4):
                self.compute(f"{op} {{d}}, {{a}}, {{b}}, {value}", *self.three())
        for op in ("lui", "auipc"):
            for value in (0, 1, 0x7FFFF, 0x80000, 0xFFFFF, self.rng.getrandbits(20)):
                d = self.rng.choice(FREE)
                text = f"{op} {d}, {value:#x}"
                self.emit(text)
                self.store(d)
                self.group(1, lambda i, text=text: text)

    def compressed(self):
        rng = self.rng
        for op in ("sub", "xor", "or", "and", "subw", "addw"):
            d, b = rng.sample(COMPRESSED, 2)
            self.compute(f"c.{op} {{d}}, {{b}}", d, d, b)
        for op in ("mv", "add"):
            d, b = rng.sample(FREE, 2)
            self.compute(f"c.{op} {{d}}, {{b}}", d, d, b)
        for op, values in (("addi", (-32, -1, 1, 31)), ("addiw", (-32, -1, 0, 31)),
                           ("li", (-32, 0, 31)), ("slli", (1, 31, 32, 63)),
                           ("lui", (1, 31, 0xFFFE0, 0xFFFFF))):
            for value in values:
                d, b = rng.sample(FREE, 2)
                self.compute(f"c.{op} {{d}}, {value}", d, d, b)
        for op, values in (("srli", (1, 31, 32, 63)), ("srai", (1, 31, 32, 63)),
                           ("andi", (-32, -1, 0, 31))):
            for value in values:
                d, b = rng.sample(COMPRESSED, 2)
                self.compute(f"c.{op} {{d}}, {value}", d, d, b)
        # sp forms and loads and stores of x8..x15
        self.emit("mv s8, sp")
        for offset in (4, 8, 64, 1020):
            d = rng.choice(COMPRESSED)
            self.emit("li sp, 0x12345670", f"c.addi4spn {d}, sp, {offset}")
            self.store(d)
        for offset in (-512, -16, 16, 496):
            self.emit("li sp, 0x12345670", f"c.addi16sp sp, {offset}")
            self.store("sp")
        self.group(8, lambda i: f"c.addi4spn/c.addi16sp #{i}")
        for op, size, top in (("lw", 4, 124), ("ld", 8, 248)):
            for offset in (0, size, top):
                d, a, b = rng.sample(COMPRESSED, 3)
                self.emit(f"lla {a}, bytes", f"c.{op} {d}, {offset}({a})", f"lla {b}, scratch",
                          f"c.s{op[1]} {d}, {offset}({b})", f"ld {a}, {offset & ~7}({b})")
                self.store(d, a)
                self.group(2, lambda i, op=op, o=offset: f"c.{op}/c.s{op[1]} at {o}")
        for op, size, top in (("lw", 4, 252), ("ld", 8, 504)):
            for offset in (0, size, top):
                d = rng.choice(FREE)
                self.emit("lla sp, bytes", f"c.{op}sp {d}, {offset}(sp)", "lla sp, scratch",
                          f"c.s{op[1]}sp {d}, {offset}(sp)", f"ld s9, {offset & ~7}(sp)")
                self.store(d, "s9")
                self.group(2, lambda i, op=op, o=offset: f"c.{op}sp/c.s{op[1]}sp at {o}")
        self.emit("mv sp, s8")

    def memory(self):
        for op, size in LOADS.items():
            for _ in range(12):
                d, a, _ = self.three()
                if self.rng.randrange(4) == 0:
                    d = a
                offset = self.rng.randint(-2048, 2047)
                # bytes_page is a page boundary inside the random bytes.
                at = self.rng.choice([0, -1, -2, -3, -4, -7, -8, self.rng.randint(-1900, 1900)])
                text = f"{op} {d}, {offset}({a})  # bytes_page{at:+d}"
                self.emit(f"lla {a}, bytes_page + ({at - offset})", text)
                self.store(d)
                self.group(1, lambda i, text=text: text)
        for op, size in STORES.items():
            for _ in range(12):
                b, a, c = self.three()
                offset = self.rng.randint(-2048, 2047)
                at = self.rng.choice([0, -1, -2, -3, -4, -7, -8, self.rng.randint(-1900, 1900)])
                text = f"{op} {b}, {offset}({a})  # scratch_page{at:+d}"
                self.emit(f"lla {c}, scratch_page + {at & ~7}", f"sd zero, 0({c})",
                          f"sd zero, 8({c})", f"li {b}, {self.word():#x}",
                          f"lla {a}, scratch_page + ({at - offset})", text,
                          f"ld {a}, 0({c})", f"ld {b}, 8({c})")
                self.store(a, b)
                self.group(2, lambda i, text=text: text)
        for text in ("fence", "fence rw, w", "fence.tso", "fence.i", "pause", "fence w, r"):
            self.emit(text)

    def atomics(self):
        for width in ("w", "d"):
            for name in AMOS:
                for variant in range(3):
                    d, a, b = self.three()
                    d = (d, b, "zero")[variant]
                    order = self.rng.choice(["", ".aq", ".rl", ".aqrl"])
                    where = self.rng.choice([0, 4]) if width == "w" else 0
                    op = f"amo{name}.{width}{order} {d}, {b}, ({a})"

                    def body(d=d, a=a, b=b, op=op, where=where):
                        self.emit(f"ld {b}, 0(s10)", f"lla {a}, scratch", f"sd {b}, 0({a})",
                                  f"ld {b}, 8(s10)", f"addi {a}, {a}, {where}", op,
                                  f"ld s8, -{where}({a})")
                        self.store(d, "s8")
                        return op

                    self.over_table(self.pairs, body, 2)
            d, a, b = self.three()
            lr, sc = f"lr.{width} {d}, ({a})", f"sc.{width} {d}, {b}, ({a})"

            def body(d=d, a=a, b=b, lr=lr, sc=sc):
                self.emit(f"ld {b}, 0(s10)", f"lla {a}, scratch", f"sd {b}, 0({a})",
                          f"ld {b}, 8(s10)")
                # a success; one without a reservation; one at another address; x0 as rd
                for lines in ([lr], [sc], [sc], [lr, f"addi {a}, {a}, 64", sc, f"addi {a}, {a}, -64"],
                              [sc], [lr, sc.replace(d, "zero", 1)], [sc]):
                    self.emit(*lines, f"ld s8, 0({a})")
                    self.store(d, "s8")
                return f"{lr}; {sc}"

            self.over_table(self.pairs, body, 14)

    def control_flow(self):
        for op in BRANCHES:
            for _ in range(2):
                _, a, b = self.three()

                def body(op=op, a=a, b=b):
                    taken, done, back = self.label(), self.label(), self.label()
                    self.emit(f"ld {a}, 0(s10)", f"ld {b}, 8(s10)", "li s8, 1", f"j {taken}_over",
                              f"{back}:", "addi s8, s8, 10", f"j {done}", f"{taken}_over:",
                              f"{op} {a}, {b}, {back}", "addi s8, s8, 100", f"{done}:",
                              f"{op} {b}, {a}, {taken}", "addi s8, s8, 1000", f"{taken}:")
                    self.store("s8")
                    return f"{op} {a}, {b}"

                self.over_table(self.pairs, body, 1)
        for form in ("jal {d}, {to}", "jalr {d}, {i}({d})", "jalr {d}, {i}({a})", "c.jalr {a}",
                     "c.jr {a}", "c.j {to}", "c.beqz s0, {to}", "c.bnez s0, {to}"):
            for _ in range(8):
                self.jump(form)

    def jump(self, form):
        d, a = self.rng.sample([r for r in FREE if r not in ("s0", "ra")], 2)
        to = self.label()
        displacement = self.rng.randint(-2047, 2046) if "{i}" in form else 0
        odd = self.rng.randint(0, 1)  # jalr clears bit 0
        line = form.format(d=d, a=a, to=to, i=displacement)
        self.emit(f"lla {d}, {to} + ({odd - displacement})", f"mv {a}, {d}", "li s8, 0",
                  f"li s0, {self.rng.randint(0, 1)}", line)
        self.emit(*["addi s8, s8, 1"] * self.rng.randint(0, 5), f"{to}:")
        self.store(d, "ra", "s8")
        self.group(3, lambda i: line)

    def mixed(self, count):
        """A random walk over most registers with forward branches; all registers are results."""
        for register in FREE:
            self.emit(f"li {register}, {self.word():#x}")
        pick = lambda: self.rng.choice(FREE + ["zero"])
        for _ in range(count):
            kind = self.rng.randrange(10)
            d, a, b = pick(), pick(), pick()
            if kind < 4:
                self.emit(f"{self.rng.choice(R_OPS)} {d}, {a}, {b}")
            elif kind < 6:
                self.emit(f"{self.rng.choice(I_OPS)} {d}, {a}, {self.rng.randint(-2048, 2047)}")
            elif kind == 6:
                self.emit(f"{self.rng.choice(SHIFT_OPS)} {d}, {a}, {self.rng.randint(0, 63)}")
            elif kind == 7:
                self.emit(f"{self.rng.choice(SHIFTW_OPS)} {d}, {a}, {self.rng.randint(0, 31)}")
            elif kind == 8:
                self.emit(f"{self.rng.choice(R1_OPS)} {d}, {a}")
            else:
                to = self.label()
                self.emit(f"{self.rng.choice(BRANCHES)} {a}, {b}, {to}")
                for _ in range(self.rng.randint(0, 6)):
                    self.emit(f"{self.rng.choice(R_OPS)} {pick()}, {pick()}, {pick()}")
                self.emit(f"{to}:")
        self.store(*FREE)
        number = len(self.groups)
        self.group(len(FREE), lambda i: f"register {FREE[i]} after mixed program {number}")

    def source(self):
        noise = bytes(self.rng.getrandbits(8) for _ in range(8192))
        return "\n".join(
            [".option norelax", ".globl _start", "_start:", "lla s11, results", *self.text,
             "lla a1, results", "sub a2, s11, a1", "li a0, 1", "li a7, 64", "ecall",
             "li a0, 0", "li a7, 93", "ecall",
             ".data", ".balign 8", *self.data,
             ".balign 4096", "bytes:", ".byte " + ",".join(map(str, noise[:4096])),
             "bytes_page:", ".byte " + ",".join(map(str, noise[4096:])),
             ".bss", ".balign 4096", "scratch:", ".skip 4096", "scratch_page:", ".skip 4096",
             "results:", f".skip {8 * sum(count for count, _ in self.groups) + 64}", ""])


def integer_program(seed):
    program = Program(seed)
    program.integer()
    program.compressed()
    program.memory()
    program.atomics()
    program.control_flow()
    return program


def mixed_program(seed):
    program = Program(seed)
    for _ in range(40):
        program.mixed(program.rng.randint(20, 300))
    return program
