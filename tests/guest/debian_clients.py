#!/usr/bin/env python3
"""Real clients inside Debian: apt, ssh and scp through the user network, git on a 9P share.

  tests/guest/debian_clients.py [-v] [Clients.test_NAME ...]

The disk comes from
  tools/fetch-guest --disk --with=openssh-server,git DIRECTORY
HV_EMULATOR and HV_GUEST (that directory) are those of guest.py, so that all of it also runs on
QEMU; HV_DISK names another disk, which is not written to. HV_SCP_MIB is how much scp copies each
way (default 64). Not in tools/run-tests, whose guest has none of these programs.

The archive and the servers are this test's own, on the host's loopback. The host needs git, ssh,
scp and dpkg-deb.
"""

import contextlib
import gzip
import hashlib
import os
import pathlib
import random
import re
import subprocess
import time
import unittest

from guest import GUEST, SCALE, TOP, Machine, linux, scratch
from test_net import free_port, web_server

DISK = pathlib.Path(os.environ.get("HV_DISK", GUEST / "debian.ext4"))
SCP_MIB = int(os.environ.get("HV_SCP_MIB", "64"))

# Joins a connection that a guestfwd command has on its stdio to a port of the host.
JOIN = """
import os, select, socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sources = {0: peer.sendall, peer.fileno(): lambda data: os.write(1, data)}
while True:
    for source in select.select(list(sources), [], [])[0]:
        data = os.read(source, 65536)
        if not data:
            sys.exit()
        sources[source](data)
"""


def host(*command, **options):
    done = subprocess.run(
        [*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=3600 * SCALE, **options,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def make_package(archive, name, files, depends=""):
    """A package of `files`, path -> data, and its entry for the archive's list."""
    tree = archive / f".{name}"
    for path, data in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    control = (
        f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n"
        + (f"Depends: {depends}\n" if depends else "")
        + "Description: of a test\n"
    )
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(control)
    package = archive / f"{name}_1.0_all.deb"
    host("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, package)
    content = package.read_bytes()
    return (
        f"{control}Filename: ./{package.name}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    )


class Clients(unittest.TestCase):
    """One machine for all tests: eth0 is a plain user network, eth1 one with restrict=on."""

    @classmethod
    def setUpClass(cls):
        if not DISK.exists():
            raise unittest.SkipTest(f"{DISK}: no such disk; tools/fetch-guest --disk makes it")
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        # Not on a tmpfs, which may be smaller than the files.
        cls.directory = pathlib.Path(stack.enter_context(scratch("/var/tmp")))
        cls.share, cls.archive = cls.directory / "share", cls.directory / "archive"
        cls.share.mkdir()
        cls.files = cls.make_archive()
        cls.web = stack.enter_context(web_server(cls.archive))
        cls.ssh_port = free_port()
        join = cls.directory / "join.py"
        join.write_text(JOIN)
        cls.machine = stack.enter_context(Machine(*cls.arguments(join)))
        cls.log_in()

    @classmethod
    def arguments(cls, join):
        append = "systemd.default_device_timeout_sec=1800 systemd.default_timeout_start_sec=1800"
        return linux(
            "-global", "virtio-mmio.force-legacy=off",
            "-drive", f"file={DISK},format=raw,if=none,id=root,snapshot=on",
            "-device", "virtio-blk-device,drive=root",
            "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{cls.ssh_port}-:22",
            "-device", "virtio-net-device,netdev=n0,mac=52:54:00:00:00:01",
            "-netdev", "user,id=n1,net=10.0.3.0/24,restrict=on,"
            f"guestfwd=tcp:10.0.3.100:80-cmd:python3 {join} {cls.web}",
            "-device", "virtio-net-device,netdev=n1,mac=52:54:00:00:00:02",
            "-fsdev", f"local,id=fs,path={cls.share},security_model=none",
            "-device", "virtio-9p-device,fsdev=fs,mount_tag=share",
            "-device", "virtio-rng-device",
            smp=2, memory="3G", then="root", append=append,
        )  # fmt: skip

    @classmethod
    def make_archive(cls):
        cls.archive.mkdir()
        chooser = random.Random(7)
        library = {
            "opt/clients/library": chooser.randbytes(20 << 20),
            **{f"opt/clients/small/{i}": chooser.randbytes(i) for i in range(200)},
        }
        program = {"opt/clients/program": b"#!/bin/sh\necho program runs\n"}
        entries = make_package(cls.archive, "clients-library", library)
        entries += make_package(cls.archive, "clients-program", program, "clients-library")
        (cls.archive / "Packages.gz").write_bytes(gzip.compress(entries.encode()))
        return {**library, **program}

    @classmethod
    def log_in(cls):
        machine = cls.machine
        machine.expect("login: ", 1800)
        machine.send("root\n")
        machine.expect(r"# $", 300)
        machine.send("bind 'set enable-bracketed-paste off'; stty -echo; PS1=; echo rea''dy\n")
        machine.expect("ready\r\n")
        machine.run("systemctl is-system-running --wait", 900)
        # Which card has which name is udev's affair.
        for mac, variable, net in (("01", "first", 2), ("02", "second", 3)):
            machine.run(
                f"{variable}=$(basename $(dirname $(grep -l 52:54:00:00:00:{mac} /sys/class/net/*/address)))"
                f" && ip link set ${variable} up && ip addr add 10.0.{net}.15/24 dev ${variable}"
            )
        machine.run("ip link set lo up; ip route add default via 10.0.2.2")

    def run_in_guest(self, command, seconds=1800):
        output = self.machine.run(command, seconds)
        self.machine.healthy()
        return output

    # --- apt

    def apt(self, address, then):
        """apt with the archive at `address` alone."""
        return self.run_in_guest(
            "rm -rf /tmp/apt && mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial &&"
            f" echo 'deb [trusted=yes] http://{address} ./' >/tmp/apt/sources.list && "
            "apt=\"apt-get -q -y -o Dir::Etc::SourceList=/tmp/apt/sources.list"
            " -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=/tmp/apt/lists"
            " -o Dir::Cache=/tmp/apt/cache -o APT::Update::Error-Mode=any"
            " -o Acquire::Retries=0 -o Acquire::http::Timeout=10\" && " + then
        )

    def install_from(self, address):
        self.apt(address, "$apt update && $apt install clients-program")
        try:
            self.assertIn("program runs", self.run_in_guest("sh /opt/clients/program"))
            sums = "".join(
                f"{hashlib.sha256(data).hexdigest()}  /{path}\n" for path, data in self.files.items()
            )
            (self.archive / "sums").write_text(sums)
            self.run_in_guest("apt-helper() { /usr/lib/apt/apt-helper \"$@\"; };"
                              f" apt-helper download-file http://{address}/sums /tmp/sums"
                              " && sha256sum --quiet -c /tmp/sums")
            self.run_in_guest("dpkg --verify clients-library clients-program")
        finally:
            self.run_in_guest("$apt purge clients-program clients-library && ! [ -e /opt/clients ]")

    def test_apt_installs_from_an_archive_on_the_host(self):
        self.install_from(f"10.0.2.2:{self.web}")

    def test_apt_reaches_only_what_a_restricted_network_forwards(self):
        # The host is there, and its port is not.
        self.apt(f"10.0.3.2:{self.web}", "! timeout 60 $apt update")
        self.install_from("10.0.3.100:80")

    # --- ssh

    def test_ssh_and_scp_through_a_forwarded_port(self):
        key = self.directory / "key"
        host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        public = key.with_suffix(".pub").read_text().strip()
        self.run_in_guest("mkdir -p -m 700 /root/.ssh"
                          f" && echo '{public}' >/root/.ssh/authorized_keys"
                          " && systemctl start ssh")
        options = ["-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                   "-o", "BatchMode=yes", "-o", "ConnectTimeout=120", "-o", "LogLevel=ERROR"]  # fmt: skip
        ssh = ["ssh", *options, "-p", self.ssh_port, "root@127.0.0.1"]
        scp = ["scp", *options, "-P", self.ssh_port]
        self.assertEqual(host(*ssh, "uname -m"), "riscv64\n")
        blob, back = self.directory / "blob", self.directory / "back"
        with open(blob, "wb") as file:
            for _ in range(SCP_MIB):
                file.write(os.urandom(1 << 20))
        expected = host("sha256sum", blob).split()[0]
        start = time.monotonic()
        host(*scp, blob, "root@127.0.0.1:/dev/shm/blob")
        middle = time.monotonic()
        self.assertEqual(host(*ssh, "sha256sum /dev/shm/blob").split()[0], expected)
        again = time.monotonic()
        host(*scp, "root@127.0.0.1:/dev/shm/blob", back)
        end = time.monotonic()
        self.assertEqual(host("sha256sum", back).split()[0], expected)
        print(f"scp of {SCP_MIB} MiB: {SCP_MIB / (middle - start):.1f} MiB/s to the guest,"
              f" {SCP_MIB / (end - again):.1f} MiB/s to the host", flush=True)  # fmt: skip
        host(*ssh, "rm /dev/shm/blob")
        # Many at once, each with its own command's output.
        clients = [subprocess.Popen([*map(str, ssh), f"seq {n} {n + 20000} | sha256sum"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
                   for n in range(5)]  # fmt: skip
        for n, client in enumerate(clients):
            lines = "".join(f"{i}\n" for i in range(n, n + 20001))
            self.assertEqual(client.communicate(timeout=600 * SCALE)[0].split()[0],
                             hashlib.sha256(lines.encode()).hexdigest())  # fmt: skip

    # --- git

    def test_git_clones_onto_a_9p_share(self):
        for name in ("bare.git", "work"):
            self.assertFalse((self.share / name).exists())
        host("git", "clone", "-q", "--bare", "--no-hardlinks", TOP, self.share / "bare.git")
        head = host("git", "-C", self.share / "bare.git", "rev-parse", "HEAD").strip()
        safe = ["-c", "safe.directory=*"]
        self.run_in_guest("mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /mnt")
        self.run_in_guest("cd /mnt && export HOME=/root && git config --global safe.directory '*'"
                          " && git config --global user.email a@b && git config --global user.name c")
        self.run_in_guest("git clone -q bare.git work")
        self.run_in_guest("cd work && git fsck --full")
        self.assertEqual(self.run_in_guest("git status --porcelain").strip(), "")
        self.assertEqual(self.run_in_guest("git rev-parse HEAD").strip(), head)
        self.run_in_guest("git checkout -q -b other && git mv README.md moved && git rm -qr docs"
                          " && git commit -qm moved && git push -q origin other && git gc -q"
                          " && git fsck --full")
        self.assertEqual(self.run_in_guest("git status --porcelain").strip(), "")
        other = self.run_in_guest("git rev-parse HEAD").strip()
        self.run_in_guest("cd / && umount /mnt")
        # And so the host sees it.
        for name in ("bare.git", "work"):
            host("git", *safe, "-C", self.share / name, "fsck", "--full")
            self.assertEqual(
                host("git", *safe, "-C", self.share / name, "rev-parse", "other").strip(), other)  # fmt: skip
        self.assertEqual(host("git", *safe, "-C", self.share / "work", "status", "--porcelain"), "")

    @classmethod
    def tearDownClass(cls):
        cls.machine.send("poweroff\n")
        cls.machine.wait(600)
        cls.machine.healthy()


if __name__ == "__main__":
    unittest.main()
