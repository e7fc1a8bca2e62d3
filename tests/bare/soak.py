#!/usr/bin/env python3
"""Runs the self-modifying program (tests/bare/smc) with ever new seeds, thresholds and cache sizes.

usage: soak.py EMULATOR [--minutes N] [--harts N] [--seed N]

Ends at the first failure, with its output and the command that repeats it, or after so many minutes.
How harts interleave is not repeated: run the command a few times.
"""

import argparse
import pathlib
import random
import shlex
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
RUN_LIMIT_S = 300  # of a run that takes a tenth; it only ends one that hangs


def command(options, choice):
    """run_bare.py with random choices."""
    accel = "interp"
    if choice.random() < 0.95:
        accel = f"jit,threshold={choice.choice((0, 1, 2, 5, 20, 64, 300))},tb-size={choice.choice((1, 2, 32))}"
    line = [sys.executable, HERE / "run_bare.py", options.emulator, *sorted((HERE / "smc").glob("*.c")),
            "--accel", accel, "--smp", options.harts, "--define", f"ROUNDS={choice.choice((60, 200))}",
            "--seconds", RUN_LIMIT_S, "--seed", choice.getrandbits(32)]  # fmt: skip
    if choice.random() < 0.6:
        line += ["--firmware", "default"]
    if choice.random() < 0.7:
        line += ["--disk", 64]
    return [str(word) for word in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("emulator")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--harts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    choice = random.Random(options.seed)
    start, runs = time.monotonic(), 0
    while time.monotonic() - start < options.minutes * 60:
        line = command(options, choice)
        done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout)
            print(f"run {runs + 1} fails after {time.monotonic() - start:.0f} s; to repeat it:")
            print(shlex.join(line))
            return done.returncode
        runs += 1
        counts = [text for text in done.stdout.splitlines() if " rounds on " in text]
        print(f"{line[line.index('--accel') + 1]}{' S' if '--firmware' in line else ' M'}:", *counts, flush=True)
    print(f"{runs} runs in {options.minutes:g} minutes, every result right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
