"""Test programs for extensions that binutils 2.40 and QEMU 7.2 lack: words written by hand."""

from programs import COMPRESSED, FREE, Program

NUMBERS = {name: number for number, name in enumerate(
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
    "t3 t4 t5 t6".split())}

# Zcb with a register as only operand: funct3 of 100 111 ddd 11 fff 01.
C_UNARY = {"c.zext.b": 0, "c.sext.b": 1, "c.zext.h": 2, "c.sext.h": 3, "c.zext.w": 4, "c.not": 5}
# Zcb loads and stores: bits 12:10 and the offset's place.
C_BYTES = {"c.lbu": 0, "c.sb": 2}
C_HALVES = {"c.lhu": (1, 0), "c.lh": (1, 1), "c.sh": (3, 0)}


def small(register):
    return NUMBERS[register] - 8


class NewerProgram(Program):
    def zicond(self):
        for funct3 in (5, 7):
            for _ in range(4):
                d, a, b = self.three()
                for regs in ((d, a, b), (a, a, b), (b, a, b), (d, a, a), ("zero", a, b),
                             (d, "zero", b), (d, a, "zero")):
                    self.compute(f".insn r 0x33, {funct3}, 7, {{d}}, {{a}}, {{b}}", *regs)

    def zimop(self):
        for n in range(32):
            imm = 0x81C | (n >> 4) << 10 | (n >> 2 & 3) << 6 | n & 3
            imm -= 4096
            self.compute(f".insn i 0x73, 4, {{d}}, {{a}}, {imm}", *self.three())
        for n in range(8):
            funct7 = 0x41 | (n >> 2) << 5 | (n & 3) << 1
            for regs in (self.three(), (*self.rng.sample(FREE, 2), "zero")):
                self.compute(f".insn r 0x73, 4, {funct7}, {{d}}, {{a}}, {{b}}", *regs)

    def zcmop(self):
        for n in range(1, 16, 2):
            self.emit(*(f"li {register}, {self.word():#x}" for register in FREE))
            self.emit(f".2byte {0x6001 | n << 7:#x}")
            self.store(*FREE)
            self.group(len(FREE), lambda i, n=n: f"register {FREE[i]} after c.mop.{n}")

    def zcb(self):
        for name, funct in C_UNARY.items():
            for _ in range(3):
                d, b = self.rng.sample(COMPRESSED, 2)
                word = 0x9C61 | small(d) << 7 | funct << 2
                self.compute(f".2byte {word:#x}  # {name} {{d}}", d, d, b)
        for _ in range(4):
            d, b = self.rng.sample(COMPRESSED, 2)
            word = 0x9C41 | small(d) << 7 | small(b) << 2
            self.compute(f".2byte {word:#x}  # c.mul {{d}}, {{b}}", d, d, b)
        for name, funct in C_BYTES.items():
            for offset in range(4):
                self.access(name, funct << 10 | (offset & 1) << 6 | (offset & 2) << 4, offset)
        for name, (funct, bit) in C_HALVES.items():
            for offset in (0, 2):
                self.access(name, funct << 10 | bit << 6 | offset << 4, offset)

    def access(self, name, bits, offset):
        for at in (0, 1, 4, 6, 7):
            d, a = self.rng.sample(COMPRESSED, 2)
            word = 0x8000 | bits | small(a) << 7 | small(d) << 2
            text = f".2byte {word:#x}  # {name} {d}, {offset}({a}), at {at}"
            if name.startswith("c.l"):
                self.emit(f"lla {a}, bytes + {at + self.rng.randrange(0, 2048, 8)}", text)
                self.store(d)
                self.group(1, lambda i, text=text: text)
            else:
                self.emit("lla s9, scratch", "sd zero, 0(s9)", "sd zero, 8(s9)",
                          f"li {d}, {self.word():#x}", f"addi {a}, s9, {at}", text,
                          "ld t0, 0(s9)", "ld t1, 8(s9)")
                self.store("t0", "t1")
                self.group(2, lambda i, text=text: text)

    def hints(self):
        """Nothing but rd = x0 may change; these are add, ori and c.add with rd = x0."""
        self.emit(*(f"li {register}, {self.word():#x}" for register in FREE))
        for operation in (0, 1, 3):
            for register in ("a0", "t6", "zero"):
                self.emit(f".insn i 0x13, 6, x0, {register}, {operation + 32 * 5}")
        for register in range(2, 6):
            self.emit(f".insn r 0x33, 0, 0, x0, x0, x{register}", f".2byte {0x9002 | register << 2}")
        self.store(*FREE)
        self.group(len(FREE), lambda i: f"register {FREE[i]} after hints")


def newer_program(seed):
    program = NewerProgram(seed)
    program.zicond()
    program.zimop()
    program.zcmop()
    program.zcb()
    program.hints()
    return program
