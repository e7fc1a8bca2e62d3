#!/usr/bin/env python3
"""Runs a program of the newest extensions on QEMU's virt board and on ours, compares results.

usage: system_diff.py HARTVISOR [--compiler CC] [--qemu QEMU] [--seed N]

QEMU is the environment's HV_QEMU unless given, else qemu-system-riscv64. Exit status 77 (skipped):
the cross compiler or QEMU is missing, or QEMU is older than 10, the first that has them all.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from isa_diff import differences
from newer_programs import newer_program
from oracle_tools import SKIP, recent, usable

LIMIT_S = 100
OLDEST_QEMU = 10
MARCH = "rv64imafdc_zicsr_zifencei_zba_zbb"

# The environment of a program of programs.py: its two system calls, by a trap to machine mode's
# handler, which writes to the serial port and ends by the test finisher. It comes first: QEMU without
# firmware starts where RAM begins.
HANDLER = """.option norelax
.globl _machine
_machine:
  lla t0, trap
  csrw mtvec, t0
  j _start
.balign 4
trap:
  csrr t0, mcause
  li t1, 11
  bne t0, t1, 3f
  li t0, 64
  bne a7, t0, 2f
  li t2, 0x10000000
1: lbu t1, 5(t2)
  andi t1, t1, 0x20
  beqz t1, 1b
  lbu t1, 0(a1)
  sb t1, 0(t2)
  addi a1, a1, 1
  addi a2, a2, -1
  bnez a2, 1b
  csrr t0, mepc
  addi t0, t0, 4
  csrw mepc, t0
  mret
2: li t0, 0x100000
  li t1, 0x5555
  sw t1, 0(t0)
  j 2b
3: li t0, 0x100000
  li t1, 0x13333
  sw t1, 0(t0)
  j 3b
"""


def build(program, folder, compiler):
    source, binary = folder / "program.s", folder / "program"
    source.write_text(HANDLER + program.source())
    subprocess.run([compiler, "-nostdlib", "-static", f"-march={MARCH}", "-mabi=lp64d",
                    "-Wl,-Ttext=0x80000000", "-Wl,-N", "-Wl,--no-relax", "-Wl,--build-id=none",
                    "-Wl,-e,_machine", "-Wl,--no-warn-rwx-segments", "-o", binary, source], check=True)
    return binary


def run(emulator, binary, *more):
    done = subprocess.run([emulator, "-M", "virt", "-cpu", "max", "-bios", "none", "-kernel",
                           binary, "-display", "none", "-monitor", "none", "-serial", "stdio", *more],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
    if done.returncode != 0:
        sys.exit(f"{emulator}: exit status {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hartvisor")
    parser.add_argument("--accel", default="jit", help="hartvisor's")
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--qemu", default=os.environ.get("HV_QEMU", "qemu-system-riscv64"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    if not (usable(options.compiler, options.qemu) and recent(options.qemu, OLDEST_QEMU)):
        return SKIP

    print(f"seed {options.seed}")
    program = newer_program(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        binary = build(program, pathlib.Path(folder), options.compiler)
        ours = run(options.hartvisor, binary, "-accel", options.accel)
        found = differences(program, run(options.qemu, binary), ours)
    total = sum(count for count, _ in program.groups)
    print(f"{total} results, " + ("DIFFERENT" if found else "same"))
    for line in found:
        print("  " + line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
