#!/usr/bin/env python3
"""Compares floating point with QEMU's: builds fp_oracle.c for RISC-V, runs it under qemu-riscv64
and gives its results to fp_compare.

usage: run_fp_oracle.py FP_COMPARE [--record]
--record prints a sample of the results as tests/unit/cpu/fp_expected.inc.
Exit status 77 (skipped) when the cross compiler or qemu-riscv64 is missing.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile


# Zfh under its name before ratification.
CPU = "rv64,Zfh=true"


def find(*names):
    return next(filter(None, map(shutil.which, names)), None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fp_compare")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    compiler = find("riscv64-linux-gnu-gcc", "riscv64-unknown-linux-gnu-gcc",
                    "riscv64-unknown-elf-gcc")
    emulator = find("qemu-riscv64", "qemu-riscv64-static")
    if compiler is None or emulator is None:
        print("no cross compiler or no qemu-riscv64")
        return 77

    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fp_oracle.c")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "fp_oracle")
        results = os.path.join(directory, "results")
        subprocess.run([compiler, "-O1", "-march=rv64gc_zfh", "-mabi=lp64d", "-ffreestanding",
                        "-fno-builtin", "-fno-stack-protector", "-nostdlib", "-static",
                        "-o", program, source], check=True)
        with open(results, "wb") as output:
            subprocess.run([emulator, "-cpu", CPU, program], stdout=output, check=True)
        command = [options.fp_compare, results] + (["--record"] if options.record else [])
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
