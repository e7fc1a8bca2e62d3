"""virtio-serial, virtio-balloon and virtio-rng with a real Linux: consoles, ports, memory, entropy."""

import fcntl
import hashlib
import os
import pathlib
import random
import re
import select
import socket
import struct
import termios
import time
import unittest

from guest import SCALE, GuestError, Machine, Qmp, linux, scratch

PORT = "org.hartvisor.test"
FIND_PORT = (
    "for p in /sys/class/virtio-ports/*; do "
    f'[ "$(cat $p/name 2>/dev/null)" = {PORT} ] && port=/dev/${{p##*/}}; done; '
)
MIB = 1 << 20


def until(condition, what, seconds=120):
    """Waits until `condition()` holds; the limit only ends a guest that hangs."""
    limit = time.monotonic() + seconds * SCALE
    while not condition():
        if time.monotonic() > limit:
            raise GuestError(f"{what}: not in time")
        time.sleep(0.2)


class Terminal:
    """A terminal emulator on a pty chardev."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.text = b""

    def close(self):
        os.close(self.fd)

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=120):
        limit = time.monotonic() + seconds * SCALE
        while True:
            match = re.search(pattern.encode(), self.text)
            if match:
                self.text = self.text[match.end() :]
                return match
            if time.monotonic() > limit:
                raise GuestError(f"no {pattern!r} on the terminal, but: {self.text!r}")
            if select.select([self.fd], [], [], 0.5)[0]:
                self.text += os.read(self.fd, 65536)


class Console(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def connect(self, name):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(str(self.directory / name))
        return peer

    def start(self, *more, **how):
        machine = Machine(*linux(*more, then="shell", **how))
        self.addCleanup(machine.__exit__)
        return machine

    @staticmethod
    def wait_for_size(machine, columns, rows):
        machine.run(
            f"until [ \"$(stty -F /dev/hvc0 size)\" = '{rows} {columns}' ]; do sleep 0.1; done"
        )

    def test_a_login_on_hvc0_sees_the_terminal_change_its_size(self):
        machine = self.start(
            "-chardev", "pty,id=term", "-device", "virtio-serial", "-device", "virtconsole,chardev=term"
        )  # fmt: skip
        path = machine.expect(r"char device redirected to (\S+) \(label term\)").group(1).decode()
        machine.shell()
        terminal = Terminal(path)
        self.addCleanup(terminal.close)
        terminal.resize(132, 43)
        machine.run("echo root::0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group")
        # Once the size is there, the terminal is, and what getty says first is not lost.
        self.wait_for_size(machine, 132, 43)
        machine.run("touch /etc/shadow; (setsid getty -L 0 hvc0 vt100 &) 2>/dev/null")
        terminal.expect("login: ")
        terminal.send("root\n")
        terminal.expect("[#$] ")
        for columns, rows in ((132, 43), (97, 31)):
            terminal.resize(columns, rows)
            self.wait_for_size(machine, columns, rows)
            terminal.send("stty size; echo asked''=yes\n")
            terminal.expect(f"{rows} {columns}\r\n")
            terminal.expect("asked=yes")
        machine.healthy()

    @staticmethod
    def wait_for_host(machine, connected):
        machine.run(
            "until grep -h -A2 hartvisor.test /sys/kernel/debug/virtio-ports/* | "
            f"grep -q 'host_connected: {connected}'; do sleep 0.1; done"
        )

    def test_a_named_port_moves_data_intact_and_peers_come_and_go(self):
        # Two devices and the options as vmtest gives them; the log on a file as virtme-ng has it.
        log = self.directory / "console.log"
        machine = self.start(
            "-chardev", f"file,path={log},id=dmesg",
            "-device", "virtio-serial", "-device", "virtconsole,chardev=dmesg",
            "-chardev", f"socket,path={self.directory}/port,server=on,wait=off,id=p0",
            "--device", "virtio-serial,id=second",
            "-device", f"virtserialport,bus=second.0,chardev=p0,name={PORT}",
            "-chardev", "ringbuf,id=ring,size=4096",
            "-device", "virtserialport,bus=second.0,chardev=ring,name=ring",
            smp=2,
        )  # fmt: skip
        machine.shell()
        machine.run("mount -t debugfs debugfs /sys/kernel/debug")
        machine.run(FIND_PORT + "ln -s $port /dev/test && [ -c /dev/test ]")
        data = random.Random(3).randbytes(8 * MIB)
        digest = hashlib.md5(data).hexdigest()

        peer = self.connect("port")
        # A reader who comes before the guest has heard of the peer gets an end of file.
        self.wait_for_host(machine, 1)
        machine.send("head -c 8388608 </dev/test >/tmp/data; echo got''-it\n")
        peer.sendall(data)
        machine.expect("got-it")
        self.assertIn(digest, machine.run("md5sum /tmp/data"))

        # A reader that begins late and stops at times loses nothing, and the rest goes on.
        machine.run("cat /tmp/data >/dev/test & echo")
        machine.run("sync; echo alive")
        received = b""
        while len(received) < len(data):
            block = peer.recv(65536)
            self.assertTrue(block, "the port closed")
            received += block
            if len(received) % MIB < len(block):
                machine.run("echo alive")
        self.assertEqual(hashlib.md5(received).hexdigest(), digest)

        # The guest sees a peer go after what it has sent, and the next one come.
        peer.sendall(b"first")
        peer.close()
        self.assertIn("first", machine.run("cat /dev/test"))
        self.wait_for_host(machine, 0)
        peer = self.connect("port")
        self.wait_for_host(machine, 1)
        peer.sendall(b"second\n")
        self.assertIn("second", machine.run("read -r line </dev/test; echo $line"))
        machine.run("echo third >/dev/test")
        self.assertEqual(peer.recv(100), b"third\n")

        # The terminal forgets its mode when the last program closes it. Floods: a console into a file, byte for byte; a ring buffer takes all.
        machine.run("(stty raw; head -c 4194304 /tmp/data >/dev/hvc0) </dev/hvc0")
        until(lambda: log.stat().st_size >= 4 * MIB, "the console's file")
        self.assertEqual(log.read_bytes(), data[: 4 * MIB])
        machine.run("for p in /sys/class/virtio-ports/*; do [ \"$(cat $p/name)\" = ring ] && "
                    "cat /tmp/data >/dev/${p##*/}; done; true")  # fmt: skip
        machine.healthy()

    def test_linux_lives_without_a_serial_port(self):
        arguments = linux(append="console=hvc0")
        arguments.remove("-nographic")
        arguments += ["-display", "none", "-serial", "none", "-chardev", "stdio,id=c"]
        arguments += ["-device", "virtio-serial", "-device", "virtconsole,chardev=c"]
        with Machine(*arguments) as machine:
            machine.expect("GUEST-READY nproc=1")
            self.assertEqual(machine.wait(), 0)


class Memory(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.qmp_path = pathlib.Path(holder.name) / "qmp"

    def start(self, *more):
        machine = Machine(
            *linux(*more, "-qmp", f"unix:{self.qmp_path},server=on,wait=off", then="shell")
        )
        self.addCleanup(machine.__exit__)
        machine.shell()
        return machine

    @staticmethod
    def resident(machine):
        pages = int(pathlib.Path(f"/proc/{machine.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def test_the_balloon_gives_memory_back(self):
        machine = self.start("-device", "virtio-balloon,id=b,guest-stats-polling-interval=1")
        qmp = Qmp(self.qmp_path)
        self.addCleanup(qmp.close)
        self.assertEqual(qmp.command("query-balloon"), {"actual": 512 * MIB})
        machine.run("dd if=/dev/zero of=/tmp/big bs=1M count=180 2>/dev/null; rm /tmp/big")
        full = self.resident(machine)
        self.assertGreater(full, 180 * MIB)
        qmp.command("balloon", value=192 * MIB)
        until(lambda: qmp.command("query-balloon") == {"actual": 192 * MIB}, "inflation")
        self.assertLess(self.resident(machine), full - 100 * MIB)
        event = qmp.wait_event("BALLOON_CHANGE")
        self.assertLess(event["data"]["actual"], 512 * MIB)
        qmp.command("balloon", value=512 * MIB)
        until(lambda: qmp.command("query-balloon") == {"actual": 512 * MIB}, "deflation")
        stats = {}

        def total():
            stats.update(
                qmp.command("qom-get", path="/machine/peripheral/b", property="guest-stats")
            )
            return 0 < stats["stats"]["stat-total-memory"] <= 512 * MIB

        until(total, "statistics")
        machine.run("dd if=/dev/zero of=/tmp/big bs=1M count=180 2>/dev/null; rm /tmp/big")
        machine.healthy()

    def test_free_pages_go_back_by_themselves(self):
        machine = self.start("-device", "virtio-balloon,free-page-reporting=on")
        machine.run("dd if=/dev/zero of=/tmp/big bs=1M count=180 2>/dev/null")
        full = self.resident(machine)
        machine.run("rm /tmp/big")
        until(lambda: self.resident(machine) < full - 100 * MIB, "free page reporting")
        machine.run("dd if=/dev/zero of=/tmp/big bs=1M count=180 2>/dev/null")
        machine.healthy()

    def test_entropy_comes_as_fast_as_its_limit_and_no_faster(self):
        machine = self.start("-device", "virtio-rng,max-bytes=1024,period=1000")
        machine.run("grep -q virtio_rng /sys/class/misc/hw_random/rng_current")
        text = machine.run(
            "read a _ </proc/uptime; dd if=/dev/hwrng of=/tmp/r bs=64 count=64 2>/dev/null; "
            "read b _ </proc/uptime; wc -c </tmp/r; echo from=$a to=$b"
        )
        self.assertIn("4096\n", text)
        begin, end = re.search(r"from=(\S+) to=(\S+)", text).groups()
        periods = float(end) - float(begin)
        # What was waiting in the guest, the period that had begun, and each one that began since.
        self.assertLessEqual(4096, 1024 * (periods + 3))
        machine.healthy()


if __name__ == "__main__":
    unittest.main()
