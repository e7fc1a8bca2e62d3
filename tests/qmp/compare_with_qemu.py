#!/usr/bin/env python3
"""Plays the same QMP dialogues to hartvisor and to QEMU and compares what comes back.

usage: compare_with_qemu.py HARTVISOR QEMU   (QEMU 9 or newer; skipped, status 77, with an older one)

Replies must be equal but for what is bound to differ: versions, times, thread ids, the wording of
JSON syntax errors, capabilities, and lists that hartvisor has less in.
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

TIMEOUT = 60
SYNC = "sync"  # id of the request that ends each step

# Guests of a few instructions: idle; power off and reset through the test finisher.
IDLE = [0x0000006F]
POWER_OFF = [0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F]
RESET = [0x001002B7, 0x00007337, 0x77730313, 0x0062A023, 0x0000006F]

NEGOTIATE = '{"execute":"qmp_capabilities"}'
ENVELOPE = [
    '{"execute":"query-status"}',
    '{"execute":"qmp_capabilities","arguments":{"enable":5}}',
    '{"execute":"qmp_capabilities","arguments":{"foo":[]}}',
    NEGOTIATE,
    NEGOTIATE,
    '{ "execute": "query-status", "id": {"a":[1,"x", null, 1.5]} }{ "execute":"query-version"}',
    "{'execute':'query-status', 'id':'it\\'s \"q\"'}",
    '{"execute":"nope","id":1}',
    '{"execute":"query-status","arguments":{"x":1}}',
    '{"execute":"query-status","arguments":[]}',
    '{"execute":5}',
    '{"arguments":{}}',
    '{"execute":"query-status","foo":1}',
    "[1,2]",
    '"abc"',
    '\n\n{"execute":\r\n\t"query-status"}\n',
    '{"execute" "query-status"}',
    "}",
    '{"execute":"query-status"}}',
]
QUERIES = [
    NEGOTIATE,
    '{"execute":"query-version"}',
    '{"execute":"query-commands"}',
    '{"execute":"query-cpus-fast"}',
    '{"execute":"query-name"}',
    '{"execute":"query-uuid"}',
    '{"execute":"query-kvm"}',
    '{"execute":"query-target"}',
    '{"execute":"query-iothreads"}',
    '{"execute":"query-chardev"}',
]
RUN_STATES = [
    NEGOTIATE,
    '{"execute":"stop"}',
    '{"execute":"system_reset"}',
    '{"execute":"query-status"}',
    '{"execute":"cont"}',
    '{"execute":"query-status"}',
    '{"execute":"cont"}',
    '{"execute":"stop"}',
    '{"execute":"stop"}',
    '{"execute":"query-status"}',
    '{"execute":"system_powerdown","id":"pd"}',
    '{"execute":"cont"}',
    '{"execute":"system_reset"}',
    '{"execute":"query-status"}',
    '{"execute":"quit","id":3}',
]
# The event named here is waited for before the dialogue goes on.
GUEST_POWERS_OFF = [
    NEGOTIATE,
    '{"execute":"cont"}',
    ("wait", "STOP"),
    '{"execute":"query-status"}',
    '{"execute":"cont"}',
    '{"execute":"quit"}',
]
GUEST_RESETS = [NEGOTIATE, '{"execute":"cont"}', ("wait", "SHUTDOWN")]

# (name, guest, further options, dialogue)
DIALOGUES = [
    ("envelope", IDLE, [], ENVELOPE),
    ("queries", IDLE, ["-name", "guest=g", "-smp", "2", "-object", "iothread,id=t0"], QUERIES),
    ("run states", IDLE, [], RUN_STATES),
    ("power-off with -no-shutdown", POWER_OFF, ["-no-shutdown"], GUEST_POWERS_OFF),
    ("reset with -no-reboot", RESET, ["-no-reboot"], GUEST_RESETS),
]


class Emulator:
    def __init__(self, program, directory, guest, options):
        path = os.path.join(directory, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        image = os.path.join(directory, "guest.bin")
        with open(image, "wb") as file:
            file.write(struct.pack(f"<{len(guest)}I", *guest).ljust(4096, b"\0"))
        self.process = subprocess.Popen(
            [program, "-M", "virt", "-m", "64", "-bios", image, "-display", "none", "-nodefaults",
             "-serial", "null", "-S", "-qmp", f"unix:{path},server=on,wait=off", *options],
            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.lines = self.socket.makefile("rb")
        self.events = []
        self.greeting = self.read()

    def read(self):
        """The next message, None at the end."""
        try:
            line = self.lines.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        if not line.endswith(b"\r\n"):
            raise AssertionError(f"a line without \\r\\n: {line!r}")
        return json.loads(line)

    def step(self, text):
        """Sends text; gives all messages until the sync request's reply or the end."""
        messages = []
        try:
            self.socket.sendall(text.encode())
            self.socket.sendall(json.dumps({"execute": "query-name", "id": SYNC}).encode())
        except (BrokenPipeError, ConnectionResetError):
            pass
        while (message := self.read()) is not None and message.get("id") != SYNC:
            messages.append(message)
            self.note(message)
        return messages

    def note(self, message):
        if "event" in message:
            self.events.append(message["event"])

    def wait_for(self, event):
        messages = []
        while event not in self.events:
            message = self.read()
            if message is None:
                break
            messages.append(message)
            self.note(message)
        return messages

    def close(self):
        """The exit status; 'running' when it had to be ended."""
        self.socket.close()
        try:
            status = self.process.wait(timeout=0.1 if self.process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            status = "running"
            self.process.terminate()
            self.process.wait(timeout=TIMEOUT)
        return status


VARIABLE = {"seconds", "microseconds", "thread-id", "major", "minor", "micro", "package",
            "filename", "capabilities"}


def shape(value, key=None):
    if key in VARIABLE:
        return type(value).__name__
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if key == "desc" and value.startswith("JSON parse error"):
        return "JSON parse error"
    return value


def names(reply, key):
    return {item[key] for item in reply[0]["return"]}


def play(program, directory, guest, options, dialogue):
    """[(step, messages)], with the exit status as the last step."""
    emulator = Emulator(program, directory, guest, options)
    record = [("greeting", [emulator.greeting])]
    guest_events = []
    for step in dialogue:
        if isinstance(step, tuple):
            guest_events += emulator.wait_for(step[1])
            continue
        messages = emulator.step(step)
        # What the running guest causes may come before or after a reply.
        replies = [m for m in messages if m.get("data", {}).get("guest") is not True
                   and not (guest is not IDLE and m.get("event") == "STOP")]
        guest_events += [m for m in messages if m not in replies]
        record.append((step, replies))
    record.append(("guest's events", guest_events))
    if any("quit" in str(step) for step in dialogue) or guest is RESET:
        try:
            emulator.process.wait(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        record.append(("exit status", [emulator.close()]))
    else:
        emulator.close()
    return record


def compare(ours, theirs):
    faults = 0
    for (step, mine), (_, qemus) in zip(ours, theirs, strict=True):
        if "query-commands" in step:
            good = names(mine, "name") <= names(qemus, "name")
        elif "query-chardev" in step:
            good = names(mine, "label") <= names(qemus, "label")
        else:
            good = shape(mine) == shape(qemus)
        if not good:
            faults += 1
            print(f"  {step}\n    hartvisor: {json.dumps(mine)[:600]}"
                  f"\n    QEMU:      {json.dumps(qemus)[:600]}")
    return faults


def major_version(program):
    text = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"version (\d+)", text).group(1))


def main():
    hartvisor, qemu = sys.argv[1:3]
    if major_version(qemu) < 9:
        sys.exit(77)
    faults = 0
    for name, guest, options, dialogue in DIALOGUES:
        print(name)
        with tempfile.TemporaryDirectory(prefix="hv-qmp-") as directory:
            ours = play(hartvisor, directory, guest, options, dialogue)
            theirs = play(qemu, directory, guest, options, dialogue)
        faults += compare(ours, theirs)
    sys.exit(1 if faults else 0)


main()
