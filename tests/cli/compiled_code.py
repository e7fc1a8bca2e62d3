#!/usr/bin/env python3
"""What hartvisor tells of the code it compiles: -perfmap, -jitdump, -d op and -d out_asm.

usage: compiled_code.py HARTVISOR [unittest arguments]
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HARTVISOR = os.path.abspath(sys.argv.pop(1))
TIMEOUT = 60
BASE = 0x80000000
# li a0, 5; 1: addi a0, a0, -1; bnez a0, 1b; li t0, 0x100000; li t1, 0x5555; sw t1, 0(t0); j .
COUNT_DOWN = [0x00500513, 0xFFF50513, 0xFE051EE3, 0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F]
IDLE = [0x0000006F]


class CompiledCode(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hv-code-")
        self.addCleanup(shutil.rmtree, self.directory)

    def write_guest(self, words):
        with open(os.path.join(self.directory, "guest.bin"), "wb") as file:
            file.write(struct.pack(f"<{len(words)}I", *words).ljust(4096, b"\0"))

    def start(self, words, *arguments):
        self.write_guest(words)
        process = subprocess.Popen(
            [HARTVISOR, "-m", "16", "-display", "none", "-bios", "guest.bin", *arguments,
             "-accel", "jit,threshold=1"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.directory)  # fmt: skip
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
        return process

    def run_to_end(self, *arguments):
        """The process, and what it wrote to stderr."""
        process = self.start(COUNT_DOWN, *arguments)
        text = process.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(process.returncode, 0, text)
        return process, text

    def wait_until(self, condition, what):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def read_map(self, pid):
        """(address, size, name) of each line."""
        path = f"/tmp/perf-{pid}.map"
        self.addCleanup(lambda: os.path.exists(path) and os.remove(path))
        with open(path, encoding="ascii") as file:
            lines = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (\w+)", line.rstrip("\n")) for line in file]
        self.assertNotIn(None, lines)
        return [(int(line[1], 16), int(line[2], 16), line[3]) for line in lines]

    def read_dump(self, pid):
        """(address, code, name) of each record; the specification is Linux's, in tools/perf."""
        with open(os.path.join(self.directory, f"jit-{pid}.dump"), "rb") as file:
            data = file.read()
        magic, version, size, machine, _, its_pid, before, flags = struct.unpack_from("<6I2Q", data)
        self.assertEqual((magic, version, size, machine, flags), (0x4A695444, 1, 40, 62, 0))
        self.assertEqual(its_pid, pid)
        records = []
        while size < len(data):
            kind, length, when = struct.unpack_from("<2IQ", data, size)
            its_pid, _, virtual, address, code_size, index = struct.unpack_from("<2I4Q", data, size + 16)
            self.assertEqual((kind, its_pid, virtual), (0, pid, address))
            self.assertEqual(index, len(records) + 1)
            self.assertLessEqual(before, when)
            self.assertLessEqual(when, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
            before = when
            name, code = data[size + 56 : size + length].split(b"\0", 1)
            self.assertEqual(len(code), code_size)
            records.append((address, code, name.decode()))
            size += length
        self.assertEqual(size, len(data))
        return records

    def test_perf_map_and_dump_name_the_same_code(self):
        process, _ = self.run_to_end("-perfmap", "-jitdump")
        names = self.read_map(process.pid)
        dump = self.read_dump(process.pid)
        self.assertEqual(names, [(address, len(code), name) for address, code, name in dump])
        ends = 0
        for address, size, name in sorted(names):
            self.assertGreater(size, 0)
            self.assertGreaterEqual(address, ends, f"{name} overlaps what is before it")
            ends = address + size
        found = {name for _, _, name in names}
        self.assertIn("jit_enter", found)
        self.assertIn(f"guest_{BASE + 4:#x}", found)

    def test_perf_takes_the_memory_for_anonymous_and_sees_the_dump(self):
        process = self.start(IDLE, "-perfmap", "-jitdump")
        path = f"/tmp/perf-{process.pid}.map"
        self.wait_until(lambda: os.path.exists(path) and any("guest" in n for *_, n in self.read_map(process.pid)),
                        "the loop is compiled")  # fmt: skip
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as file:
            maps = [line.split(maxsplit=5) for line in file]
        executable = [(*(int(end, 16) for end in line[0].split("-")), line[5].strip())
                      for line in maps if line[1].startswith("r-x") and len(line) > 5]  # fmt: skip
        for address, size, name in self.read_map(process.pid):
            home = [file for begin, end, file in executable if begin <= address and address + size <= end]
            self.assertEqual(len(home), 1, name)
            self.assertTrue(home[0].startswith("/dev/zero"), home)
        self.assertIn(os.path.join(os.path.realpath(self.directory), f"jit-{process.pid}.dump"),
                      [file for _, _, file in executable])  # fmt: skip
        # Nothing is writable and executable at once.
        self.assertEqual([line for line in maps if "w" in line[1] and "x" in line[1]], [])

    def test_log_shows_paths_and_their_code(self):
        _, text = self.run_to_end("-d", "op,out_asm")
        paths = re.findall(r"^OP: path of (\d+) instructions at 0x([0-9a-f]+)(, a loop)?\n((?:0x.*\n)+)", text, re.M)
        by_start = {int(start, 16): (int(count), bool(loop), lines) for count, start, loop, lines in paths}
        count, loop, lines = by_start[BASE + 4]
        self.assertEqual((count, loop, lines.count("\n")), (2, True, 2))
        self.assertEqual(lines.splitlines()[0], "0x0000000080000004:  fff50513\taddi\ta0,a0,-1")
        self.assertTrue(lines.splitlines()[1].endswith("bne\ta0,zero,0x80000004\t# taken"), lines)
        # Each piece of code has its header, the stubs too, and the instructions it stands for.
        code = dict(re.findall(r"^OUT: (\w+), \d+ bytes at 0x[0-9a-f]+\n((?:(?!OUT:|OP:).*\n)+)", text, re.M))
        self.assertIn("push", code["jit_enter"])
        self.assertEqual({f"guest_{start:#x}" for start in by_start}, {n for n in code if n.startswith("guest")})
        self.assertRegex(code[f"guest_{BASE + 4:#x}"], r"addi\ta0,a0,-1\n  (lea|add|dec|sub) ")
        help_text = subprocess.run([HARTVISOR, "-d", "help"], capture_output=True, text=True,
                                   timeout=TIMEOUT).stdout  # fmt: skip
        self.assertRegex(help_text, r"(?m)^op .*\n^out_asm ")

    def test_a_file_that_cannot_be_opened_is_one_line(self):
        self.write_guest(COUNT_DOWN)
        for option, path in ("-jitdump", "jit-$$.dump"), ("-perfmap", "/tmp/perf-$$.map"):
            # The emulator gets the shell's process id.
            script = f'mkdir {path}; echo {path}; exec "$0" -display none -bios guest.bin {option}'
            done = subprocess.run(["sh", "-c", script, HARTVISOR], cwd=self.directory,
                                  capture_output=True, text=True, timeout=TIMEOUT)  # fmt: skip
            path = done.stdout.strip()
            os.rmdir(os.path.join(self.directory, path))
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
            self.assertIn(f"{option}: cannot open {path}", done.stderr)


unittest.main()
