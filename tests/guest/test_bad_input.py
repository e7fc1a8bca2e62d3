"""Every wrong command line gets one line that names what is wrong, and a non-zero status."""

import gzip
import os
import pathlib
import struct
import subprocess
import unittest

from guest import EMULATOR, GUEST, SCALE, Machine, linux, scratch


def elf(machine):
    """The head of a 64-bit little-endian ELF executable for `machine`, one empty segment."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x80000000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x80000000, 0x80000000, 120, 120, 4096)
    return ident + head + segment


class BadInput(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)
        self.image = self.file("disk.img", bytes(1 << 20))

    def file(self, name, data):
        path = self.directory / name
        path.write_bytes(data)
        return path

    def refused(self, *arguments, words=()):
        """The emulator ends by itself with one line that contains all `words`."""
        done = subprocess.run(
            [*EMULATOR, *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * SCALE,
        )  # fmt: skip
        context = f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
        self.assertGreater(done.returncode, 0, context)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, context)
        for word in words:
            self.assertIn(word, lines[0], context)
        self.assertEqual(done.stdout, "", context)

    def boot(self, *more, **options):
        return linux(*more, **options)

    def drive(self, *more, options="", path=None):
        path = path or self.image
        return self.boot("-drive", f"file={path},format=raw,if=none,id=d{options}",
                         "-device", "virtio-blk-device,drive=d", *more)  # fmt: skip

    def test_kernel_missing(self):
        self.refused("-nographic", "-kernel", "/nonexistent/Image", words=["/nonexistent/Image"])

    def test_kernel_is_a_directory(self):
        self.refused("-nographic", "-kernel", self.directory, words=[str(self.directory)])

    def test_kernel_truncated(self):
        data = (GUEST / "Image").read_bytes()
        short = self.file("short", data[: len(data) // 2])
        self.refused("-nographic", "-m", "256M", "-kernel", short, words=["short", "truncated"])
        short = self.file("tiny", data[:40])
        self.refused("-nographic", "-m", "256M", "-kernel", short, words=["tiny"])
        packed = self.file("cut.gz", gzip.compress(data, 1)[: len(data) // 8])
        self.refused("-nographic", "-m", "256M", "-kernel", packed, words=["cut.gz"])

    def test_kernel_empty(self):
        self.refused("-nographic", "-kernel", self.file("empty", b""), words=["empty"])

    def test_kernel_for_another_architecture(self):
        self.refused("-nographic", "-kernel", self.file("x86", elf(62)), words=["x86", "riscv"])
        self.refused("-nographic", "-kernel", self.file("arm", elf(183)), words=["arm", "riscv"])

    def test_elf_truncated(self):
        whole = elf(243)
        self.refused("-nographic", "-bios", "none", "-kernel", self.file("elf", whole[:100]),
                     words=["elf"])  # fmt: skip

    def test_initrd_missing(self):
        self.refused("-nographic", "-kernel", GUEST / "Image", "-initrd", "/nonexistent/initrd",
                     words=["/nonexistent/initrd"])  # fmt: skip

    def test_firmware_missing(self):
        self.refused(*self.boot(bios="/nonexistent/fw.bin"), words=["/nonexistent/fw.bin"])

    def test_firmware_empty(self):
        self.refused(*self.boot(bios=self.file("fw", b"")), words=["fw"])

    def test_firmware_for_another_architecture(self):
        self.refused(*self.boot(bios=self.file("fw.elf", elf(62))), words=["fw.elf", "riscv"])

    def test_device_tree_broken(self):
        bad = self.file("bad.dtb", b"\xd0\x0d\xfe\xed" + bytes(100))
        self.refused(*self.boot("-dtb", bad), words=["bad.dtb"])

    def test_nothing_to_boot(self):
        self.refused("-nographic", words=["-kernel"])

    def test_memory(self):
        for value in ("0", "1", "16k", "lots", "-5", "12Q", "1G,size=x", "999999999T"):
            with self.subTest(value=value):
                self.refused(*self.boot(memory=value), words=["-m"])

    def test_hart_count(self):
        for value in ("0", "65", "two", "-1", "4096", "cpus=0", "2,cores=3"):
            with self.subTest(value=value):
                self.refused(*self.boot(smp=value), words=["-smp"])

    def test_machine_cpu_and_accelerator(self):
        self.refused("-M", "sifive_u", "-nographic", words=["sifive_u"])
        self.refused("-M", "virt,colour=red", "-nographic", words=["colour"])
        self.refused(*self.boot("-cpu", "z80"), words=["z80"])
        self.refused(*self.boot("-cpu", "rv64,zfoo=on"), words=["zfoo"])
        self.refused(*self.boot("-cpu", "rv64,f=off"), words=["-cpu"])
        self.refused(*self.boot("-accel", "kvm"), words=["kvm"])

    def test_unknown_option_device_and_property(self):
        self.refused(*self.boot("-frobnicate"), words=["-frobnicate"])
        self.refused(*self.boot("-spice", "port=1"), words=["-spice"])
        self.refused(*self.boot("stray"), words=["stray"])
        self.refused(*self.boot("-append"), words=["-append"])
        self.refused(*self.boot("-device", "warp-drive"), words=["warp-drive"])
        self.refused(*self.boot("-device", "virtio-rng-device,warp=9"), words=["warp"])
        self.refused(*self.boot("-device", "virtio-rng-device,rng=nobody"), words=["nobody"])
        self.refused(*self.boot("-device", '{"driver":"virtio-rng-device",'), words=["-device"])
        self.refused(*self.boot("-object", "teapot,id=t"), words=["teapot"])
        self.refused(*self.boot("-chardev", "carrier-pigeon,id=c"), words=["carrier-pigeon"])
        self.refused(*self.boot("-serial", "chardev:nobody"), words=["nobody"])
        self.refused(*self.boot("-d", "everything"), words=["everything"])

    def test_drive_missing_directory_or_odd_size(self):
        self.refused(*self.drive(path="/nonexistent/disk.img"), words=["/nonexistent/disk.img"])
        self.refused(*self.drive(path=self.directory), words=[str(self.directory), "directory"])
        odd = self.file("odd.img", bytes(1000))
        self.refused(*self.drive(path=odd), words=["odd.img", "512"])

    def test_drive_without_permission_to_write(self):
        os.chmod(self.image, 0o444)
        if os.geteuid() == 0:
            # Root may write anything; an immutable place stands in: a file under /proc.
            self.refused(*self.drive(path="/proc/version"), words=["/proc/version"])
        else:
            self.refused(*self.drive(), words=["disk.img", "readonly=on"])

    def test_drive_unknown_or_used_twice(self):
        self.refused(*self.boot("-device", "virtio-blk-device,drive=nobody"), words=["nobody"])
        self.refused(*self.drive("-device", "virtio-blk-device,drive=d"), words=["drive=d"])
        self.refused(*self.drive(options=",cache=sometimes"), words=["sometimes"])
        self.refused(*self.drive(options=",speed=11"), words=["speed"])

    def test_drive_of_another_format(self):
        qcow = self.file("disk.qcow2", b"QFI\xfb" + bytes(65532))
        self.refused(*self.boot("-drive", f"file={qcow}"), words=["disk.qcow2", "qcow2"])

    def test_drive_locked_by_another_machine(self):
        with Machine(*self.drive("-S")) as machine:
            machine._read(1)
            for _ in range(100):
                if pathlib.Path(f"/proc/{machine.process.pid}/fd").exists() and any(
                    os.readlink(f"/proc/{machine.process.pid}/fd/{fd}") == str(self.image)
                    for fd in os.listdir(f"/proc/{machine.process.pid}/fd")
                ):
                    break
                machine._read(0.1)
            self.refused(*self.drive(), words=["disk.img", "lock"])

    def test_share_that_cannot_be_had(self):
        def share(path=self.directory, device="fsdev=fs,mount_tag=t", more=()):
            return self.boot("-fsdev", f"local,id=fs,path={path},security_model=none",
                             "-device", f"virtio-9p-device,{device}", *more)  # fmt: skip

        self.refused(*share(path="/nonexistent/share"), words=["-fsdev", "/nonexistent/share"])
        self.refused(*share(path=self.image), words=["-fsdev", "disk.img", "directory"])
        self.refused(*share(device="fsdev=nobody,mount_tag=t"), words=["fsdev=nobody"])
        self.refused(*share(device="mount_tag=t"), words=["virtio-9p-device", "fsdev"])
        self.refused(*share(device="fsdev=fs"), words=["virtio-9p-device", "mount_tag"])
        self.refused(*share(device="fsdev=fs,mount_tag=" + "t" * 300), words=["mount_tag"])
        twice = ("-device", "virtio-9p-device,fsdev=fs,mount_tag=u")
        self.refused(*share(more=twice), words=["fsdev=fs"])
        self.refused(*self.boot("-virtfs", f"local,path={self.directory},mount_tag=t"),
                     words=["-virtfs", "security_model"])  # fmt: skip

    def test_device_on_a_taken_slot(self):
        self.refused(
            *self.boot(
                "-device", "virtio-rng-device,bus=virtio-mmio-bus.3",
                "-device", "virtio-rng-device,bus=virtio-mmio-bus.3",
            ),
            words=["virtio-mmio-bus.3"],
        )  # fmt: skip
        self.refused(*self.boot(*["-device", "virtio-rng-device"] * 9), words=["virtio-rng-device"])

    def test_same_id_twice(self):
        self.refused(*self.boot("-object", "iothread,id=a", "-object", "iothread,id=a"), words=["'a'"])

    def test_sockets_that_cannot_be_opened(self):
        self.refused(*self.boot("-qmp", "unix:/nonexistent/qmp,server=on,wait=off"),
                     words=["/nonexistent/qmp"])  # fmt: skip
        self.refused(*self.boot("-pidfile", "/nonexistent/pid"), words=["/nonexistent/pid"])


if __name__ == "__main__":
    unittest.main()
