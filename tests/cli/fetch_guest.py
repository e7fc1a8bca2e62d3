#!/usr/bin/env python3
"""tools/fetch-guest where it needs no network: with apt archives of our own in the file system.

usage: fetch_guest.py FETCH-GUEST [unittest arguments]   (status 77: skipped, no apt here)
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

FETCH_GUEST = os.path.abspath(sys.argv.pop(1))
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = ["apt-get", "dpkg-deb", "cpio", "gzip", "xz", "depmod"]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

if not os.path.exists(KEYRING) or not all(shutil.which(tool, path=PATH) for tool in TOOLS):
    sys.exit(77)


class FetchGuest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hv-fetch-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = dict(os.environ, APT_CONFIG=self.write("apt.conf", f"""
Dir "{self.directory}/";
Dir::Etc "{self.directory}/etc";
Dir::State "{self.directory}/state";
Dir::State::status "{self.directory}/status";
Dir::Cache "{self.directory}/cache";
APT::Architecture "riscv64";
APT::Architectures {{ "riscv64"; }};
APT::Sandbox::User "";
"""))
        self.write("status", "")
        for name in "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial":
            os.makedirs(os.path.join(self.directory, name))

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def archive(self, label):
        """An archive of one package; its URI."""
        name = f"archive/{label}"
        packages = "Package: p\nVersion: 1\nArchitecture: all\nFilename: p.deb\nSize: 0\n\n"
        self.write(f"{name}/dists/stable/main/binary-riscv64/Packages", packages)
        digest = hashlib.sha256(packages.encode()).hexdigest()
        self.write(f"{name}/dists/stable/Release", f"""Origin: {label}
Label: {label}
Suite: stable
Date: Sat, 01 Jan 2022 00:00:00 UTC
Codename: stable
Architectures: riscv64
Components: main
SHA256:
 {digest} {len(packages)} main/binary-riscv64/Packages
""")
        return f"file:{self.directory}/{name}"

    def fetch(self):
        """Into a directory where a guest is already, as no archive here has another one."""
        self.write("guest/Image", "kernel")
        self.write("guest/initramfs.cpio.gz", "initramfs")
        return subprocess.run([FETCH_GUEST, os.path.join(self.directory, "guest")],
                              env=self.environment, capture_output=True, text=True, check=False)

    def assert_mirror_is(self, uri):
        result = self.fetch()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("using the guest made before", result.stderr)
        with open(os.path.join(self.directory, "guest/.work/apt/sources.list"),
                  encoding="ascii") as file:
            self.assertIn(f"] {uri}/ trixie main", file.read())

    def use(self, *archives):
        self.write("etc/sources.list", "".join(
            f"deb [trusted=yes] {uri} stable main\n" for uri in archives))

    def test_the_mirror_is_debians_whatever_stands_before_it(self):
        debian = self.archive("Debian")
        self.use(self.archive("Other"), self.archive("Debian-security"), debian)
        subprocess.run(["apt-get", "-qq", "update"], env=self.environment, check=True)
        self.assert_mirror_is(debian)

    def test_the_mirror_is_known_before_apt_has_lists(self):
        debian = self.archive("Debian")
        self.use(self.archive("Debian-security"), debian)
        self.assert_mirror_is(debian)

    def test_no_archive_is_one_line(self):
        self.use()
        result = self.fetch()
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn("no package archive", result.stderr)


unittest.main()
