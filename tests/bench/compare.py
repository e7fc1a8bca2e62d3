#!/usr/bin/env python3
"""Measures hartvisor beside another emulator with QEMU's command line, in turn, in one run.

  tests/bench/compare.py boot     [--smp 1,4]          power-on to user space of the demo guest
  tests/bench/compare.py idle     [--smp 4]            CPU use of a guest at its prompt
  tests/bench/compare.py programs --program FILE ...   static riscv64 programs, run in the guest
  tests/bench/compare.py compute  [--only NAME,...]    our own set of programs, 4 harts
  tests/bench/compare.py scaling  [--smp 2]            one compute program on each hart at once
  tests/bench/compare.py ticks    [--smp 4]            timer interrupts of busy harts
  tests/bench/compare.py fio      [--smp 2]            4 KiB random reads; needs fetch-guest --disk

Both get the same files and options; the runs alternate A B A B. Every row gives the medians of
wall seconds and of CPU seconds of the emulator's process, and the ratio A/B of each pair's median.
CPU seconds move little when the machine is shared; wall seconds do.
"""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "guest"))
from guest import GUEST, TOP, Machine, linux, script_disk  # noqa: E402

COMPILER = "riscv64-linux-gnu-gcc"


def report(title, unit, ours, other, lower_is_better=True):
    """One table row from the samples of the paired runs."""
    a, b = statistics.median(ours), statistics.median(other)
    ratio = statistics.median(x / y for x, y in zip(ours, other) if y)
    better = "lower" if lower_is_better else "higher"
    print(f"| {title} | {a:.4g} | {b:.4g} | {ratio:.2f} | {unit}, {better} is better |", flush=True)


def paired(options, measure):
    """Runs measure(emulator) for A and B in turn; returns two lists of dicts."""
    samples = ([], [])
    for _ in range(options.runs):
        for emulator, sink in zip((options.a, options.b), samples):
            sink.append(measure(shlex.split(emulator)))
    return samples


def columns(samples, key):
    return [[row[key] for row in side] for side in samples]


def boot(options):
    for smp in options.smp:

        def measure(emulator):
            with Machine(*linux(smp=smp, memory="1G", append="quiet"), emulator=emulator) as machine:
                start = time.monotonic()
                machine.expect(r"GUEST-READY", 600)
                ready = time.monotonic() - start
                cpu = machine.cpu_seconds()
                machine.wait()
                return {"wall": ready, "cpu": cpu}

        samples = paired(options, measure)
        report(f"boot to user space, {smp} harts, wall", "s", *columns(samples, "wall"))
        report(f"boot to user space, {smp} harts, CPU", "s", *columns(samples, "cpu"))


def idle(options):
    for smp in options.smp:

        def measure(emulator):
            with Machine(*linux(smp=smp, then="shell", append="quiet"), emulator=emulator) as machine:
                machine.shell(600)
                time.sleep(5)
                cpu, start = machine.cpu_seconds(), time.monotonic()
                time.sleep(30)
                used = machine.cpu_seconds() - cpu
                return {"percent": 100 * used / (time.monotonic() - start)}

        report(f"idle at the prompt, {smp} harts", "% of a host core",
               *columns(paired(options, measure), "percent"))  # fmt: skip


def programs(options):
    with tempfile.TemporaryDirectory() as directory:
        text = ""
        arguments = []
        for number, program in enumerate(options.program):
            data = pathlib.Path(program).read_bytes()
            disk = pathlib.Path(directory) / f"p{number}.img"
            disk.write_bytes(data.ljust((len(data) + 511) // 512 * 512, b"\0"))
            arguments += ["-drive", f"file={disk},format=raw,if=none,id=p{number},readonly=on"]
            arguments += ["-device", f"virtio-blk-device,drive=p{number},serial=p{number}"]
            text += (
                f'for s in /sys/block/vd*; do [ "$(cat $s/serial)" = p{number} ] && d=/dev/${{s##*/}}; done\n'
                f"cat $d >/tmp/p{number}; chmod +x /tmp/p{number}\n"
                f"echo BEGIN-{number}; /tmp/p{number}; echo END-{number}\n"
            )
        script = script_disk(directory, text)
        arguments += ["-drive", f"file={script},format=raw,if=none,id=s,readonly=on"]
        arguments += ["-device", "virtio-blk-device,drive=s,serial=script"]

        def measure(emulator):
            result = {}
            line = linux(*arguments, smp=1, then="script", append="quiet")
            with Machine(*line, emulator=emulator) as machine:
                for number in range(len(options.program)):
                    machine.expect(f"BEGIN-{number}", 600)
                    before = machine.cpu_seconds()
                    start = machine.seen
                    machine.expect(f"END-{number}", 1200)
                    result[f"cpu{number}"] = machine.cpu_seconds() - before
                    output = machine.console[start : machine.seen].decode(errors="replace")
                    score = re.search(options.score, output)
                    result[f"score{number}"] = float(score.group(1)) if score else None
                machine.wait()
            return result

        samples = paired(options, measure)
        for number, program in enumerate(options.program):
            name = pathlib.Path(program).name
            report(f"{name}, CPU", "s", *columns(samples, f"cpu{number}"))
            scores = columns(samples, f"score{number}")
            if all(value is not None for side in scores for value in side):
                report(f"{name}, its own score", "score", *scores, lower_is_better=False)


def build_program(name, directory):
    """The static riscv64 binary of the sources in tests/bench/NAME."""
    source = pathlib.Path(__file__).resolve().parent / name
    binary = pathlib.Path(directory) / name
    subprocess.run([COMPILER, "-O2", "-static", "-Wall", "-Wextra", "-o", binary,
                    *sorted(source.glob("*.c")), "-lm", "-pthread"], check=True)  # fmt: skip
    return binary


def compute_names():
    """The programs of tests/bench/compute."""
    # The list stands in the table of main.c: this host may have nothing that runs the binary.
    main_file = pathlib.Path(__file__).resolve().parent / "compute/main.c"
    return re.findall(r'\{"([\w-]+)", run_', main_file.read_text())


def program_guest(directory, binary, smp, commands):
    """The demo guest's command line that has the binary as /tmp/NAME and runs the shell commands."""
    name = binary.name
    disk = pathlib.Path(directory) / f"{name}.img"
    data = binary.read_bytes()
    disk.write_bytes(data.ljust((len(data) + 4095) // 4096 * 4096, b"\0"))
    text = (
        f'for s in /sys/block/vd*; do [ "$(cat $s/serial)" = {name} ] && d=/dev/${{s##*/}}; done\n'
        f"cat $d >/tmp/{name}; chmod +x /tmp/{name}; sleep 5\n"  # the boot's last work is done then
        + commands
        + "sleep 1\n"  # the terminal still writes when the script has ended
    )
    script = script_disk(directory, text)
    return linux(
        "-drive", f"file={disk},format=raw,if=none,id=c,readonly=on",
        "-device", f"virtio-blk-device,drive=c,serial={name}",
        "-drive", f"file={script},format=raw,if=none,id=s,readonly=on",
        "-device", "virtio-blk-device,drive=s,serial=script",
        smp=smp, then="script", append="quiet",
    )  # fmt: skip


def compute(options):
    """CPU seconds of each program, pair by pair, and the geometric mean of the ratios."""
    with tempfile.TemporaryDirectory() as directory:
        binary, names = build_program("compute", directory), compute_names()
        if options.only:
            names = [name for name in names if name in options.only.split(",")]
        commands = "".join(f"echo BEGIN-{name}; /tmp/compute {name}; echo END-{name}\n" for name in names)
        line = program_guest(directory, binary, 4, commands)
        checksums = {}

        def measure(emulator):
            result = {}
            with Machine(*line, emulator=emulator) as machine:
                for name in names:
                    machine.expect(f"BEGIN-{name}", 600)
                    cpu, wall = machine.cpu_seconds(), time.monotonic()
                    checksum = machine.expect(rf"{name} ([0-9a-f]{{16}})\s+END-{name}", 1200).group(1)
                    result[name] = machine.cpu_seconds() - cpu
                    result[name + " wall"] = time.monotonic() - wall
                    if checksums.setdefault(name, checksum) != checksum:
                        sys.exit(f"{name}: checksum {checksum}, before it was {checksums[name]}")
                machine.wait()
            return result

        samples = paired(options, measure)
        ratios = []
        for name in names:
            ours, other = columns(samples, name)
            report(f"{name}, CPU", "s", ours, other)
            report(f"{name}, wall", "s", *columns(samples, name + " wall"))
            pairs = [a / b for a, b in zip(ours, other) if a and b]
            if pairs:
                ratios.append(statistics.median(pairs))
        if ratios:
            print(f"\nGeometric mean of {len(ratios)} CPU ratios A/B: {statistics.geometric_mean(ratios):.3f}")


def scaling(options):
    """How many times as much all harts compute at once as one does alone, by wall time."""
    with tempfile.TemporaryDirectory() as directory:
        binary = build_program("compute", directory)
        program = options.only or "integer-mix"
        for smp in options.smp:
            run = f"/tmp/compute {program} >/tmp/out"
            commands = f"{run}; echo BEGIN-1; {run}; echo END-1; echo BEGIN-ALL; "
            commands += f"{run} & " * smp + "wait; echo END-ALL\n"
            line = program_guest(directory, binary, smp, commands)

            def measure(emulator):
                result = {}
                with Machine(*line, emulator=emulator) as machine:
                    for part in ("1", "ALL"):
                        machine.expect(f"BEGIN-{part}", 600)
                        start = time.monotonic()
                        machine.expect(f"END-{part}", 1200)
                        result[part] = time.monotonic() - start
                    machine.wait()
                return {"times": smp * result["1"] / result["ALL"]}

            report(f"{program}, {smp} harts beside 1", "times", *columns(paired(options, measure), "times"),
                   lower_is_better=False)  # fmt: skip


def ticks(options):
    """Of the timer interrupts that were due on busy harts, how many came, and how many in time."""
    with tempfile.TemporaryDirectory() as directory:
        binary = build_program("ticks", directory)
        for smp in options.smp:
            line = program_guest(directory, binary, smp, f"/tmp/ticks {options.seconds}\n")

            def measure(emulator):
                with Machine(*line, emulator=emulator) as machine:
                    busy = machine.expect(r"busy (\d+) of (\d+)\s", 600)
                    start = machine.seen
                    verdict = machine.expect(r"timers (exact|LOST)", 600).group(1)
                    output = machine.console[start : machine.seen].decode(errors="replace")
                    machine.wait()
                if verdict != b"exact":
                    sys.exit(f"{emulator[0]}: expirations are missing:\n{output}")
                timers = re.findall(r"timer \d+ (\d+) of \d+, (\d+) wake-ups", output)
                expirations, wakes = (sum(map(int, column)) for column in zip(*timers))
                return {"busy": 100 * int(busy[1]) / int(busy[2]), "timers": 100 * wakes / expirations}

            samples = paired(options, measure)
            report(f"one busy hart of {smp}: interrupts per 100 ticks of 4 ms", "interrupts",
                   *columns(samples, "busy"), lower_is_better=False)  # fmt: skip
            report(f"{smp} busy harts: wake-ups per 100 expirations of 1 ms", "wake-ups",
                   *columns(samples, "timers"), lower_is_better=False)  # fmt: skip


def fio(options):
    disk = options.disk or GUEST / "debian.ext4"
    if not pathlib.Path(disk).exists():
        sys.exit(f"{disk} is missing: tools/fetch-guest --disk makes it")
    with tempfile.NamedTemporaryFile(dir=options.scratch, suffix=".raw") as data:
        for _ in range(options.size):
            data.write(os.urandom(1 << 20))
        data.flush()
        for smp in options.smp:

            def measure(emulator):
                arguments = linux(
                    "-object", "iothread,id=io1",
                    "-drive", f"file={disk},format=raw,if=none,id=root,snapshot=on",
                    "-device", "virtio-blk-device,drive=root,serial=root",
                    "-drive", f"file={data.name},format=raw,if=none,id=data,cache=none,aio=io_uring",
                    "-device", "virtio-blk-device,drive=data,serial=data,iothread=io1",
                    smp=smp, memory="1G", then="root", append="quiet " + options.append,
                )  # fmt: skip
                result = {}
                with Machine(*arguments, emulator=emulator) as machine:
                    machine.expect("login: ", 900)
                    machine.send("root\n")
                    machine.expect("# $", 300)
                    machine.send("stty -echo; PS1=; dmesg -n 1; echo shell''-ready\n")
                    machine.expect("shell-ready\r\n")
                    machine.run(
                        "for s in /sys/block/vd*; do "
                        '[ "$(cat $s/serial)" = data ] && ln -s /dev/${s##*/} /tmp/data; done; true'
                    )
                    for depth in (1, 32):
                        before = machine.cpu_seconds()
                        output = machine.run(
                            "fio --name=j --filename=/tmp/data --readonly --rw=randread --bs=4k --direct=1 "
                            f"--ioengine=libaio --iodepth={depth} --runtime={options.seconds} --time_based "
                            "--output-format=terse --terse-version=3",
                            300,
                        )
                        fields = next(line for line in output.splitlines() if line.startswith("3;")).split(";")
                        requests = int(fields[5]) / 4
                        result[f"iops{depth}"] = float(fields[7])
                        result[f"us{depth}"] = 1e6 * (machine.cpu_seconds() - before) / max(requests, 1)
                    machine.kill()
                return result

            samples = paired(options, measure)
            for depth in (1, 32):
                report(f"fio randread 4k QD{depth}, {smp} harts", "IOPS",
                       *columns(samples, f"iops{depth}"), lower_is_better=False)  # fmt: skip
                report(f"the same, CPU per request", "us", *columns(samples, f"us{depth}"))


SUBJECTS = {
    "boot": boot, "idle": idle, "programs": programs, "compute": compute, "scaling": scaling, "ticks": ticks,
    "fio": fio,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=tuple(SUBJECTS))
    parser.add_argument("--a", default=str(TOP / "build/app/hartvisor"), help="emulator A")
    parser.add_argument("--b", default="qemu-system-riscv64", help="emulator B")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smp", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4])
    parser.add_argument("--program", action="append", default=[], metavar="FILE")
    parser.add_argument("--only", help="programs of compute, separated by commas; the one of scaling")
    parser.add_argument("--score", default=r"(?:Iterations/Sec\s*:|Dhrystones per Second:)\s*([\d.]+)",
                        help="regular expression of a program's own score")  # fmt: skip
    parser.add_argument("--disk", help="Debian root disk with fio")
    parser.add_argument("--append", default="", help="more kernel command line words")
    parser.add_argument("--size", type=int, default=512, help="MiB of fio's file")
    parser.add_argument("--seconds", type=int, default=6, help="length of a fio job, of each part of ticks")
    parser.add_argument("--scratch", default="/var/tmp", help="where fio's file lies")
    options = parser.parse_args()
    for name, command in (("--a", options.a), ("--b", options.b)):
        if not shutil.which(shlex.split(command)[0]):
            parser.error(f"{name} {command}: no such command; give an emulator with QEMU's command line")
    print(f"A = {options.a}\nB = {options.b}\n{options.runs} runs each, in turn\n")
    print("| | A | B | A/B | |\n|---|---|---|---|---|")
    SUBJECTS[options.what](options)


if __name__ == "__main__":
    main()
