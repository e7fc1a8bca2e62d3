#!/usr/bin/env python3
"""Runs generated programs under qemu-riscv64 and under an engine of hartvisor, compares results.

usage: isa_diff.py --runner RUN_ELF [--compiler CC] [--qemu QEMU] [--seed N] [--keep DIR]

The oracle is QEMU's user-mode emulation of the same binary. Exit status 77: a tool is missing.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

from float_programs import float_program
from oracle_tools import SKIP, usable
from programs import integer_program, mixed_program

SWITCHES = "zba zbb zbc zbkb zbkc zbkx zbs zknd zkne zknh zksed zksh".split()
MARCH = "_".join(["rv64imafdc_zicsr_zifencei_zihintpause_zfh", *SWITCHES])
# Zfh under its name before ratification.
CPU = ",".join(["rv64", "Zfh=true", *(f"{name}=true" for name in SWITCHES)])


def differences(program, expected, actual):
    """Text for each of the first differences between the two result buffers."""
    found = []
    index = 0
    for count, describe in program.groups:
        for i in range(count):
            at = 8 * index
            want, got = expected[at:at + 8], actual[at:at + 8]
            if want != got:
                found.append(f"result {index}: {describe(i)}: expected "
                             f"0x{want[::-1].hex()}, got 0x{got[::-1].hex()}")
                if len(found) == 10:
                    return found
            index += 1
    if len(expected) != 8 * index:
        found.append(f"the oracle wrote {len(expected)} bytes, the program has {8 * index}")
    if len(actual) != len(expected):
        found.append(f"the engine wrote {len(actual)} bytes, the oracle {len(expected)}")
    return found


def run_one(name, program, options, folder, march):
    source, binary = folder / f"{name}.s", folder / name
    source.write_text(program.source())
    subprocess.run([options.compiler, "-nostdlib", "-static", f"-march={march}", "-mabi=lp64d",
                    "-Wl,-Ttext=0x80000000", "-Wl,--no-relax", "-Wl,--build-id=none",
                    "-o", binary, source], check=True)
    oracle = subprocess.run([options.qemu, "-cpu", CPU, binary], capture_output=True, check=True)
    engine = subprocess.run([options.runner, binary], capture_output=True)
    if engine.returncode != 0:
        print(engine.stderr.decode(errors="replace"), file=sys.stderr)
        return [f"the engine's exit status is {engine.returncode}"]
    return differences(program, oracle.stdout, engine.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", required=True)
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--qemu", default="qemu-riscv64")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--keep", help="folder for the programs")
    options = parser.parse_args()
    if not usable(options.compiler, options.qemu):
        return SKIP

    print(f"seed {options.seed}")
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        plain = MARCH.replace("c_", "_", 1)
        for name, make, march in (("integer", integer_program, MARCH),
                                  ("mixed", mixed_program, plain),
                                  ("mixed-compressed", mixed_program, MARCH),
                                  ("float", float_program, MARCH)):
            program = make(options.seed)
            found = run_one(name, program, options, folder, march)
            total = sum(count for count, _ in program.groups)
            print(f"{name}: {total} results, " + ("DIFFERENT" if found else "same"))
            for line in found:
                print("  " + line)
            failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
