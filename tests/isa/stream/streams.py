"""What run_streams.py works with: the two emulators, and a stream's image."""

import json
import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bare"))
from run_bare import build_bare  # noqa: E402, F401

LIMIT_S = 20
HARNESS, BLOB, CODE = 0x80000000, 0x80100000, 0x20000
# QEMU's rv64 has these on; our rv64 has no such switch, or means the same without one.
QEMU_OFF = ("h", "v")
NOP, C_NOP = (0x13).to_bytes(4, "little"), (0x1).to_bytes(2, "little")


class Emulator:
    """A command with QEMU's command line, its -cpu, and more of its options."""

    def __init__(self, name, command, cpu, *more):
        self.name, self.command, self.cpu, self.more = name, command, cpu, more

    def run(self, program, limit=LIMIT_S):
        """What the program printed. A hang or a crash is a line at its end."""
        line = [self.command, "-M", "virt", "-cpu", self.cpu, "-m", "32", "-bios", "none", "-kernel", program,
                "-display", "none", "-monitor", "none", "-serial", "stdio", *self.more]  # fmt: skip
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired as hang:
            return (hang.stdout or b"").decode(errors="replace").splitlines() + ["# hangs"]
        lines = done.stdout.decode(errors="replace").splitlines()
        if done.returncode != 0:
            lines.append(f"exit status {done.returncode}: {done.stderr.decode(errors='replace')}")
        return lines


def qemu_properties(command):
    """The names that QEMU's -cpu rv64 knows."""
    requests = [{"execute": "qmp_capabilities"},
                {"execute": "device-list-properties", "arguments": {"typename": "rv64-riscv-cpu"}},
                {"execute": "quit"}]  # fmt: skip
    done = subprocess.run([command, "-M", "none", "-display", "none", "-qmp", "stdio"], check=True,
                          input="\n".join(map(json.dumps, requests)), capture_output=True, text=True)  # fmt: skip
    for line in done.stdout.splitlines():
        answer = json.loads(line).get("return")
        if isinstance(answer, list):
            return [row["name"] for row in answer]
    raise RuntimeError(f"{command} does not list its CPU properties")


def qemu_version(command):
    text = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"version (\d+)", text)[1])


def cpu_options(qemu, extensions):
    """-cpu for us and for QEMU: every extension that both know is on; the missing ones."""
    known = {name.lower(): name for name in qemu_properties(qemu)}
    both = [name for name in extensions if name in known]
    missing = [name for name in extensions if name not in known]
    ours = ["rv64", *(f"{name}=on" for name in both), *(f"{name}=off" for name in missing)]
    theirs = ["rv64", *(f"{name}=off" for name in QEMU_OFF), *(f"{known[name]}=on" for name in both)]
    return ",".join(ours), ",".join(theirs), missing


class Image:
    """A stream with the harness in front, some of its groups of instructions replaced by nops."""

    def __init__(self, harness, blob, listing):
        self.harness, self.blob = harness, blob
        self.instructions = [tuple(map(int, line.split())) for line in listing.splitlines()]
        last = self.instructions[-1][2]
        self.groups = sorted({group for _, _, group in self.instructions if group != last})

    def write(self, path, first, last, groups=None, dump=False):
        blob = bytearray(self.blob)
        struct.pack_into("<3Q", blob, 0, first, last, dump)
        if groups is not None:
            keep = {*groups, self.instructions[-1][2]}
            for offset, length, group in self.instructions:
                if group not in keep:
                    blob[CODE + offset:CODE + offset + length] = NOP if length == 4 else C_NOP
        segments = [(HARNESS, self.harness, BLOB - HARNESS), (BLOB, bytes(blob), len(blob))]
        offset = 64 + 56 * len(segments)
        header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH", 2, 243, 1, HARNESS, 64, 0, 5, 64, 56, len(segments), 0, 0, 0)
        for address, data, size in segments:
            header += struct.pack("<IIQQQQQQ", 1, 7, offset, address, address, len(data), size, 1)
            offset += len(data)
        path.write_bytes(header + b"".join(data for _, data, _ in segments))

    def words(self, groups):
        """(address, word) of what is left."""
        for offset, length, group in self.instructions:
            if group in groups:
                yield BLOB + CODE + offset, int.from_bytes(
                    self.blob[CODE + offset:CODE + offset + length], "little")

    def initial(self, round_number):
        """The registers a round begins with; harness.c says how."""
        pool = struct.unpack_from("<2048Q", self.blob, 0x1000)
        x = {f"x{i}": pool[(round_number * 37 + i * 29) % 1024] for i in range(32)}
        f = {f"f{i}": pool[1024 + (round_number * 41 + i * 31) % 1024] for i in range(32)}
        x |= {"x0": 0, "x2": BLOB + 0x11000, "x3": BLOB + 0x1800, "x8": BLOB + 0x12c00}
        return x | f | {"frm": round_number % 5}
