#!/usr/bin/env python3
"""Compares which CSRs exist, and what they keep of patterns written to them, with QEMU's virt board.

usage: csr_compare.py HARTVISOR [--compiler CC] [--qemu QEMU]

QEMU is the environment's HV_QEMU unless given, else qemu-system-riscv64.
Exit status 77 (skipped): the cross compiler or QEMU is missing, or QEMU is older than 10, the
version that is followed (7.2 keeps a reserved MPP and a counter-inhibit bit for time).
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from oracle_tools import SKIP, recent, usable

LIMIT_S = 100
OLDEST_QEMU = 10
ONES = (1 << 64) - 1
CPU = "rv64,sscofpmf=on,smstateen=on,smepmp=on,svade=on"
QEMU_CPU = CPU + ",h=off,v=off,sstc=on,svpbmt=on"

COMMON = [0, ONES, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA, *(1 << bit for bit in range(64))]
SPECIAL = {
    # Reserved trap modes and privileges next to legal ones.
    "vector": [0x80001230 | mode for mode in range(4)],
    "mpp": [mpp << 11 for mpp in range(4)],
    # Each mode with an address space and a root table.
    "satp": [mode << 60 | 0x1234 << 44 | 0x80123 for mode in range(16)],
    # Unlocked, and no entry writable without being readable.
    "pmpcfg": [(mode << 3 | access) << shift for mode in range(4) for access in (0, 1, 3, 4, 5, 7)
               for shift in (8, 56)],
}

# Number, patterns, and the bits to compare. Not compared: what belongs to extensions that only QEMU
# has; UXL and SXL, which are writable there; bit 0 of *epc, which only ours clears as the
# specification asks; pmpaddr above physical address bit 55; CBIE, whose reserved value QEMU keeps;
# mie.LCOFIE, which QEMU 10.0 does not let be set.
EVENTS = [0, 1, 2, 0x10019, 0x1001B, 0x10021, 0x12345]
MHPMEVENT = 0xF << 60 | (1 << 58) - 1
MSTATUS = 0x8000000000000000 | 0x7E79AA
SSTATUS = 0x8000000000000000 | 0xC6122
CSRS = {
    "fflags": (0x001, COMMON, ONES),
    "frm": (0x002, COMMON, ONES),
    "fcsr": (0x003, COMMON, ONES),
    "sstatus": (0x100, COMMON, SSTATUS),
    "sie": (0x104, COMMON, 0x2222),
    "stvec": (0x105, COMMON + SPECIAL["vector"], ONES),
    "scounteren": (0x106, COMMON, ONES),
    "senvcfg": (0x10A, COMMON, 0xC1),
    "sscratch": (0x140, COMMON, ONES),
    "sepc": (0x141, COMMON, ONES - 1),
    "scause": (0x142, COMMON, ONES),
    "stval": (0x143, COMMON, ONES),
    "sip": (0x144, COMMON, 0x2222),
    "stimecmp": (0x14D, COMMON, ONES),
    "satp": (0x180, COMMON + SPECIAL["satp"], ONES),
    "mstatus": (0x300, COMMON + SPECIAL["mpp"], MSTATUS),
    "misa": (0x301, COMMON, 0xC000000000000000 | 0x14112D),
    "medeleg": (0x302, COMMON, 0xB3FF),
    "mideleg": (0x303, COMMON, 0x2AAA),
    "mie": (0x304, COMMON, 0xAAA),
    "mtvec": (0x305, COMMON + SPECIAL["vector"], ONES),
    "mcounteren": (0x306, COMMON, ONES),
    "menvcfg": (0x30A, COMMON, 7 << 61 | 0xC1),
    "mcountinhibit": (0x320, COMMON, ONES),
    "mhpmevent3": (0x323, [*EVENTS, *(event << 60 for event in range(16))], MHPMEVENT),
    "mhpmevent18": (0x332, EVENTS, MHPMEVENT),
    "mstateen0": (0x30C, COMMON, 3 << 62),
    "mstateen1": (0x30D, COMMON, ONES),
    "mstateen3": (0x30F, COMMON, ONES),
    "sstateen0": (0x10C, COMMON, (1 << 32) - 1),
    "mseccfg": (0x747, [0, 4, 4, 0, ~7 & ONES], 7),
    "mscratch": (0x340, COMMON, ONES),
    "mepc": (0x341, COMMON, ONES - 1),
    "mcause": (0x342, COMMON, ONES),
    "mtval": (0x343, COMMON, ONES),
    "mip": (0x344, COMMON, 0x2A2A),
    "pmpcfg0": (0x3A0, SPECIAL["pmpcfg"], ONES),
    "pmpcfg2": (0x3A2, SPECIAL["pmpcfg"], ONES),
    "pmpaddr0": (0x3B0, COMMON, (1 << 54) - 1),
    "pmpaddr15": (0x3BF, COMMON, (1 << 54) - 1),
    "mconfigptr": (0xF15, [0], ONES),
}

# The upper halves of mstateen, which only RV32 should have. Debug triggers beyond tdata3, and performance counters, of which each side has its own number.
OPTIONAL = {*range(0x31C, 0x320), *range(0x7A4, 0x7B0), *range(0x321, 0x340), *range(0xB03, 0xB20), *range(0xC03, 0xC20),
            *range(0x721, 0x740), 0xDA0}


def build(folder, compiler):
    rows = [(name, pattern) for name, (_, patterns, _) in CSRS.items() for pattern in patterns]
    lines = [f".dword {CSRS[name][0]:#x}, {pattern:#x}" for name, pattern in rows]
    (folder / "rows.inc").write_text("\n".join(lines) + "\n")
    program = folder / "csr_probe"
    subprocess.run([compiler, "-nostdlib", "-static", "-march=rv64gc", "-mabi=lp64d",
                    "-Wl,-Ttext=0x80000000", "-Wl,-N",
                    "-Wl,--build-id=none", f"-Wa,-I,{folder}", "-o", program,
                    pathlib.Path(__file__).with_name("csr_probe.S")], check=True)
    return rows, program


def run(emulator, cpu, program, count, *more):
    """The sweep's characters and the values read back."""
    done = subprocess.run([emulator, "-M", "virt", "-cpu", cpu, "-bios", "none", "-kernel", program,
                           "-display", "none", "-monitor", "none", "-serial", "stdio", *more],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
    if done.returncode != 0:
        sys.exit(f"{emulator}: exit status {done.returncode}: {done.stderr.decode()}")
    sweep, *values = done.stdout.decode().split()
    if len(sweep) != 4096 or len(values) != count:
        sys.exit(f"{emulator}: printed {len(sweep)} characters and {len(values)} of {count} values")
    return sweep, [int(value, 16) for value in values]


def compare(rows, expected, actual):
    found = []
    for number, (want, got) in enumerate(zip(expected[0], actual[0])):
        if want != got and number not in OPTIONAL:
            found.append(f"{number:#05x}: expected {want}, got {got}")
    for (name, pattern), want, got in zip(rows, expected[1], actual[1]):
        mask = CSRS[name][2]
        if (want ^ got) & mask:
            found.append(f"{name} = {pattern:#018x}: expected {want & mask:#018x}, "
                         f"got {got & mask:#018x}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hartvisor")
    parser.add_argument("--accel", default="jit", help="hartvisor's")
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--qemu", default=os.environ.get("HV_QEMU", "qemu-system-riscv64"))
    options = parser.parse_args()
    if not (usable(options.compiler, options.qemu) and recent(options.qemu, OLDEST_QEMU)):
        return SKIP

    with tempfile.TemporaryDirectory() as folder:
        rows, program = build(pathlib.Path(folder), options.compiler)
        expected = run(options.qemu, QEMU_CPU, program, len(rows))
        actual = run(options.hartvisor, CPU, program, len(rows), "-accel", options.accel)
    found = compare(rows, expected, actual)
    print(f"{len(rows)} patterns in {len(CSRS)} registers: " + ("DIFFERENT" if found else "same"))
    for line in found[:40]:
        print("  " + line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
