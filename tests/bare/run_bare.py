#!/usr/bin/env python3
"""Builds a bare-metal program and runs it on four harts; it passes when its last line is PASS.

usage: run_bare.py EMULATOR SOURCE... [--define NAME=VALUE]... [--seconds N] [--firmware FILE]
                   [--accel NAME] [--smp N] [--disk KIB]

The program's output is printed. Any emulator with QEMU's command line will do.
Environment: HV_TIME_SCALE, a factor for the time limit, which only ends a program that hangs;
HV_BARE_SCALE, a factor for the length of programs that have one (BATCHES, ROUNDS).
Exit status 77 (skipped): the cross compiler is missing.
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MARCH = "rv64imafdc_zicsr_zifencei"
SKIP = 77


def build_bare(compiler, output, *sources, defines=(), supervisor=False):
    """Links a program for the virt board; see bare.h."""
    base = 0x80200000 if supervisor else 0x80000000
    if supervisor:
        defines = ["SUPERVISOR", *defines]
    subprocess.run([compiler, "-O1", f"-march={MARCH}", "-mabi=lp64d", "-mcmodel=medany", "-ffreestanding",
                    "-fno-builtin", "-fno-pic", "-no-pie", "-fno-stack-protector", "-nostdlib", "-static",
                    "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", "-Wl,--no-relax",
                    "-Wl,--no-warn-rwx-segments", f"-Wl,--defsym=bare_base={base}",
                    f"-Wl,-T,{HERE / 'bare.ld'}",
                    *(f"-D{define}" for define in defines), "-o", output,
                    HERE / "start.S", HERE / "bare.c", *sources], check=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("emulator")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--define", action="append", default=[])
    parser.add_argument("--smp", type=int, help="harts (4; with --firmware 1); the program's SMP")
    parser.add_argument("--firmware", help="run it in S-mode; `default` is the emulator's own")
    parser.add_argument("--disk", type=int, metavar="KIB", help="give it an empty virtio disk")
    parser.add_argument("--accel", help="the emulator's -accel")
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    if not shutil.which(options.compiler):
        print(f"{options.compiler} is missing", file=sys.stderr)
        return SKIP
    scale = int(os.environ.get("HV_BARE_SCALE", "1"))
    supervisor = options.firmware is not None
    smp = options.smp or (1 if supervisor else 4)
    defines = [f"SEED={options.seed}", f"SMP={smp}"]
    for define in options.define:
        name, value = define.split("=")
        defines.append(f"{name}={int(value) * scale}")
    limit = options.seconds * scale * float(os.environ.get("HV_TIME_SCALE", "1"))
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "program"
        build_bare(options.compiler, program, *options.sources, defines=defines, supervisor=supervisor)
        line = [options.emulator, "-M", "virt", "-smp", str(smp), "-m", "64", "-bios", options.firmware or "none",
                "-kernel", program, "-display", "none", "-monitor", "none", "-serial", "stdio"]  # fmt: skip
        if options.disk:
            disk = pathlib.Path(folder) / "disk"
            disk.write_bytes(bytes(options.disk << 10))
            line += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe",
                     "-device", "virtio-blk-device,drive=disk",
                     "-global", "virtio-mmio.force-legacy=off"]  # fmt: skip
        if options.accel:
            line += ["-accel", options.accel]
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired as hang:
            print((hang.stdout or b"").decode(errors="replace"))
            print(f"hangs: no end after {limit:.0f} s")
            return 1
    text = done.stdout.decode(errors="replace")
    print(text + done.stderr.decode(errors="replace"))
    if done.returncode != 0:
        print(f"exit status {done.returncode}")
    return 0 if done.returncode == 0 and text.rstrip().endswith("PASS") else 1


if __name__ == "__main__":
    sys.exit(main())
