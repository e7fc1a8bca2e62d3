#!/usr/bin/env python3
"""Differential fuzzing of the instruction set: random streams on hartvisor and on QEMU.

usage: run_streams.py MAKE_STREAM HARTVISOR [--accel NAME]... [--qemu QEMU] [--compiler CC] [--seed N]
                      [--streams N] [--instructions N] [--groups N] [--rounds N] [--seconds N]
                      [--keep DIR]

Each --accel is an engine of hartvisor; all of them run every stream. The comparison of the
interpreter, compiled code and QEMU, until so many instructions were the same on all of them:
  run_streams.py MAKE_STREAM HARTVISOR --instructions 50000000 --accel interp \
      --accel jit,threshold=0 --accel jit,threshold=1

make_stream writes programs from the rows of cpu/isa; harness.c runs each one round after round, in
S- or U-mode, with and without paging, and prints a hash of all registers, fcsr, memory and traps for
each round. The first stream that differs is cut down to the fewest groups of instructions and printed
with its first registers. Stream i of a run has seed N + i, so `--seed N+i --streams 1` repeats it.

Environment: HV_QEMU (qemu-system-riscv64), HV_STREAMS, HV_STREAM_SEED. QEMU 7.2 lacks many extensions:
set HV_QEMU to a later one for them. Exit status 77 (skipped): a tool is missing.
"""

import argparse
import itertools
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from streams import HERE, LIMIT_S, Emulator, Image, build_bare, cpu_options, qemu_version

SKIP = 77
# A stream cut down may loop for ever; what is looked for takes far less.
SHRINK_LIMIT_S = 3


def results(lines):
    """What must be the same: counts of instructions are not."""
    return [line for line in lines if not line.startswith("#") or line == "# hangs"]


def counts(lines):
    """Instructions and traps of a whole run, by its last line; None when it has none."""
    match = re.match(r"# instructions (\w+) traps (\w+)", lines[-1] if lines else "")
    return match and (int(match[1], 16), int(match[2], 16))


def alike(outputs):
    """QEMU counts instructions otherwise; our engines must agree on them too."""
    expected, *all_actual = outputs
    return (all(results(actual) == results(expected) for actual in all_actual)
            and len({counts(actual) for actual in all_actual}) == 1)  # fmt: skip


def same_lines(want, got):
    """Length of the common beginning."""
    same = 0
    while same < min(len(want), len(got)) and want[same] == got[same]:
        same += 1
    return same


class Fuzzer:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        extensions = subprocess.run([options.make_stream, "--extensions"], check=True, capture_output=True,
                                    text=True).stdout.split()  # fmt: skip
        ours, theirs, missing = cpu_options(options.qemu, extensions)
        self.version = qemu_version(options.qemu)
        self.cpu = ours
        self.emulators = [Emulator("QEMU", options.qemu, theirs),
                          *(Emulator(accel, options.hartvisor, ours, "-accel", accel)
                            for accel in options.accel)]  # fmt: skip
        self.pool = ThreadPoolExecutor(2)
        print(f"QEMU {self.version}; -cpu {ours}")
        if missing:
            print("unknown to this QEMU, so only tried as illegal instructions: " + ", ".join(missing))
        elf, flat = folder / "harness", folder / "harness.bin"
        build_bare(options.compiler, elf, HERE / "harness_entry.S", HERE / "harness.c")
        subprocess.run([re.sub("gcc$", "objcopy", options.compiler), "-O", "binary", elf, flat], check=True)
        self.harness = flat.read_bytes()

    def make(self, seed):
        blob, listing = self.folder / "blob", self.folder / "listing"
        subprocess.run([self.options.make_stream, str(seed), str(self.options.groups), self.cpu,
                        str(self.version), blob, listing], check=True)  # fmt: skip
        return Image(self.harness, blob.read_bytes(), listing.read_text())

    def outputs(self, image, first, last, groups=None, dump=False, limit=LIMIT_S):
        """What QEMU prints, and each of our engines."""
        program = self.folder / "program"
        image.write(program, first, last, groups, dump)
        return list(self.pool.map(lambda emulator: emulator.run(program, limit), self.emulators))

    def differs(self, image, first, last, groups=None):
        return not alike(self.outputs(image, first, last, groups, limit=SHRINK_LIMIT_S))

    def shrink(self, image, bad_round):
        """The first round to run and the fewest groups that still differ."""
        first = bad_round if self.differs(image, bad_round, bad_round + 1) else 0
        last = bad_round + 1
        groups = image.groups
        # All that follows the first difference can go at once; what is left is cut in pieces.
        low, high = 0, len(groups)
        while high - low > 1:
            middle = (low + high) // 2
            if self.differs(image, first, last, groups[:middle]):
                high = middle
            else:
                low = middle
        if self.differs(image, first, last, groups[:high]):
            groups = groups[:high]
        size = max(len(groups) // 2, 1)
        limit = time.monotonic() + self.options.shrink_seconds
        while time.monotonic() < limit:
            at = 0
            while at < len(groups):
                fewer = groups[:at] + groups[at + size:]
                if fewer and self.differs(image, first, last, fewer):
                    groups = fewer
                else:
                    at += size
            if size == 1:
                break
            size = max(size // 2, 1)
        return first, last, groups

    def report(self, seed, image, bad_round):
        print(f"seed {seed}: DIFFERENT from round {bad_round} on; shrinking")
        first, last, groups = self.shrink(image, bad_round)
        words = list(image.words(set(groups)))
        texts = subprocess.run([self.options.make_stream, "--disassemble", self.cpu], check=True, text=True,
                               input="".join(f"{address:x} {word:x}\n" for address, word in words),
                               capture_output=True).stdout.splitlines()  # fmt: skip
        header = int.from_bytes(image.blob[32:40], "little")
        satp = int.from_bytes(image.blob[40:48], "little")
        print(f"{'SU'[header == 0]}-mode, satp {satp:#x}, rounds {first} to {last - 1}, {len(words)} instructions:")
        for (address, word), text in zip(words, texts):
            print(f"  {address:x}: {word:08x}  {text}")
        print(f"registers before round {last - 1}:")
        used = "".join(texts)
        for name, value in image.initial(last - 1).items():
            if name == "frm" or re.search(rf"\b{abi_name(name)}\b", used):
                print(f"  {name} ({abi_name(name)}) = {value:#x}")
        expected, *all_actual = self.outputs(image, last - 1 if first else 0, last, groups, dump=True)
        print("after it:")
        for emulator, actual in zip(self.emulators[1:], all_actual):
            for want, got in zip(results(expected), results(actual)):
                if want != got:
                    print(f"  {want} in QEMU, {got.split()[-1]} on {emulator.name}")
            if len(results(expected)) != len(results(actual)):
                print("  QEMU ends with: ", expected[-2:], f"\n  {emulator.name} ends with: ", actual[-2:])
        if len({counts(actual) for actual in all_actual}) > 1:
            print("  instructions and traps:", *map(counts, all_actual))

    def run(self, seed):
        """Instructions executed, or None when the stream differs."""
        image = self.make(seed)
        outputs = self.outputs(image, 0, self.options.rounds)
        expected, *all_actual = outputs
        if alike(outputs) and len(results(expected)) == self.options.rounds:
            return counts(all_actual[0])
        if expected[-1:] == ["# hangs"] and ["# hangs"] not in [actual[-1:] for actual in all_actual]:
            print(f"seed {seed}: QEMU hangs; not compared")
            return 0, 0
        if self.options.keep:
            image.write(pathlib.Path(self.options.keep) / f"stream-{seed}", 0, self.options.rounds)
        same = min(same_lines(results(expected), results(actual)) for actual in all_actual)
        if same < self.options.rounds and results(expected):
            self.report(seed, image, same)
        elif len({counts(actual) for actual in all_actual}) > 1:
            print(f"seed {seed}: same results, other counts of instructions:")
            for emulator, actual in zip(self.emulators[1:], all_actual):
                print(f"  {emulator.name}: {counts(actual)}")
        else:
            print(f"seed {seed}: no comparison: {[output[-3:] for output in outputs]}")
        return None


def abi_name(name):
    number = int(name[1:]) if name != "frm" else 0
    if name[0] == "f":
        return name if name == "frm" else (
            [f"ft{i}" for i in range(8)] + ["fs0", "fs1"] + [f"fa{i}" for i in range(8)]
            + [f"fs{i}" for i in range(2, 12)] + [f"ft{i}" for i in range(8, 12)])[number]  # fmt: skip
    return (["zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"] + [f"a{i}" for i in range(8)]
            + [f"s{i}" for i in range(2, 12)] + [f"t{i}" for i in range(3, 7)])[number]  # fmt: skip


def main():
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("make_stream")
    parser.add_argument("hartvisor")
    parser.add_argument("--accel", action="append", help="hartvisor's, once for each engine (interp)")
    parser.add_argument("--qemu", default=environment("HV_QEMU", "qemu-system-riscv64"))
    parser.add_argument("--compiler", default="riscv64-linux-gnu-gcc")
    parser.add_argument("--seed", type=int,
                        default=int(environment("HV_STREAM_SEED", random.SystemRandom().getrandbits(32))))
    parser.add_argument("--streams", type=int, default=int(environment("HV_STREAMS", 30)))
    parser.add_argument("--instructions", type=int, help="run until so many were compared, not --streams")
    parser.add_argument("--groups", type=int, default=4000, help="length of a stream")
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--seconds", type=float, help="start no more streams after this time")
    parser.add_argument("--shrink-seconds", type=float, default=60)
    parser.add_argument("--go-on", action="store_true", help="report further streams that differ")
    parser.add_argument("--keep", help="folder for the programs that differ")
    options = parser.parse_args()
    options.accel = options.accel or ["interp"]
    for tool in (options.compiler, options.qemu):
        if not shutil.which(tool):
            print(f"{tool} is missing", file=sys.stderr)
            return SKIP
    print(f"seed {options.seed}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(options, pathlib.Path(folder))
        instructions = traps = done = failed = 0
        for seed in itertools.count(options.seed):
            if instructions >= options.instructions if options.instructions else done + failed >= options.streams:
                break
            if options.seconds and time.monotonic() - start > options.seconds:
                break
            compared = fuzzer.run(seed)
            if compared is None:
                failed += 1
                if not options.go_on:
                    break
                continue
            instructions, traps, done = instructions + compared[0], traps + compared[1], done + 1
    print(f"{done} streams, {instructions} instructions and {traps} traps the same on QEMU {fuzzer.version} "
          f"and {', '.join(options.accel)}; {failed} different, {time.monotonic() - start:.0f} s")
    return 1 if failed or instructions < (options.instructions or 1) else 0


if __name__ == "__main__":
    sys.exit(main())
