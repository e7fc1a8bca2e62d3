#!/usr/bin/env python3
"""Everything at once: disks, network, 9P and console of one guest, with every byte checked.

  tests/bench/io_soak.py [--minutes 10] [--smp 4]

In a Debian guest (tools/fetch-guest --disk --with=iperf3) run at the same time, round after round:
fio with verification on an image with cache=none; iperf3 both ways through user mode networking to
a server on this host; a tree of files copied by tar on a 9P share, compared by checksum, deleted; and
a flood of numbered lines through a virtio-serial port into a socket, whose reader here misses none.
Meanwhile the guest prints how late its own 0.1 s ticks are. When the time is over, what the copy of
the tree still needs runs alone.

Ends with one line per check and status 1 if any failed: corruption, a path that stood still for
more than a second (the port's reader, iperf3's seconds, fio's slowest request, the ticks), or
growth of the process after a warm-up. Guest memory is locked, so growth is the emulator's. Compiled
code is bounded by tb-size and takes longer than a soak to fill the default: so here it is small.
"""

import argparse
import hashlib
import os
import pathlib
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "guest"))
from guest import GUEST, TOP, Machine, linux  # noqa: E402

FLOOD = "seq -f 'line %012.0f of the flood, and some more text to fill it up' 1 1000000000000"
PORT = 5218


class Flood(threading.Thread):
    """Reads the port: every line must be the successor of the one before."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.lines, self.wrong, self.worst_gap = path, 0, None, 0.0

    def run(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.path))
        rest, last = b"", None
        while True:
            data = connection.recv(1 << 20)
            if not data:
                return
            now = time.monotonic()
            if last is not None:
                self.worst_gap = max(self.worst_gap, now - last)
            last = now
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.lines += 1
                if line != b"line %012d of the flood, and some more text to fill it up" % self.lines:
                    self.wrong = self.wrong or f"line {self.lines} reads {line!r}"


def make_tree(directory, files):
    """Files of the sizes of a source tree, and the list that md5sum -c takes."""
    chooser = random.Random(3)
    sums = []
    for number in range(files):
        path = directory / f"d{number % 97}" / f"e{number % 11}" / f"file{number}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = chooser.randbytes(min(int(chooser.expovariate(1 / 12000)), 400000))
        path.write_bytes(data)
        sums.append(f"{hashlib.md5(data).hexdigest()}  ./{path.relative_to(directory)}\n")
    return "".join(sums)


GUEST_SCRIPT = """
end=$(( $(cut -d. -f1 /proc/uptime) + SECONDS_TO_RUN ))
more() { [ $(cut -d. -f1 /proc/uptime) -lt $end ]; }
disk() {
  while more; do
    fio --name=j --filename=/tmp/data --rw=randrw --bsrange=4k-128k --direct=1 --ioengine=libaio --iodepth=16 \\
      --size=64M --verify=crc32c --verify_fatal=1 --output-format=json >/tmp/fio.json || echo SOAK-FIO-FAILED
    tr -d '\\n ' </tmp/fio.json | grep -o '"clat_ns":{"min":[0-9]*,"max":[0-9]*' | sed 's/.*"max":/SOAK-FIO-MAX /'
  done
}
net() {
  while more; do
    for way in "" -R; do
      iperf3 -c 10.0.2.2 -p PORT -t 15 $way --forceflush -f k >/tmp/iperf$way || echo SOAK-IPERF-FAILED
      grep -c ' sec .* 0.00 Bytes' /tmp/iperf$way | sed 's/^/SOAK-IPERF-EMPTY /'
    done
  done
}
share() {
  while more; do
    mkdir /mnt/p/copy
    tar cf - -C /mnt/p/tree . | tar xf - -C /mnt/p/copy || echo SOAK-TAR-FAILED
    sync; echo 3 >/proc/sys/vm/drop_caches
    (cd /mnt/p/copy && md5sum --quiet -c /mnt/p/sums) && echo SOAK-TREE-RIGHT || echo SOAK-TREE-WRONG
    rm -r /mnt/p/copy || echo SOAK-RM-FAILED
  done
}
ticks() {
  python3 -c '
import time
worst = 0
last = time.monotonic()
end = last + SECONDS_TO_RUN
while last < end:
    time.sleep(0.1)
    now = time.monotonic()
    worst = max(worst, now - last - 0.1)
    last = now
print("SOAK-LATEST-TICK", round(worst, 3), flush=True)'
}
FLOOD_COMMAND >/dev/virtio-ports/flood &
flood=$!
disk & net & share & ticks & wait %2 %3 %5
kill $flood
wait %4
echo SOAK-''OVER
"""


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", default=f"{TOP}/build/app/hartvisor -accel jit,tb-size=16")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--smp", type=int, default=4)
    parser.add_argument("--files", type=int, default=20000, help="files of the tree")
    parser.add_argument("--disk", default=GUEST / "debian.ext4", help="Debian root disk with fio, iperf3, python3")
    parser.add_argument("--more-minutes", type=float, default=10, help="how long parts may take to end what they began")
    parser.add_argument("--mount", default="", help="more mount options of the share, e.g. ,cache=loose")
    parser.add_argument("--append", default="", help="more kernel command line words")
    parser.add_argument("--scratch", default="/var/tmp", help="where the image and the share lie")
    options = parser.parse_args()
    if not pathlib.Path(options.disk).exists():
        parser.error(f"--disk {options.disk} is missing: tools/fetch-guest --disk --with=iperf3,python3 makes it")
    if not shutil.which("iperf3"):
        parser.error("iperf3: no such command")

    with tempfile.TemporaryDirectory(prefix="hv-soak-", dir=options.scratch) as directory:
        scratch = pathlib.Path(directory)
        (scratch / "share/tree").mkdir(parents=True)
        (scratch / "share/sums").write_text(make_tree(scratch / "share/tree", options.files))
        (scratch / "data.raw").touch()
        os.truncate(scratch / "data.raw", 64 << 20)
        seconds = int(options.minutes * 60)
        script = GUEST_SCRIPT.replace("SECONDS_TO_RUN", str(seconds)).replace("PORT", str(PORT))
        (scratch / "share/soak.sh").write_text(script.replace("FLOOD_COMMAND", FLOOD))
        server = subprocess.Popen(["iperf3", "-s", "-p", str(PORT)], stdout=subprocess.DEVNULL)
        try:
            ok = run(options, scratch, seconds)
        finally:
            server.kill()
    sys.exit(0 if ok else 1)


def run(options, scratch, seconds):
    arguments = linux(
        "-overcommit", "mem-lock=on", "-object", "iothread,id=io1",
        "-drive", f"file={options.disk},format=raw,if=none,id=root,snapshot=on",
        "-device", "virtio-blk-device,drive=root,serial=root",
        "-drive", f"file={scratch}/data.raw,format=raw,if=none,id=data,cache=none,aio=io_uring",
        "-device", "virtio-blk-device,drive=data,serial=data,iothread=io1",
        "-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net",
        "-fsdev", f"local,id=share,path={scratch}/share,security_model=none",
        "-device", "virtio-9p-device,fsdev=share,mount_tag=share",
        "-device", "virtio-serial-device",
        "-chardev", f"socket,id=flood,path={scratch}/flood,server=on,wait=off",
        "-device", "virtserialport,chardev=flood,name=flood",
        smp=options.smp, memory="2G", then="root", append="quiet " + options.append,
    )  # fmt: skip
    with Machine(*arguments, emulator=shlex.split(options.emulator)) as machine:
        machine.expect("login: ", 900)
        machine.send("root\n")
        machine.expect("# $", 300)
        machine.send("stty -echo; PS1=; dmesg -n 4; echo shell''-ready\n")
        machine.expect("shell-ready\r\n")
        machine.run("for s in /sys/block/vd*; do ln -sf /dev/${s##*/} /tmp/$(cat $s/serial); done")
        machine.run("n=$(ls -d /sys/class/net/e*); n=${n##*/}; ip link set $n up; ip addr add 10.0.2.15/24 dev $n")
        machine.run(f"mkdir -p /mnt/p; mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288{options.mount} share /mnt/p")
        flood = Flood(scratch / "flood")
        flood.start()
        start = machine.seen
        machine.send("bash /mnt/p/soak.sh 2>&1\n")
        begin, memory = time.monotonic(), []
        limit = begin + seconds + options.more_minutes * 60
        while b"SOAK-OVER" not in machine.console[start:] and time.monotonic() < limit:
            machine._read(1)
            if time.monotonic() > begin + seconds * (len(memory) + 1) / 4:
                memory.append(resident_mib(machine.process.pid))
        memory.append(resident_mib(machine.process.pid))
        text = machine.console[start:].decode(errors="replace")
        machine.healthy()
        machine.kill()

    def numbers(word):
        return [float(value) for value in re.findall(rf"{word} ([0-9.]+)", text)]

    checks = [
        ("all parts came to their end", "SOAK-OVER" in text, text[-300:] if "SOAK-OVER" not in text else ""),
        ("no part failed", not re.search(r"SOAK-\w+-(FAILED|WRONG)", text), ", ".join(re.findall(r"SOAK-\w+-(?:FAILED|WRONG)", text))),
        (f"trees of {options.files} files copied right", "SOAK-TREE-RIGHT" in text, f"{text.count('SOAK-TREE-RIGHT')}"),
        ("the flood's lines in order", flood.lines > 0 and not flood.wrong, flood.wrong or f"{flood.lines} lines"),
        ("the flood's longest pause, at most 1 s", flood.worst_gap <= 1, f"{flood.worst_gap:.3f} s"),
        ("fio's slowest request, at most 1 s", max(numbers("SOAK-FIO-MAX"), default=2e9) <= 1e9,
         f"{max(numbers('SOAK-FIO-MAX'), default=0) / 1e9:.3f} s of {len(numbers('SOAK-FIO-MAX'))} results"),
        ("seconds of iperf3 without a byte", numbers("SOAK-IPERF-EMPTY") and not any(numbers("SOAK-IPERF-EMPTY")),
         f"{sum(numbers('SOAK-IPERF-EMPTY')):.0f} in {len(numbers('SOAK-IPERF-EMPTY'))} runs"),
        ("the latest tick, at most 1 s", max(numbers("SOAK-LATEST-TICK"), default=9) <= 1, f"{numbers('SOAK-LATEST-TICK')}"),
        ("growth after a quarter of the time, at most 16 MiB", len(memory) >= 4 and memory[-1] - memory[0] <= 16,
         ", ".join(f"{each:.1f}" for each in memory) + " MiB"),
    ]  # fmt: skip
    for name, good, detail in checks:
        print(f"{'ok    ' if good else 'FAILED'}  {name}: {detail}")
    return all(good for _, good, _ in checks)


main()
