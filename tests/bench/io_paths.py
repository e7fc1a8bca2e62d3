#!/usr/bin/env python3
"""Measures the I/O paths of hartvisor beside another emulator with QEMU's command line.

  tests/bench/io_paths.py [block] [null] [user] [tap] [9p] [console]     (all without words)

Boots the same Debian guest in A and B in turn (--runs times), with the same devices: a raw image
with cache=none,aio=io_uring and a null-co disk on an IO thread, virtio-net on user mode networking
and on a tap, a 9P share, a virtio-serial port into a file. Each row prints, for A, B and as A/B,
the rate and the mean latency (where fio or ping tells it) that the guest saw, and what a unit of work (a request, a GiB, a packet round trip, a file)
cost the host: CPU of the whole process, CPU outside the harts, system calls, and which part of the
CPU the harts took, that is guest code and the exits that it makes. Medians over the runs.

Needs root (network namespace, perf), perf, iperf3 and a Debian disk with fio and iperf3:
  tools/fetch-guest --disk --with=iperf3
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "guest"))
from guest import GUEST, TOP, Machine, linux  # noqa: E402
from host_cost import Cost  # noqa: E402

NAMESPACE = "hv-bench"
HOST_TAP, GUEST_TAP = "192.168.77.1", "192.168.77.2"
GIB = 1 << 30


class Row:
    """One measurement of one machine."""

    def __init__(self, title, unit, rate, rate_unit, work, cost, latency=None):
        self.title, self.unit, self.rate_unit = title, unit, rate_unit
        self.values = {
            "rate": rate,
            "latency": latency,
            "cpu": 1e6 * cost.seconds / work,
            "others": 1e6 * cost.others / work,
            "syscalls": cost.syscalls / work if cost.syscalls is not None else None,
            "harts": cost.harts / cost.seconds if cost.seconds else 0,
        }


# --- disks ------------------------------------------------------------------------------------------
FIO_JOBS = (
    ("4k random read, QD1", "randread", "4k", 1),
    ("4k random read, QD32", "randread", "4k", 32),
    ("4k random write, QD32", "randwrite", "4k", 32),
    ("1M sequential read, QD4", "read", "1M", 4),
    ("1M sequential write, QD4", "write", "1M", 4),
)


def fio(machine, options, device, title):
    for name, kind, size, depth in FIO_JOBS:
        with Cost(machine.process.pid) as cost:
            output = machine.run(
                f"fio --name=j --filename=/tmp/{device} --rw={kind} --bs={size} --direct=1 --ioengine=libaio "
                f"--iodepth={depth} --runtime={options.seconds} --time_based --output-format=json >/tmp/j; "
                "tr -d '\\n' </tmp/j",
                300,
            )
        job = json.loads(output[output.index("{") : output.rindex("}") + 1])["jobs"][0]
        side = job["write" if "write" in kind else "read"]
        latency = side["lat_ns"]["mean"] / 1000
        if size == "4k":
            yield Row(f"{title}: {name}", "request", side["iops"], "IOPS", side["total_ios"], cost, latency)
        else:
            yield Row(f"{title}: {name}", "GiB", side["bw_bytes"] / 1e6, "MB/s", side["io_bytes"] / GIB, cost, latency)


def block(machine, options):
    yield from fio(machine, options, "data", "cache=none")


def null(machine, options):
    yield from fio(machine, options, "null", "null-co")


# --- network ----------------------------------------------------------------------------------------
def in_namespace(*command):
    return ["ip", "netns", "exec", NAMESPACE, *command]


def ping(machine, address, title):
    count = 300
    with Cost(machine.process.pid) as cost:
        output = machine.run(f"ping -q -i 0.01 -c {count} {address}", 120)
    average = float(output.split("=")[-1].split("/")[1])
    yield Row(f"{title}: ping", "round trip", 1000 / average, "round trips/s", count, cost, average * 1000)


def iperf(machine, options, address, title):
    for name, extra in (("guest to host", ""), ("host to guest", "-R")):
        with Cost(machine.process.pid) as cost:
            output = machine.run(
                f"iperf3 -c {address} -p 5201 -t {options.seconds} {extra} -J >/tmp/j; tr -d '\\n' </tmp/j", 180
            )
        end = json.loads(output[output.index("{") : output.rindex("}") + 1])["end"]
        received = end["sum_received"]
        yield Row(f"{title}: iperf3 {name}", "GiB", received["bits_per_second"] / 1e6, "Mbit/s",
                  received["bytes"] / GIB, cost)  # fmt: skip


def user(machine, options):
    machine.run("ip link set dev $(cat /tmp/user) up; ip addr add 10.0.2.15/24 dev $(cat /tmp/user)")
    yield from ping(machine, "10.0.2.2", "user")
    yield from iperf(machine, options, "10.0.2.2", "user")


def tap(machine, options):
    subprocess.run(in_namespace("ip", "addr", "replace", f"{HOST_TAP}/24", "dev", "tap0"), check=True)
    subprocess.run(in_namespace("ip", "link", "set", "tap0", "up"), check=True)
    machine.run(f"ip link set dev $(cat /tmp/tap) up; ip addr add {GUEST_TAP}/24 dev $(cat /tmp/tap)")
    yield from ping(machine, HOST_TAP, "tap")
    yield from iperf(machine, options, HOST_TAP, "tap")


# --- 9P ---------------------------------------------------------------------------------------------
def p9(machine, options):
    size = options.share_mib
    for name, mount in (("default mount", ""), ("msize=512k", ",msize=524288")):
        machine.run(f"mkdir -p /mnt/p; mount -t 9p -o trans=virtio,version=9p2000.L{mount} share /mnt/p")
        for what, command in (
            ("sequential write", f"dd if=/dev/zero of=/mnt/p/file bs=1M count={size} 2>&1"),
            ("sequential read", "dd if=/mnt/p/file of=/dev/null bs=1M 2>&1"),
        ):
            with Cost(machine.process.pid) as cost:
                machine.run(command, 600)
            yield Row(f"9P, {name}: {what}", "GiB", size / cost.wall, "MiB/s", size / 1024, cost)
        machine.run("rm /mnt/p/file; umount /mnt/p")
    machine.run("mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share /mnt/p; mkdir /mnt/p/d")
    count = 5000
    for what, command in (
        ("create", f"for i in $(seq {count}); do echo $i >/mnt/p/d/$i; done"),
        ("read", "cat /mnt/p/d/* >/dev/null"),
        ("stat", "ls -l /mnt/p/d >/dev/null"),
        ("delete", "rm -r /mnt/p/d"),
    ):
        with Cost(machine.process.pid) as cost:
            machine.run(command, 600)
        yield Row(f"9P: {count} small files, {what}", "file", count / cost.wall, "files/s", count, cost)
    machine.run("umount /mnt/p")


# --- console ----------------------------------------------------------------------------------------
def console(machine, options):
    size = options.console_mib
    port = "/dev/virtio-ports/bench"
    machine.run(f"head -c {size}M /dev/urandom >/tmp/bytes", 300)
    with Cost(machine.process.pid) as cost:
        machine.run(f"cat /tmp/bytes >{port}", 600)
    yield Row("virtserialport into a file", "GiB", size / cost.wall, "MiB/s", size / 1024, cost)
    for title, to in (("virtconsole (hvc0) text into a file", ">/dev/hvc0"), ("ns16550a text to stdio", "")):
        with Cost(machine.process.pid) as cost:
            machine.run(f"od -An -v -tx1 -N 300000 /tmp/bytes {to}", 600)
        text = 300000 * 3 * (1 + 1 / 48)
        yield Row(title, "MiB", text / 1024 / cost.wall, "KiB/s", text / (1 << 20), cost)


SUBJECTS = {"block": block, "null": null, "user": user, "tap": tap, "9p": p9, "console": console}


# --- the machine ------------------------------------------------------------------------------------
def devices(options, scratch, what):
    """Arguments for the devices of the subjects, the same for every emulator."""
    yield from ("-name", "bench,debug-threads=on", "-nic", "none")
    yield from ("-global", "virtio-mmio.force-legacy=false")
    yield from ("-object", "iothread,id=io1")
    yield from ("-drive", f"file={options.disk},format=raw,if=none,id=root,snapshot=on")
    yield from ("-device", "virtio-blk-device,drive=root,serial=root")
    if "block" in what:
        yield from ("-drive", f"file={scratch}/data.raw,format=raw,if=none,id=data,cache=none,aio=io_uring")
        yield from ("-device", "virtio-blk-device,drive=data,serial=data,iothread=io1")
    if "null" in what:
        node = {"driver": "null-co", "node-name": "null", "size": 1 << 30, "read-zeroes": False}
        yield from ("-blockdev", json.dumps(node))
        yield from ("-device", "virtio-blk-device,drive=null,serial=null,iothread=io1")
    if "user" in what:
        yield from ("-netdev", "user,id=user")
        yield from ("-device", "virtio-net-device,netdev=user,mac=52:54:00:00:00:01")
    if "tap" in what:
        yield from ("-netdev", "tap,id=tap,ifname=tap0,script=no,downscript=no")
        yield from ("-device", "virtio-net-device,netdev=tap,mac=52:54:00:00:00:02")
    if "9p" in what:
        yield from ("-fsdev", f"local,id=share,path={scratch}/share,security_model=none")
        yield from ("-device", "virtio-9p-device,fsdev=share,mount_tag=share")
    if "console" in what:
        yield from ("-device", "virtio-serial-device")
        yield from ("-chardev", f"file,id=port,path={scratch}/port")
        yield from ("-device", "virtserialport,chardev=port,name=bench")
        yield from ("-chardev", f"file,id=hvc,path={scratch}/hvc", "-device", "virtconsole,chardev=hvc")


def measure(emulator, options, scratch, what):
    """Rows of all subjects from one boot."""
    (scratch / "share").mkdir(exist_ok=True)
    arguments = linux(*devices(options, scratch, what), smp=options.smp, memory="2G", then="root",
                      append="quiet " + options.append)  # fmt: skip
    rows = []
    with Machine(*arguments, emulator=in_namespace(*emulator)) as machine:
        machine.expect("login: ", 900)
        machine.send("root\n")
        machine.expect("# $", 300)
        machine.send("stty -echo; PS1=; dmesg -n 1; echo shell''-ready\n")
        machine.expect("shell-ready\r\n")
        machine.run("for s in /sys/block/vd*; do ln -sf /dev/${s##*/} /tmp/$(cat $s/serial); done")
        machine.run("for n in /sys/class/net/*; do case $(cat $n/address) in *:01) echo ${n##*/} >/tmp/user;; "
                    "*:02) echo ${n##*/} >/tmp/tap;; esac; done")  # fmt: skip
        for subject in what:
            rows.extend(SUBJECTS[subject](machine, options))
        machine.kill()
    return rows


def show(a, b):
    """One line for the rows of the same title of all runs."""
    def middle(rows, key):
        values = [row.values[key] for row in rows if row.values[key] is not None]
        return statistics.median(values) if values else None

    def cell(key, format):
        ours, other = middle(a, key), middle(b, key)
        if ours is None or other is None:
            return "-"
        ratio = f" ({ours / other:.2f})" if other and key != "harts" else ""
        return f"{ours:{format}} / {other:{format}}{ratio}"

    row = a[0]
    print(f"| {row.title} | {cell('rate', '.4g')} {row.rate_unit} | {cell('latency', '.4g')} | {row.unit} | {cell('cpu', '.4g')} | "
          f"{cell('others', '.4g')} | {cell('syscalls', '.3g')} | {cell('harts', '.2f')} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=" ".join(SUBJECTS))
    parser.add_argument("--a", default=str(TOP / "build/app/hartvisor"), help="emulator A")
    parser.add_argument("--b", default="qemu-system-riscv64", help="emulator B")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--disk", default=GUEST / "debian.ext4", help="Debian root disk with fio and iperf3")
    parser.add_argument("--append", default="", help="more kernel command line words")
    parser.add_argument("--seconds", type=int, default=5, help="length of a fio or iperf3 job")
    parser.add_argument("--size", type=int, default=512, help="MiB of fio's image")
    parser.add_argument("--share-mib", type=int, default=128, help="MiB of the file on the 9P share")
    parser.add_argument("--console-mib", type=int, default=32, help="MiB through the port")
    parser.add_argument("--scratch", default="/var/tmp", help="where images and the share lie")
    options = parser.parse_args()
    what = options.what or list(SUBJECTS)
    for word in what:
        if word not in SUBJECTS:
            parser.error(f"{word}: no such subject; use {', '.join(SUBJECTS)}")
    if not pathlib.Path(options.disk).exists():
        parser.error(f"--disk {options.disk} is missing: tools/fetch-guest --disk --with=iperf3 makes it")
    tools = ["ip", "perf"] + (["iperf3"] if {"user", "tap"} & set(what) else [])
    for tool in tools + [shlex.split(command)[0] for command in (options.a, options.b)]:
        if not shutil.which(tool):
            parser.error(f"{tool}: no such command")

    subprocess.run(["ip", "netns", "delete", NAMESPACE], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    server = None
    try:
        subprocess.run(in_namespace("ip", "link", "set", "lo", "up"), check=True)
        # user mode networking asks for the host's own address; there is none behind the loopback.
        if {"user", "tap"} & set(what):
            server = subprocess.Popen(in_namespace("iperf3", "-s", "-p", "5201"), stdout=subprocess.DEVNULL)
        with tempfile.TemporaryDirectory(prefix="hv-io-", dir=options.scratch) as directory:
            scratch = pathlib.Path(directory)
            if "block" in what:
                with open(scratch / "data.raw", "wb") as data:
                    for _ in range(options.size):
                        data.write(os.urandom(1 << 20))
            samples = ([], [])
            for _ in range(options.runs):
                for command, sink in zip((options.a, options.b), samples):
                    sink.append(measure(shlex.split(command), options, scratch, what))
    finally:
        if server:
            server.kill()
        subprocess.run(["ip", "netns", "delete", NAMESPACE])

    print(f"A = {options.a}\nB = {options.b}\n{options.smp} harts, {options.runs} runs each, in turn; "
          "A / B (ratio)\n")  # fmt: skip
    print("| | rate | latency, us | unit of work | CPU us per unit | outside harts | syscalls per unit | harts' part |")
    print("|---|---|---|---|---|---|---|---|")
    for rows in zip(*samples[0], *samples[1]):
        show(rows[: options.runs], rows[options.runs :])


main()
