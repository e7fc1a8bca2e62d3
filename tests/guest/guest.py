"""Runs a machine under test and talks to it: serial console on its stdio, QMP on a socket.

The emulator is anything with QEMU's command line, so that every test here can also be run on QEMU:
  HV_EMULATOR   command (default build/app/hartvisor)
  HV_GUEST      directory made by tools/fetch-guest (default ~/.cache/hartvisor/guest)
  HV_TIME_SCALE factor for the time limits (sanitizer builds are slow; default 1)
A time limit only ends a guest that hangs; no test passes or fails by a measured time.
"""

import json
import os
import pathlib
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
EMULATOR = shlex.split(os.environ.get("HV_EMULATOR", str(TOP / "build/app/hartvisor")))
GUEST = pathlib.Path(
    os.environ.get(
        "HV_GUEST",
        pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
        / "hartvisor/guest",
    )
)
SCALE = float(os.environ.get("HV_TIME_SCALE", "1"))

# What a healthy Linux never prints.
TROUBLE = re.compile(
    rb"Oops|BUG:|Kernel panic|rcu.*stall|soft lockup|Call Trace|self-detected|hung task|WARNING: CPU"
)


class GuestError(Exception):
    """The machine ended or hung; the text carries the tail of its console."""


class Machine:
    """A running emulator. Use as a context manager: the process never outlives the test."""

    def __init__(self, *arguments, emulator=None):
        self.arguments = [*(emulator or EMULATOR), *map(str, arguments)]
        self.console = b""
        self.seen = 0
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stdin):
            if stream:
                stream.close()

    def _tail(self):
        return self.console[-1500:].decode(errors="replace")

    def _read(self, seconds):
        """Waits for output; False when the process has closed its end."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return True
        data = self.process.stdout.read(65536)
        if data == b"":
            return False
        self.console += data or b""
        return True

    def expect(self, pattern, seconds=120):
        """Waits until `pattern` (regular expression) appears after what was expected before."""
        expression = re.compile(pattern.encode(), re.MULTILINE)
        limit = time.monotonic() + seconds * SCALE
        while True:
            match = expression.search(self.console, self.seen)
            if match:
                self.seen = match.end()
                return match
            if time.monotonic() > limit:
                raise GuestError(f"no {pattern!r} in time; console ends with:\n{self._tail()}")
            if not self._read(0.5):
                raise GuestError(f"ended without {pattern!r}; console ends with:\n{self._tail()}")

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def shell(self, seconds=240):
        """Waits for the demo guest's shell and silences its echo and prompt, for run()."""
        self.expect("guest# ", seconds)
        self.send("stty -echo; PS1=; echo shell''-ready\n")
        self.expect("shell-ready\r\n")

    def run(self, command, seconds=120):
        """Runs a shell command in the guest; its output as text. Fails when its status is not 0."""
        self.send(command + "; echo guest-status''=$?\n")
        start = self.seen
        match = self.expect(r"guest-status=(\d+)", seconds)
        output = self.console[start : match.start()].decode(errors="replace").replace("\r", "")
        if match.group(1) != b"0":
            raise GuestError(f"{command}: status {match.group(1).decode()}:\n{output}")
        return output

    def wait(self, seconds=60):
        """Waits for the process to end; its exit status."""
        limit = time.monotonic() + seconds * SCALE
        while self._read(0.2):
            if time.monotonic() > limit:
                raise GuestError(f"does not end; console ends with:\n{self._tail()}")
        return self.process.wait(10 * SCALE)

    def cpu_seconds(self):
        """CPU time the process has used so far, all threads."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def rest(self):
        """Takes what a process that has ended left in its pipe."""
        while self._read(1):
            pass

    def healthy(self):
        """Raises when the kernel has complained."""
        match = TROUBLE.search(self.console)
        if match:
            raise GuestError(f"the kernel reports trouble: {match.group().decode()}\n{self._tail()}")


def linux(*more, smp=1, then="poweroff", memory="512M", append="", bios=None):
    """Arguments that boot the demo guest."""
    arguments = ["-M", "virt", "-smp", smp, "-m", memory, "-nographic"]
    if bios:
        arguments += ["-bios", bios]
    return [
        *arguments,
        "-kernel", GUEST / "Image",
        "-initrd", GUEST / "initramfs.cpio.gz",
        "-append", f"console=ttyS0 hv.then={then} {append}".strip(),
        *more,
    ]  # fmt: skip


class Qmp:
    """A QMP client over a unix socket."""

    def __init__(self, path, seconds=20):
        self.events = []
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX)
        limit = time.monotonic() + seconds * SCALE
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(seconds * SCALE)
        self.greeting = self._message()
        self.command("qmp_capabilities")

    def close(self):
        self.socket.close()

    def _message(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise GuestError("QMP closed the connection")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        self.socket.sendall(json.dumps(request).encode() + b"\r\n")
        while True:
            reply = self._message()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise GuestError(f"{name}: {reply['error']}")
            else:
                return reply["return"]

    def wait_event(self, name):
        """The next event of that name, waiting for it if it has not come yet."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self.events.append(self._message())


def script_disk(directory, text):
    """A disk that the guest runs as a script with hv.then=script."""
    path = pathlib.Path(directory) / "script.img"
    data = b"#!/bin/sh\n" + text.encode()
    path.write_bytes(data.ljust((len(data) + 4095) // 4096 * 4096, b"\0"))
    return path


def scratch(directory=None):
    return tempfile.TemporaryDirectory(prefix="hartvisor-test-", dir=directory)
