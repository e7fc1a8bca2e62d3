#!/usr/bin/env python3
"""Compares floating point with QEMU's: builds fp_oracle.c for RISC-V, runs it and gives its results
to fp_compare.

usage: run_fp_oracle.py FP_COMPARE [--record]
       run_fp_oracle.py FP_COMPARE --zfa (--board EMULATOR | --runner RUN_ELF) [--record]

Without --zfa the oracle is qemu-riscv64. With --zfa it is a qemu-system-riscv64 that has Zfa (9.0
or later); or RUN_ELF, which shows that instructions do what the functions do.
--record prints a sample of the results as rows of tests/unit/cpu/fp_expected.inc.
Exit status 77 (skipped) when a tool is missing.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

# Zfh under its name before ratification.
USER_CPU = "rv64,Zfh=true"
BOARD_CPU = "rv64,zfh=on,zfa=on"


def find(*names):
    return next(filter(None, map(shutil.which, names)), None)


def build(compiler, program, *options):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fp_oracle.c")
    subprocess.run([compiler, "-O1", "-march=rv64gc_zfh", "-mabi=lp64d", "-mcmodel=medany",
                    "-ffreestanding", "-fno-builtin", "-fno-stack-protector",
                    "-fno-toplevel-reorder", "-nostdlib", "-static", "-Wl,--build-id=none",
                    *options, "-o", program, source], check=True)


def run(options, compiler, directory, results):
    """Runs the program; False: there is no oracle."""
    program = os.path.join(directory, "fp_oracle")
    if options.board:
        build(compiler, program, "-DFP_ZFA", "-DFP_BARE", "-Wl,--section-start=.entry=0x80000000",
              "-Wl,-Ttext=0x80001000")
        command = [options.board, "-M", "virt", "-cpu", BOARD_CPU, "-bios", "none", "-display",
                   "none", "-monitor", "none", "-serial", f"file:{results}", "-kernel", program]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if "Property" in done.stderr:
            print(done.stderr, end="")
            return False
        done.check_returncode()
        return True
    if options.runner:
        build(compiler, program, "-DFP_ZFA", "-Wl,-Ttext=0x80000000")
        command = [options.runner, program]
    else:
        emulator = find("qemu-riscv64", "qemu-riscv64-static")
        if emulator is None:
            print("no qemu-riscv64")
            return False
        build(compiler, program)
        command = [emulator, "-cpu", USER_CPU, program]
    with open(results, "wb") as output:
        subprocess.run(command, stdout=output, check=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fp_compare")
    parser.add_argument("--zfa", action="store_true")
    parser.add_argument("--board")
    parser.add_argument("--runner")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.zfa != bool(options.board or options.runner):
        parser.error("--zfa goes with --board or --runner")
    compiler = find("riscv64-linux-gnu-gcc", "riscv64-unknown-linux-gnu-gcc",
                    "riscv64-unknown-elf-gcc")
    if compiler is None:
        print("no cross compiler")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        results = os.path.join(directory, "results")
        if not run(options, compiler, directory, results):
            return 77
        flags = [f"--{name}" for name in ("zfa", "record") if getattr(options, name)]
        return subprocess.run([options.fp_compare, results, *flags], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
