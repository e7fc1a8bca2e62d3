"""virtio-serial, virtio-balloon and virtio-rng with a real Linux: consoles, ports, memory, entropy."""

import fcntl
import hashlib
import os
import pathlib
import pty
import random
import re
import select
import signal
import socket
import struct
import termios
import time
import unittest

from guest import EMULATOR, SCALE, GuestError, Machine, Qmp, linux, scratch

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
    """A terminal emulator: on the pty of a chardev, or around a process on a pty of ours."""

    def __init__(self, path=None, fd=None):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY) if fd is None else fd
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

    @staticmethod
    def port(machine, name):
        """The guest's device of the port with that name."""
        return machine.run(
            "for p in /sys/class/virtio-ports/*; do "
            f'[ "$(cat $p/name 2>/dev/null)" = {name} ] && echo /dev/${{p##*/}}; done; true'
        ).strip()

    @staticmethod
    def line(peer):
        with peer.makefile("rb") as stream:
            return stream.readline()

    def test_tcp_pipes_and_a_client_that_connects_again(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            tcp = probe.getsockname()[1]
        for end in ("in", "out"):
            os.mkfifo(self.directory / f"pipe.{end}")
        machine = self.start(
            "-chardev", f"socket,id=t,host=127.0.0.1,port={tcp},server=on,wait=off",
            "-chardev", f"pipe,id=p,path={self.directory}/pipe",
            "-chardev", f"socket,id=r,path={self.directory}/late,reconnect-ms=20",
            "-chardev", f"socket,id=c,path={self.directory}/console,reconnect-ms=20",
            "-device", "virtio-serial",
            "-device", "virtconsole,chardev=c",
            "-device", "virtserialport,chardev=t,name=tcp",
            "-device", "virtserialport,chardev=p,name=pipe",
            "-device", f"virtserialport,chardev=r,name={PORT}",
        )  # fmt: skip
        machine.shell()
        machine.run("mount -t debugfs debugfs /sys/kernel/debug")

        port = self.port(machine, "tcp")
        peer = socket.create_connection(("127.0.0.1", tcp))
        self.addCleanup(peer.close)
        machine.send(f"until read -r line <{port} && [ -n \"$line\" ]; do sleep 0.1; done; "
                     f"echo $line-and-back >{port}\n")  # fmt: skip
        peer.sendall(b"there\n")
        self.assertEqual(self.line(peer), b"there-and-back\n")

        port = self.port(machine, "pipe")
        to_guest = os.open(self.directory / "pipe.in", os.O_WRONLY)
        from_guest = os.open(self.directory / "pipe.out", os.O_RDONLY)
        os.write(to_guest, b"through\n")
        machine.run(f"read -r line <{port}; echo $line-it >{port}")
        self.assertEqual(os.read(from_guest, 100), b"through-it\n")
        # A pipe whose other end comes and goes stays a pipe.
        os.close(to_guest)
        to_guest = os.open(self.directory / "pipe.in", os.O_WRONLY)
        os.write(to_guest, b"again\n")
        self.assertIn("again", machine.run(f"read -r line <{port}; echo $line"))
        os.close(to_guest)
        os.close(from_guest)

        port = self.port(machine, PORT)
        for number in range(2):
            self.wait_for_host(machine, 0)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(self.directory / "late"))
                server.listen()
                peer = server.accept()[0]
                self.wait_for_host(machine, 1)
                peer.sendall(b"hello %d\n" % number)
                machine.run(f"read -r line <{port}; echo $line back >{port}")
                self.assertEqual(self.line(peer), b"hello %d back\n" % number)
            (self.directory / "late").unlink()
            peer.close()

        # A console loses what it says while nobody is there, and goes on with the next peer.
        # The terminal forgets its mode when the last program closes it.
        machine.run("exec 7<>/dev/hvc0; stty raw -echo <&7; echo lost >&7")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(self.directory / "console"))
                server.listen()
                peer = server.accept()[0]
                machine.send("read -r line <&7; echo $line yourself >&7; echo told''-it\n")
                peer.sendall(b"hello\n")
                self.assertEqual(self.line(peer), b"hello yourself\n")
                machine.expect("told-it")
            (self.directory / "console").unlink()
            peer.close()
        machine.healthy()

    def test_a_full_disk_behind_any_port_is_told_once_and_stops_nothing(self):
        arguments = linux(append="console=hvc0", then="shell")
        arguments.remove("-nographic")
        arguments += ["-display", "none", "-serial", "file:/dev/full"]
        arguments += ["-device", "virtio-serial"]
        arguments += ["-chardev", "stdio,id=c", "-device", "virtconsole,chardev=c"]
        arguments += ["-chardev", "file,id=f1,path=/dev/full", "-device", "virtconsole,chardev=f1"]
        arguments += ["-chardev", "file,id=f2,path=/dev/full"]
        arguments += ["-device", "virtserialport,chardev=f2,name=full"]
        with Machine(*arguments) as machine:
            machine.shell()
            for _ in range(2):
                for port in ("/dev/ttyS0", "/dev/hvc1", self.port(machine, "full")):
                    machine.run(f"head -c 300000 /dev/zero >{port}")
            lines = [line for line in machine.console.splitlines() if b"/dev/full" in line]
            self.assertEqual(len(lines), 3, lines)
            for line in lines:
                self.assertIn(b"No space left on device", line)
            machine.healthy()

    def test_the_terminal_on_stdio_tells_its_size(self):
        arguments = linux(append="console=hvc0", then="shell")
        arguments.remove("-nographic")
        arguments += ["-display", "none", "-serial", "null", "-chardev", "stdio,id=c,signal=off"]
        arguments += ["-device", "virtio-serial", "-device", "virtconsole,chardev=c"]
        process, fd = pty.fork()
        if process == 0:
            command = [*EMULATOR, *map(str, arguments)]
            os.execvp(command[0], command)
        self.addCleanup(os.waitpid, process, 0)
        self.addCleanup(os.kill, process, signal.SIGKILL)
        terminal = Terminal(fd=fd)
        self.addCleanup(terminal.close)
        terminal.expect("guest# ", 240)
        for columns, rows in ((132, 43), (97, 31)):
            terminal.resize(columns, rows)  # the kernel sends SIGWINCH
            terminal.send(f"until [ \"$(stty -F /dev/hvc0 size)\" = '{rows} {columns}' ]; "
                          "do sleep 0.1; done; echo seen''-it\n")  # fmt: skip
            terminal.expect("seen-it")

    def test_a_client_hears_when_the_guest_opens_a_port(self):
        path = self.directory / "qmp"
        machine = self.start(
            "-qmp", f"unix:{path},server=on,wait=off",
            "-chardev", "null,id=n", "-chardev", "null,id=m",
            "-device", "virtio-serial",
            "-device", f"virtserialport,id=agent,chardev=n,name={PORT}",
            "-device", "virtserialport,chardev=m,name=nameless",
        )  # fmt: skip
        machine.shell()
        qmp = Qmp(path)
        self.addCleanup(qmp.close)
        other = self.port(machine, "nameless")
        machine.run(f"exec 8<>{self.port(machine, PORT)} 9<>{other}")
        event = qmp.wait_event("VSERPORT_CHANGE")
        self.assertEqual(event["data"], {"open": True, "id": "agent"})
        machine.run("exec 9>&- 8>&-")
        event = qmp.wait_event("VSERPORT_CHANGE")
        self.assertEqual(event["data"], {"open": False, "id": "agent"})
        machine.run(f"exec 8<>{self.port(machine, PORT)}")
        event = qmp.wait_event("VSERPORT_CHANGE")
        self.assertEqual(event["data"], {"open": True, "id": "agent"})
        qmp.command("system_reset")
        event = qmp.wait_event("VSERPORT_CHANGE")
        self.assertEqual(event["data"], {"open": False, "id": "agent"})

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
