#!/usr/bin/env python3
"""Runs large programs inside Debian on four harts and says of each whether it was all right.

  tests/guest/debian_list.py [ITEM ...]        all items without names; --list names them

The disk comes from
  tools/fetch-guest --disk --with=libpython3.13-testsuite,openssl,openssl-provider-fips,\\
stress-ng,nodejs,openjdk-21-jdk-headless DIRECTORY
HV_EMULATOR and HV_GUEST (that directory) are those of guest.py; HV_DISK names another disk. The
disk is not written to. Not in tools/run-tests: it takes a quarter of an hour of CPU time.

Where a program's output has to be the same on every machine, the host runs it too and the two are
compared; without such a program on the host the item says so.
"""

import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time

from guest import GUEST, Machine, linux, scratch

HERE = pathlib.Path(__file__).resolve().parent / "debian"
DISK = pathlib.Path(os.environ.get("HV_DISK", GUEST / "debian.ext4"))
PYTHON_TESTS = ("math", "float", "struct", "threading", "decimal", "json", "re")
SPEED = "sha256 aes-128-cbc rsa2048 ecdsap256 ed25519 ecdhx25519"
JAVA = "/usr/lib/jvm/java-21-openjdk-riscv64/bin"


class Item:
    """A command of the guest. `summary` finds the lines worth showing, `same` is a program of the
    host and its command that prints the same, `append` are words of the kernel's command line."""

    def __init__(self, name, command, summary, same=None, append="quiet"):
        self.name, self.command, self.summary = name, command, summary
        self.same, self.append = same, append


ITEMS = [
    *(
        Item(f"python-{name}", f"python3 -m test test_{name}", r"^(Total tests|Result):.*")
        for name in PYTHON_TESTS
    ),
    Item(
        "openssl-fips",
        "openssl fipsinstall -out /tmp/fips.cnf -module"
        " /usr/lib/riscv64-linux-gnu/ossl-modules/fips.so",
        r"^(?!.*: \(.*\) : Pass).*",
    ),
    Item("openssl-vectors", "cd list && sh crypto.sh", r"^\S+ ok$", same=("openssl", "sh crypto.sh")),
    Item("openssl-tls", "sh list/tls.sh", ".+"),
    Item(
        "openssl-speed",
        f"openssl speed -seconds 1 {SPEED} && openssl speed -seconds 1 -evp aes-256-gcm"
        " && openssl speed -seconds 1 -evp chacha20-poly1305",
        r"^(?!Doing|version|built|options|compiler|CPUINFO|The ).*\d",
    ),
    Item(
        "stress-ng",
        "stress-ng --cpu 0 --cpu-method all --verify -t 120 --metrics-brief",
        r"(fail|passed|untrust|completed|cpu  ).*",
    ),
    Item("node", "node list/bench.js", r"^(?!.*DIFFERS).+", same=("node", "node bench.js")),
    Item(
        "java",
        f"cd list && {JAVA}/javac -d /tmp Bench.java && {JAVA}/java -cp /tmp Bench",
        ".+",
        same=("java", "java Bench.java"),
        append="quiet no5lvl",  # OpenJDK 21 refuses to start on Sv57
    ),
]


def gather(directory):
    """Copies the programs into `directory`, with keys for crypto.sh when the host can make some."""
    shutil.copytree(HERE, directory)
    if shutil.which("openssl"):
        subprocess.run(["sh", "crypto.sh"], cwd=directory, stdout=subprocess.DEVNULL, check=True)


def host_output(same, directory):
    """The output of the host's program, or None when the host has none."""
    program, command = same
    if not shutil.which(program):
        return None
    return subprocess.run(
        command, shell=True, cwd=directory, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def run(machine, item, directory):
    """Runs one item; whether it was all right."""
    start, cpu = time.monotonic(), machine.cpu_seconds()
    output = machine.run(f"({item.command}) 2>&1; echo item-status=$?", 7200)
    wall, cpu = time.monotonic() - start, machine.cpu_seconds() - cpu
    output, status = re.fullmatch(r"\n*(.*)item-status=(\d+)\n", output, re.DOTALL).groups()
    right, remark = status == "0", ""
    if item.same:
        expected = host_output(item.same, directory)
        if expected is None:
            remark = ", not compared: the host has no " + item.same[0]
        elif expected == output:
            remark = ", same as the host's"
        else:
            right, remark = False, ", DIFFERS from the host's"
            output += "\n".join(difflib.unified_diff(expected.split("\n"), output.split("\n")))
    print(
        f"{'ok    ' if right else 'FAILED'} {item.name}: status {status}{remark},"
        f" {wall:.1f} s wall, {cpu:.1f} s CPU",
        flush=True,
    )
    lines = output.splitlines()
    shown = [line for line in lines if re.search(item.summary, line)][-20:] if right else lines[-60:]
    print("".join(f"       {line}\n" for line in shown), end="", flush=True)
    return right


def run_machine(items, append, cpu, directory):
    """Boots Debian and runs the items; the names of those that were not all right."""
    # systemd gives up on a slow host's devices after 90 seconds otherwise.
    append += " systemd.default_device_timeout_sec=1800 systemd.default_timeout_start_sec=1800"
    arguments = linux(smp=4, memory="3G", then="root", append=append)
    if cpu:
        arguments += ["-cpu", cpu]
    arguments += [
        "-drive", f"file={DISK},format=raw,if=none,id=root,snapshot=on",
        "-device", "virtio-blk-device,drive=root,serial=root",
        "-drive", f"file={directory}/files.tar,format=raw,if=none,id=files,readonly=on",
        "-device", "virtio-blk-device,drive=files,serial=files",
        "-device", "virtio-rng-device",
    ]  # fmt: skip
    with Machine(*arguments) as machine:
        machine.expect("login: ", 1800)
        machine.send("root\n")
        machine.expect(r"# $", 300)
        machine.send("bind 'set enable-bracketed-paste off'; stty -echo; PS1=; echo rea''dy\n")
        machine.expect("ready\r\n")
        machine.run("systemctl is-system-running --wait; ip link set lo up", 900)
        machine.run("tar xf /dev/disk/by-id/virtio-files")
        failed = [item.name for item in items if not run(machine, item, directory / "list")]
        machine.send("poweroff\n")
        machine.wait(600)
        machine.healthy()
    return failed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("items", nargs="*", metavar="ITEM")
    parser.add_argument("--list", action="store_true", help="print the items' names")
    parser.add_argument("--cpu", help="value of -cpu")
    options = parser.parse_args()
    if options.list:
        print("\n".join(item.name for item in ITEMS))
        return 0
    unknown = set(options.items) - {item.name for item in ITEMS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such item; --list names them")
    if not DISK.exists():
        parser.error(f"{DISK}: no such disk; tools/fetch-guest --disk makes it")
    wanted = [item for item in ITEMS if not options.items or item.name in options.items]
    failed = []
    with scratch() as name:
        directory = pathlib.Path(name)
        gather(directory / "list")
        with tarfile.open(directory / "files.tar", "w") as archive:
            archive.add(directory / "list", "list")
        for append in dict.fromkeys(item.append for item in wanted):
            items = [item for item in wanted if item.append == append]
            failed += run_machine(items, append, options.cpu, directory)
    print(f"{len(wanted) - len(failed)} right, {len(failed)} wrong: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
