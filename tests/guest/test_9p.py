"""virtio-9p with Linux' own client: every security model, what the host sees of it, and as root.

With HV_EMULATOR set to QEMU the same tests run there.
"""

import hashlib
import os
import pathlib
import re
import subprocess
import unittest

from guest import GUEST, Machine, linux, scratch

MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=%d%s share /mnt"
HERE = pathlib.Path(__file__).resolve().parent


def digest(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


class P9(unittest.TestCase):
    def setUp(self):
        # Extended attributes are needed, which a tmpfs may lack.
        holder = scratch("/var/tmp")
        self.addCleanup(holder.cleanup)
        self.share = pathlib.Path(holder.name) / "share"
        self.share.mkdir()
        self.outside = pathlib.Path(holder.name) / "outside"
        self.outside.write_text("secret")

    def arguments(self, model="mapped-xattr", more="", **options):
        fsdev = f"local,id=fs,path={self.share},security_model={model}{more}"
        return linux(
            "-global", "virtio-mmio.force-legacy=off",
            "-fsdev", fsdev, "-device", "virtio-9p-device,fsdev=fs,mount_tag=share",
            smp=2, then="shell", **options,
        )  # fmt: skip

    def machine(self, model="mapped-xattr", more="", msize=512000, mount=""):
        machine = Machine(*self.arguments(model, more))
        self.addCleanup(machine.__exit__)
        machine.shell()
        machine.run(MOUNT % (msize, mount) + " && cd /mnt")
        return machine

    def end(self, machine):
        machine.run("cd / && umount /mnt")
        machine.healthy()
        machine.send("poweroff -f\n")
        self.assertEqual(machine.wait(), 0)

    def test_files_of_every_security_model(self):
        for model in ("none", "passthrough", "mapped-xattr", "mapped-file"):
            with self.subTest(model=model):
                machine = self.machine(model)
                self.file_operations(machine)
                self.end(machine)
                subprocess.run(["find", self.share, "-mindepth", "1", "-delete"], check=True)

    def file_operations(self, machine):
        run = machine.run
        run("head -c 3000000 /dev/urandom >r && mkdir -p a/b && cp r a/b/c && cmp r a/b/c")
        run("ln -s b/c a/l && cmp r a/l && ln r h && rm r && chown 12:34 h && chmod 4751 h")
        self.assertEqual(run("readlink a/l; stat -c '%a %u %g %h %s' h").split(),
                         ["b/c", "4751", "12", "34", "1", "3000000"])
        run("mv a/b z && cmp z/c h && mv z/c h2 && rmdir z && rm a/l && rmdir a")
        self.assertEqual(run("ls").split(), ["h", "h2"])
        run("echo old >t && exec 3<>t 4<t && mv t u && rm u && echo new >&3 && exec 3>&-")
        self.assertEqual(run("cat <&4; exec 4<&-; ls").split(), ["new", "h", "h2"])
        run("mkfifo p && (echo through >p &) && [ $(cat p) = through ] && rm p")
        run("mknod n c 1 3 && echo x >n && [ -c n ] && rm n")
        run("dd if=/dev/zero of=sparse bs=1 count=1 seek=100000000 2>/dev/null && truncate -s 5 h2")
        run("touch -d '2001-02-03 04:05:06' h2 && stat -c %Y h2 | grep -q 981173106")
        run("! ln -s x h2 2>/dev/null && ! mkdir h2 2>/dev/null && ! rmdir h2 2>/dev/null")
        sizes = {p.name: p.stat().st_size for p in self.share.iterdir() if p.is_file()}
        self.assertEqual(sizes["sparse"], 100000001)
        self.assertEqual(sizes["h2"], 5)
        self.assertLess((self.share / "sparse").stat().st_blocks, 1000)
        self.assertIn(digest(self.share / "h"), run("md5sum h"))

    def test_the_host_writes_and_the_guest_reads(self):
        (self.share / "file").write_bytes(os.urandom(5_000_000))
        os.symlink("../outside", self.share / "escape")
        os.symlink("file", self.share / "link")
        for mount in ("", ",cache=mmap", ",cache=loose"):
            with self.subTest(mount=mount):
                machine = self.machine("none", mount=mount)
                self.assertIn(digest(self.share / "file"), machine.run("md5sum link"))
                machine.run("! cat escape 2>/dev/null && ! cat ../outside 2>/dev/null")
                (self.share / "file").write_bytes(os.urandom(100_000))
                if not mount:
                    self.assertIn(digest(self.share / "file"), machine.run("md5sum file"))
                self.end(machine)

    def test_ten_thousand_files_in_a_directory(self):
        machine = self.machine()
        machine.run("mkdir d && cd d && i=0; while [ $i -lt 10000 ]; do : >file-number-$i; "
                    "i=$((i+1)); done; cd ..", 300)
        self.assertEqual(len(list((self.share / "d").iterdir())), 10000)
        self.assertEqual(machine.run("ls d | wc -l; ls d | sort -u | wc -l").split(),
                         ["10000", "10000"])
        machine.run("rm -r d", 300)
        self.assertEqual(list(self.share.iterdir()), [])
        self.end(machine)

    def test_a_read_only_share(self):
        (self.share / "f").write_text("text")
        machine = self.machine("none", ",readonly=on")
        machine.run("cat f && ! echo x >f; ! rm f; ! touch g; ! chmod 0 f; ! mv f g; ! mkdir d")
        self.assertEqual([p.name for p in self.share.iterdir()], ["f"])
        self.assertEqual((self.share / "f").read_text(), "text")
        self.end(machine)

    def test_random_operations_agree_with_a_model(self):
        program = self.share / "fsops"
        subprocess.run(
            ["riscv64-linux-gnu-gcc", "-O2", "-static", "-o", program, HERE / "fsops.c"], check=True
        )
        program.chmod(0o755)
        for msize, mount in ((512000, ""), (8192, ""), (512000, ",cache=mmap")):
            with self.subTest(msize=msize, mount=mount):
                machine = self.machine("none", msize=msize, mount=mount)
                output = machine.run("./fsops work 3000 1; ./fsops work 3000 2", 300)
                self.assertEqual(output.count("FSOPS-OK"), 2, output)
                self.end(machine)
                sums = re.findall(r"sum=(\w+)", output)
                data = (self.share / "work").read_bytes()
                value = 0
                for byte in data:
                    value = (value * 31 + byte) & 0xFFFFFFFF
                self.assertEqual(sums[-1], f"{value:08x}")

    def test_root_on_9p(self):
        # The initramfs itself makes a root of it.
        subprocess.run(
            f"gzip -dc {GUEST / 'initramfs.cpio.gz'} | cpio -idm --quiet", shell=True, check=True,
            cwd=self.share,
        )
        init = self.share / "init9p"
        init.write_text(
            "#!/bin/busybox sh\ngrep ' / 9p ' /proc/mounts && echo ROOT-ON-9P\n"
            "echo written >/from-guest; sync; poweroff -f\n"
        )
        init.chmod(0o755)
        append = "root=share rootfstype=9p init=/init9p rootflags=trans=virtio,version=9p2000.L,msize=512000"
        arguments = self.arguments("none")
        at = arguments.index("-append") + 1
        arguments[at] = f"console=ttyS0 hv.then=root {append}"
        with Machine(*arguments) as machine:
            machine.expect("ROOT-ON-9P", 300)
            self.assertEqual(machine.wait(), 0)
        self.assertEqual((self.share / "from-guest").read_text(), "written\n")


if __name__ == "__main__":
    unittest.main()
