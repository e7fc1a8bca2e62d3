#!/usr/bin/env python3
"""Measures the execution engine on bare guest programs and prints MIPS; not a test of time.

usage: cpu_bench.py --runner RUN_ELF [--rounds N]

Fails only when a checksum differs from that of qemu-riscv64 (skipped when a tool is missing).
"""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

WORKLOADS = {1: "records and strings", 2: "sieve and CRC", 3: "sort", 4: "matrix (double)"}
COMPILER, QEMU = "riscv64-linux-gnu-gcc", "qemu-riscv64"
SKIP = 77


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for tool in (COMPILER, QEMU):
        if not shutil.which(tool):
            print(f"{tool} is missing", file=sys.stderr)
            return SKIP
    source = pathlib.Path(__file__).parent / "workload.c"
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for number, name in WORKLOADS.items():
            binary = f"{folder}/work{number}"
            subprocess.run([COMPILER, "-O2", "-nostdlib", "-static", "-ffreestanding", "-Wl,--no-relax",
                            f"-DWORK={number}", "-Wl,-Ttext=0x80000000", "-o", binary, source],
                           check=True)
            expected = subprocess.run([QEMU, binary], capture_output=True, check=True).stdout
            rates = []
            for _ in range(options.rounds):
                run = subprocess.run([options.runner, "--time", binary], capture_output=True,
                                     text=True)
                if run.stdout.encode() != expected:
                    print(f"{name}: wrong checksum {run.stdout!r}, expected {expected!r}")
                    failed = True
                    break
                rates.append(float(re.search(r"([\d.]+) MIPS", run.stderr).group(1)))
            if rates:
                print(f"{name:22} median {statistics.median(rates):7.1f} MIPS, "
                      f"best {max(rates):7.1f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
