#!/usr/bin/env python3
"""Debian to its login prompt, then programs inside it, on two emulators: host CPU seconds and ratios.

  tests/bench/debian_programs.py --a 'build/app/hartvisor' --b QEMU --smp 1 --disk debian.ext4

The disk (not written to) comes from
  tools/fetch-guest --disk --with=python3,openssl,gcc,sysbench DIRECTORY
whose kernel and initramfs are used (HV_GUEST, as for tests/guest). What a program prints has to be
the same on both; each runs once before it is timed. A program that is not on the disk is left out.
"""

import argparse
import math
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guest"))
from guest import GUEST, Machine  # noqa: E402

C_FILE = (
    'for i in $(seq 300); do echo "int f$i(int *a, int n) { int s = 0;'
    ' for (int i = 0; i < n; i++) s += a[i] * $i + (a[i] >> 3); return s; }"; done > /tmp/a.c; '
)
PROGRAMS = {
    "openssl sha256, 100 MiB": ("openssl", "head -c 100M /dev/zero | openssl sha256"),
    "openssl aes-256-cbc, 50 MiB": (
        "openssl",
        "head -c 50M /dev/zero | openssl enc -aes-256-cbc -K 00 -iv 00 2>/dev/null | openssl sha256",
    ),
    "python3, a loop": ("python3", "python3 -c 'print(sum(i * i % 7 for i in range(3000000)))'"),
    "python3, json": (
        "python3",
        "python3 -c 'import json; d = {str(i): [i] * 5 for i in range(40000)};"
        " print(len(json.dumps(json.loads(json.dumps(d)))))'",
    ),
    "gcc -O2, 300 functions": ("gcc", C_FILE + "gcc -O2 -c -o /tmp/a.o /tmp/a.c && size /tmp/a.o | tail -1"),
    "gzip, 20 MiB": ("gzip", "cat /usr/lib/riscv64-linux-gnu/*.so* | head -c 20M | gzip -6 | wc -c"),
    "sysbench cpu": (
        "sysbench",
        "sysbench cpu --cpu-max-prime=5000 --events=1500 --time=0 run | grep 'number of events'",
    ),
}


def measure(emulator, arguments, timeout):
    """{row: (CPU seconds, what it printed)}"""
    rows = {}
    with Machine(*arguments, emulator=emulator) as machine:
        machine.expect("login: ", timeout)
        rows["boot to login"] = machine.cpu_seconds(), ""
        machine.send("root\n")
        machine.expect(r"# $", timeout)
        machine.send(
            "stty -echo; PS1=; dmesg -n 4; bind 'set enable-bracketed-paste off' 2>/dev/null;"
            " echo shell''-ready\n"
        )
        machine.expect("shell-ready\r\n")
        for name, (needs, command) in PROGRAMS.items():
            if machine.run(f"command -v {needs} || echo none", timeout).strip() == "none":
                continue
            machine.run(command, timeout)
            before = machine.cpu_seconds()
            printed = machine.run(command, timeout)
            rows[name] = machine.cpu_seconds() - before, printed.strip()
        machine.kill()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--a", required=True, help="emulator A")
    parser.add_argument("--b", required=True, help="emulator B")
    parser.add_argument("--smp", default="1")
    parser.add_argument("--disk", default=os.environ.get("HV_DISK", str(GUEST / "debian.ext4")))
    parser.add_argument("--append", default="hv.then=root", help="word for the demo's initramfs")
    parser.add_argument("--timeout", type=int, default=600)
    given = parser.parse_args()
    arguments = (
        f"-M virt -smp {given.smp} -m 2G -nographic -kernel {GUEST}/Image"
        f" -initrd {GUEST}/initramfs.cpio.gz"
    ).split()
    arguments += ["-append", f"console=ttyS0 {given.append}"]
    arguments += ["-drive", f"file={given.disk},format=raw,if=none,id=root,snapshot=on"]
    arguments += ["-device", "virtio-blk-device,drive=root", "-device", "virtio-rng-device"]

    a, b = (measure(e.split(), arguments, given.timeout) for e in (given.a, given.b))
    ratios = []
    print("| | A | B | A/B |\n|---|---|---|---|")
    for name, (seconds, printed) in a.items():
        other, also_printed = b[name]
        if printed != also_printed:
            sys.exit(f"{name}: A prints {printed!r}, B {also_printed!r}")
        ratios.append(seconds / other)
        print(f"| {name} | {seconds:.2f} | {other:.2f} | {seconds / other:.2f} |")
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"\nCPU seconds; geometric mean of A/B: {mean:.3f}")


if __name__ == "__main__":
    main()
