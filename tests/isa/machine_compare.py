#!/usr/bin/env python3
"""Runs the programs of tests/isa/machine on QEMU's virt board and on ours and compares what they print.

usage: machine_compare.py HARTVISOR [--accel NAME] [--compiler CC] [--qemu QEMU] [PROGRAM...]

A program's lines "// cpu: MODEL,PROPERTIES" say with which processors it is run. QEMU is the
environment's HV_QEMU unless given, else qemu-system-riscv64; properties that an older one does not
have are a reason to leave that run out. Exit status 77 (skipped): a tool is missing, or QEMU knows
none of the processors.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from oracle_tools import SKIP, usable

LIMIT_S = 60
HERE = pathlib.Path(__file__).resolve().parent / "machine"
# What QEMU has on and we do not implement.
QEMU_ONLY = ",h=off,v=off"


def build(folder, compiler, source):
    program = folder / source.stem
    subprocess.run([compiler, "-nostdlib", "-static", "-march=rv64gc", "-mabi=lp64d",
                    "-Wl,-Ttext=0x80000000", "-Wl,-N", "-Wl,--build-id=none", f"-I{HERE}",
                    "-Wl,--no-warn-rwx-segments", "-o", program, source], check=True)
    return program


def run(emulator, cpu, program, *more):
    """The lines printed; None: the emulator does not know the processor."""
    done = subprocess.run([emulator, "-M", "virt", "-cpu", cpu, "-bios", "none", "-kernel", program,
                           "-display", "none", "-monitor", "none", "-serial", "stdio", *more],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
    if done.returncode != 0:
        text = done.stderr.decode()
        if "Property" in text and "not found" in text:
            return None
        sys.exit(f"{emulator} -cpu {cpu}: exit status {done.returncode}: {text}")
    return done.stdout.decode().split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hartvisor")
    parser.add_argument("--accel", default="jit", help="hartvisor's")
    parser.add_argument("programs", nargs="*")
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--qemu", default=os.environ.get("HV_QEMU", "qemu-system-riscv64"))
    options = parser.parse_args()
    if not usable(options.compiler, options.qemu):
        return SKIP

    sources = [HERE / name for name in options.programs] or sorted(HERE.glob("*.S"))
    compared = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            program = build(pathlib.Path(folder), options.compiler, source)
            for cpu in re.findall(r"^// cpu: (\S+)$", source.read_text(), re.M):
                expected = run(options.qemu, cpu + QEMU_ONLY, program)
                if expected is None:
                    print(f"{source.name} {cpu}: not known to this QEMU")
                    continue
                actual = run(options.hartvisor, cpu, program, "-accel", options.accel)
                compared += 1
                if actual == expected and expected:
                    print(f"{source.name} {cpu}: {len(expected)} lines, same")
                    continue
                failed += 1
                print(f"{source.name} {cpu}: DIFFERENT: {len(expected)} and {len(actual)} lines")
                pairs = enumerate(zip(expected, actual))
                for i, (want, got) in [pair for pair in pairs if pair[1][0] != pair[1][1]][:20]:
                    print(f"  line {i}: expected {want}, got {got}")
    if failed:
        return 1
    return 0 if compared else SKIP


if __name__ == "__main__":
    sys.exit(main())
