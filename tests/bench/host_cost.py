"""What a running emulator costs its host between two moments: CPU by kind of thread, and syscalls."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


def is_hart(name):
    """Whether a thread of ours or of QEMU's (-name debug-threads=on) runs guest code."""
    return name.startswith("hart-") or name.startswith("CPU ")


def thread_seconds(pid):
    """CPU seconds of the process's threads: {thread id: (is a hart, seconds)}."""
    threads = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except OSError:
            continue
        name, rest = text.split("(", 1)[1].rsplit(")", 1)
        fields = rest.split()
        threads[int(task.name)] = (is_hart(name), (int(fields[11]) + int(fields[12])) * TICK)
    return threads


class Cost:
    """with Cost(pid) as cost: ...; then cost.seconds, cost.harts, cost.others, cost.syscalls."""

    def __init__(self, pid):
        self.pid = pid
        self.syscalls = None

    def __enter__(self):
        self.perf = None
        if shutil.which("perf"):
            self.perf = subprocess.Popen(
                ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(self.pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            time.sleep(0.3)
        self.before = thread_seconds(self.pid)
        self.total_before = self._total()
        self.started = time.monotonic()
        return self

    def _total(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def __exit__(self, *_):
        self.wall = time.monotonic() - self.started
        after = thread_seconds(self.pid)
        # Threads that have ended since count in the process's sum only: as others, never as harts.
        self.harts = sum(
            seconds - self.before.get(thread, (hart, 0))[1]
            for thread, (hart, seconds) in after.items() if hart
        )  # fmt: skip
        self.seconds = self._total() - self.total_before
        self.others = self.seconds - self.harts
        if self.perf:
            self.perf.send_signal(signal.SIGINT)
            text = self.perf.communicate()[1]
            for line in text.splitlines():
                fields = line.split(",")
                if len(fields) > 2 and fields[2] == "raw_syscalls:sys_enter" and fields[0].isdigit():
                    self.syscalls = int(fields[0])
