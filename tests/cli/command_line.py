#!/usr/bin/env python3
"""The program as a user meets it: exit status, one line for each mistake, consoles, -daemonize.

usage: command_line.py HARTVISOR [unittest arguments]
"""
import fcntl
import gzip
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HARTVISOR = os.path.abspath(sys.argv.pop(1))
TIMEOUT = 60

# Guests of a few instructions.
IDLE = [0x0000006F]  # j .


def finisher(value):
    """li x5, 0x100000; li x6, value; sw x6, 0(x5); j ."""
    low = value & 0xFFF
    high = ((value + 0x800) >> 12) & 0xFFFFF
    return [0x001002B7, high << 12 | 0x337, low << 20 | 0x30313, 0x0062A023, 0x0000006F]


POWER_OFF = finisher(0x5555)
# li x5, 0x10000000; li x6, 'A'; sb x6, 0(x5), then power off
PRINT_A = [0x100002B7, 0x04100313, 0x00628023] + POWER_OFF


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hv-cli-")
        self.addCleanup(shutil.rmtree, self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def guest(self, words):
        with open(self.path("guest.bin"), "wb") as file:
            file.write(struct.pack(f"<{len(words)}I", *words).ljust(4096, b"\0"))
        return ["-M", "virt", "-m", "16", "-display", "none", "-bios", self.path("guest.bin")]

    def disk(self, name="disk.img", size=1 << 20):
        with open(self.path(name), "wb") as file:
            file.truncate(size)
        return self.path(name)

    def run_hv(self, *arguments, **keywords):
        keywords.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([HARTVISOR, *arguments], capture_output=True, text=True,
                              timeout=TIMEOUT, cwd=self.directory, **keywords)

    def start_hv(self, *arguments):
        process = subprocess.Popen([HARTVISOR, *arguments], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, cwd=self.directory)
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
        return process

    @staticmethod
    def blocks(process, number):
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            blocked = next(line for line in file if line.startswith("SigBlk:"))
        return int(blocked.split()[1], 16) >> (number - 1) & 1

    def wait_until(self, condition, what):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def connect(self, name):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.settimeout(TIMEOUT)
        peer.connect(self.path(name))
        return peer

    # --- texts

    def test_help_and_version(self):
        self.assertTrue(self.run_hv("-version").stdout.startswith("hartvisor version "))
        self.assertIn("QEMU", self.run_hv("--help").stdout)
        self.assertIn("RISC-V VirtIO board", self.run_hv("-machine", "?").stdout)
        os.symlink(HARTVISOR, self.path("qemu-system-riscv64"))
        for option in "-version", "-h":
            text = subprocess.run([self.path("qemu-system-riscv64"), option], capture_output=True,
                                  text=True, timeout=TIMEOUT).stdout
            self.assertTrue(text.startswith("QEMU emulator version 10.0.0 ("), text)

    # --- mistakes

    def assert_refused(self, expected, *arguments):
        result = self.run_hv(*arguments)
        self.assertEqual(result.returncode, 1, (arguments, result))
        self.assertEqual(result.stderr.count("\n"), 1, (arguments, result.stderr))
        self.assertTrue(result.stderr.startswith("hartvisor: "), result.stderr)
        self.assertIn(expected, result.stderr)

    def test_mistakes_get_one_line(self):
        guest = self.guest(IDLE)
        disk = self.disk()
        odd = self.disk("odd.img", 1000)
        packed = self.path("packed")
        with gzip.open(packed, "wb") as file:
            file.write(bytes(4096))
        drive = f"file={disk},format=raw,id=d"
        for expected, *arguments in [
            ("-foo", "-foo"),
            ("-spice", "-spice", "x"),
            ("-smp", "-smp", "0"),
            ("-smp", "-smp", "65"),
            ("-smp", "-smp", "many"),
            ("-m", "-m", "1k"),
            ("-m", "-m", "much"),
            ("/nope", "-kernel", "/nope", "-display", "none"),
            ("/nope", "-bios", "/nope", "-display", "none"),
            *((option, *guest, option, "")
              for option in ("-kernel", "-initrd", "-dtb", "-bios", "-pidfile", "-D")),
            ("firmware=", "-M", "virt,firmware="),
            ("gzip", *guest, "-bios", packed),
            ("/nope", *guest, "-drive", "file=/nope"),
            ("filename=", *guest, "-blockdev", "driver=raw,node-name=n"),
            ("directory", *guest, "-drive", f"file={self.directory}"),
            ("512", *guest, "-drive", f"file={odd},format=raw"),
            ("'foo'", *guest, "-device", "foo"),
            ("'bar'", *guest, "-drive", drive, "-device", "virtio-blk-device,drive=d,bar=1"),
            ("-device virtio-blk-device: drive=zz", *guest, "-device",
             "virtio-blk-device,drive=zz"),
            ("-device virtio-rng-device: rng=zz", *guest, "-device", "virtio-rng-device,rng=zz"),
            ("-device virtio-blk-device: iothread=zz", *guest, "-drive", drive, "-device",
             "virtio-blk-device,drive=d,iothread=zz"),
            ("zz", *guest, "-serial", "chardev:zz"),
            ("zz", *guest, "-mon", "chardev=zz,mode=control"),
            ("bus.0", *guest, "-device", "virtio-rng-device,bus=virtio-mmio-bus.0",
             "-device", "virtio-rng-device,bus=virtio-mmio-bus.0"),
            ("8", *guest, *["-device", "virtio-rng-device"] * 9),
            ("d", *guest, "-drive", drive, "-device", "virtio-blk-device,drive=d",
             "-device", "virtio-blk-device,drive=d"),
            ("/nope", *guest, "-pidfile", "/nope/pid"),
            ("/nope", *guest, "-D", "/nope/log"),
            ("/nope", *guest, "-qmp", "unix:/nope/qmp,server=on,wait=off"),
            ("/nope", *guest, "-daemonize", "-pidfile", "/nope/pid"),
            ("foo", *guest, "-d", "foo"),
            ("-accel kvm", *guest, "-accel", "kvm"),
            ("-accel fast", *guest, "-accel", "jit:fast"),
            ("tb-size=0", *guest, "-accel", "tcg,tb-size=0"),
            ("threshold", *guest, "-accel", "interp,threshold=1"),
        ]:
            with self.subTest(arguments=arguments[-3:]):
                self.assert_refused(expected, *arguments)

    def test_a_locked_disk_is_refused(self):
        disk = self.disk()
        drive = ["-drive", f"file={disk},format=raw,if=virtio"]
        first = self.start_hv(*self.guest(IDLE), *drive, "-qmp",
                              f"unix:{self.path('qmp')},server=on,wait=off", "-pidfile", "pid")
        self.wait_until(lambda: os.path.exists(self.path("pid")), "the pid file")
        self.assert_refused(disk, *self.guest(IDLE), *drive)
        first.terminate()
        self.assertEqual(first.wait(TIMEOUT), 0)

    @unittest.skipIf(os.geteuid() == 0, "root may write anything")
    def test_a_read_only_disk_is_refused(self):
        disk = self.disk()
        os.chmod(disk, 0o444)
        self.assert_refused(disk, *self.guest(IDLE), "-drive", f"file={disk},format=raw,if=virtio")

    # --- the guest's end is ours

    def test_exit_status_is_the_guests(self):
        for value, status in [(0x5555, 0), (3 << 16 | 0x3333, 3)]:
            result = self.run_hv(*self.guest(finisher(value)))
            self.assertEqual((result.returncode, result.stderr), (status, ""))

    def test_no_reboot_ends_at_a_reset(self):
        self.assertEqual(self.run_hv(*self.guest(finisher(0x7777)), "-no-reboot").returncode, 0)

    def test_signals_end_it_in_order(self):
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            process = self.start_hv(*self.guest(IDLE), "-pidfile", "pid")
            self.wait_until(lambda: os.path.exists(self.path("pid")), "the pid file")
            process.send_signal(number)
            self.assertEqual(process.wait(TIMEOUT), 0)
            self.assertIn(f"hartvisor: terminating on signal {int(number)} from pid {os.getpid()}",
                          process.stderr.read())
            self.assertFalse(os.path.exists(self.path("pid")))

    def test_an_interrupted_wait_leaves_no_socket(self):
        process = self.start_hv(*self.guest(IDLE), "-qmp", "unix:qmp,server=on")
        self.assertIn("waiting for connection", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT), 1)
        self.assertEqual(process.stderr.read().count("\n"), 1)
        self.assertFalse(os.path.exists(self.path("qmp")))

    def test_an_image_comes_through_a_pipe(self):
        guest = self.guest(POWER_OFF)
        os.mkfifo(self.path("pipe"))
        guest[-1] = "pipe"
        process = self.start_hv(*guest)
        with open(self.path("guest.bin"), "rb") as file, open(self.path("pipe"), "wb") as pipe:
            shutil.copyfileobj(file, pipe)
        self.assertEqual((process.wait(TIMEOUT), process.stderr.read()), (0, ""))

    def test_a_pipe_without_writer_can_be_interrupted(self):
        os.mkfifo(self.path("pipe"))
        for option in "-bios", "-kernel":
            process = self.start_hv("-display", "none", "-pidfile", "pid", option, "pipe")
            # Its signals are ours to send once it has its own way with them.
            self.wait_until(lambda: process.poll() is not None or self.blocks(process, signal.SIGINT),
                            "the signals are blocked")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT), 1)
            self.assertIn(f"{option} pipe: interrupted", process.stderr.read())

    # --- consoles: what the guest wrote last is there at the end

    def test_serial_output_arrives_before_the_end(self):
        guest = self.guest(PRINT_A)
        self.assertEqual(self.run_hv(*guest, "-serial", "stdio").stdout, "A")
        self.assertEqual(self.run_hv(*guest, "-nographic").stdout, "A")
        self.assertEqual(self.run_hv(*guest, "-chardev", "stdio,id=c,signal=off", "-serial",
                                     "chardev:c").stdout, "A")
        self.assertEqual(self.run_hv(*guest, "-nodefaults").stdout, "")
        self.run_hv(*guest, "-serial", "file:out")
        with open(self.path("out"), encoding="ascii") as file:
            self.assertEqual(file.read(), "A")

    def test_serial_on_a_socket(self):
        process = self.start_hv(*self.guest(PRINT_A), "-serial", "unix:tty,server=on")
        self.assertIn("waiting for connection", process.stderr.readline())
        self.assertEqual(self.connect("tty").recv(16), b"A")
        self.assertEqual(process.wait(TIMEOUT), 0)

    # --- command lines of others

    def test_known_command_lines_are_taken(self):
        disk = self.disk()
        guest = self.guest(POWER_OFF)
        for arguments in [
            ["-drive", f"file={disk},format=raw,id=hd0", "-device", "virtio-blk-device,drive=hd0"],
            ["-drive", f"file={disk},format=raw,if=virtio,serial=x,cache=none", "-snapshot"],
            ["-object", '{"qom-type":"iothread","id":"t"}', "-blockdev",
             '{"driver":"file","filename":"%s","node-name":"s"}' % disk, "-blockdev",
             '{"driver":"raw","node-name":"n","file":"s"}', "-device",
             '{"driver":"virtio-blk-device","drive":"n","id":"v","iothread":"t"}'],
            ["-object", "rng-random,filename=/dev/urandom,id=rng",
             "--device", "virtio-rng-device,rng=rng"],
            ["-accel", "interp"],
            ["-accel", "jit,threshold=0,tb-size=1"],
            ["-accel", "kvm:tcg,thread=multi,tb-size=512"],
            ["-M", "virt,accel=kvm:jit"],
            ["-name", "guest=g,debug-threads=on", "-no-user-config", "-nodefaults", "-accel", "tcg",
             "-smp", "2,sockets=2,cores=1,threads=1", "-rtc", "base=utc", "-vga", "none",
             "-net", "none", "-parallel", "none", "-monitor", "none", "-msg", "timestamp=on"],
        ]:
            with self.subTest(arguments=arguments):
                result = self.run_hv(*guest, *arguments)
                self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_one_line_says_that_nothing_is_compiled(self):
        guest = self.guest(POWER_OFF) + ["-smp", "2", "-cpu", "rv64,c=off"]
        result = self.run_hv(*guest)
        self.assertEqual((result.returncode, result.stderr.count("\n")), (0, 1), result.stderr)
        self.assertIn("all is interpreted", result.stderr)
        self.assertEqual(self.run_hv(*guest, "-accel", "interp").stderr, "")

    # --- background

    def test_daemonize_returns_when_all_is_there(self):
        result = self.run_hv(*self.guest(IDLE), "-daemonize", "-pidfile", "pid", "-qmp",
                             "unix:qmp,server=on,wait=off", "-nic",
                             "stream,server=on,addr.type=unix,addr.path=wire")
        # run_hv() returned, so the daemon holds none of our pipes.
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        with open(self.path("pid"), encoding="ascii") as file:
            pid = int(file.read())
            with self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        qmp = self.connect("qmp")
        qmp.sendall(b'{"execute":"qmp_capabilities"}{"execute":"query-status"}')
        lines = qmp.makefile("rb")
        self.assertIn(b'"QMP"', lines.readline())
        self.assertEqual(lines.readline(), b'{"return": {}}\r\n')
        self.assertEqual(json.loads(lines.readline())["return"]["status"], "running")
        qmp.sendall(b'{"execute":"quit"}')
        for name in "pid", "qmp", "wire":
            self.wait_until(lambda: not os.path.exists(self.path(name)), f"{name} goes")

    def test_closed_standard_streams_are_nobody_elses(self):
        # The shell starts us with none of them; QMP answers only if the main loop is whole.
        guest = self.guest(IDLE)
        command = [HARTVISOR, *guest, "-daemonize", "-pidfile", "pid", "-qmp",
                   "unix:qmp,server=on,wait=off", "-drive",
                   f"file={self.disk()},format=raw,if=virtio"]
        shell = f"exec {shlex.join(command)} <&- >&- 2>&-"
        self.assertEqual(subprocess.run(["sh", "-c", shell], cwd=self.directory,
                                        timeout=TIMEOUT).returncode, 0)
        with open(self.path("pid"), encoding="ascii") as file:
            pid = int(file.read())
        try:
            for fd in range(3):
                self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
            qmp = self.connect("qmp")
            qmp.sendall(b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
            self.assertIn(b'"QMP"', qmp.makefile("rb").readline())
            self.wait_until(lambda: not os.path.exists(self.path("pid")), "the pid file goes")
        except (OSError, AssertionError):
            os.kill(pid, signal.SIGKILL)
            raise

    def test_a_qmp_server_waits_for_its_client(self):
        process = self.start_hv(*self.guest(POWER_OFF), "-qmp", "unix:qmp,server=on")
        self.assertIn("waiting for connection", process.stderr.readline())
        self.assertIsNone(process.poll())
        qmp = self.connect("qmp")
        self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertIn(b'"QMP"', qmp.makefile("rb").readline())


unittest.main()
