"""virtio-blk against real images: data, flush, snapshot, read-only, several queues, crash safety."""

import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import unittest

from guest import Machine, Qmp, linux, scratch, script_disk

# Finds the block device with serial $1, whatever name the kernel gave it.
FIND = """find_disk() {
  for sys in /sys/block/vd*; do
    [ "$(cat "$sys/serial")" = "$1" ] && echo "/dev/${sys##*/}" && return
  done
  echo "no disk $1"; poweroff -f
}
"""


class Disk(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def image(self, name, mebibytes, fill=False):
        path = self.directory / name
        if fill:
            path.write_bytes(random.Random(1).randbytes(mebibytes << 20))
        else:
            path.touch()
            os.truncate(path, mebibytes << 20)
        return path

    def run_script(self, text, *drives, smp=2, status=0):
        """Runs `text` in the guest with the drives attached; returns the console text."""
        script = script_disk(self.directory, FIND + text)
        arguments = ["-drive", f"file={script},format=raw,if=none,id=script,readonly=on"]
        arguments += ["-device", "virtio-blk-device,drive=script,serial=script"]
        for number, (drive, device) in enumerate(drives):
            arguments += ["-drive", f"{drive},format=raw,if=none,id=d{number}"]
            arguments += ["-device", f"virtio-blk-device,drive=d{number},{device}"]
        with Machine(*linux(*arguments, smp=smp, then="script")) as machine:
            match = machine.expect(r"GUEST-SCRIPT-DONE status=(\d+)", 300)
            self.assertEqual(int(match.group(1)), status, machine.console.decode(errors="replace"))
            self.assertEqual(machine.wait(), 0)
            machine.healthy()
            return machine.console.decode(errors="replace")

    def reads_back(self, drive_options):
        image = self.image("data.img", 16, fill=True)
        digest = hashlib.md5(image.read_bytes()).hexdigest()
        text = self.run_script(
            'md5sum "$(find_disk data)"\n', (f"file={image}{drive_options}", "serial=data")
        )
        self.assertIn(digest, text)

    def test_reads_match_the_image_with_every_cache_mode(self):
        for options in ("", ",cache=none", ",cache=writethrough", ",aio=threads"):
            with self.subTest(options=options):
                self.reads_back(options)

    def test_written_data_is_in_the_image(self):
        image = self.image("data.img", 16)
        text = self.run_script(
            'disk=$(find_disk data)\nhead -c 8388608 /dev/urandom >/tmp/r\nmd5sum </tmp/r\n'
            'dd if=/tmp/r of=$disk bs=64k seek=16 conv=fsync 2>/dev/null\n',
            (f"file={image},cache=none", "serial=data,num-queues=2"),
        )
        digest = re.search(r"([0-9a-f]{32})  -", text).group(1)
        data = image.read_bytes()
        self.assertEqual(hashlib.md5(data[1 << 20 : 9 << 20]).hexdigest(), digest)
        self.assertEqual(data[: 1 << 20], bytes(1 << 20))

    def test_snapshot_leaves_the_image_as_it_was(self):
        image = self.image("data.img", 8, fill=True)
        before = image.read_bytes()
        self.run_script(
            "disk=$(find_disk data)\ndd if=/dev/zero of=$disk bs=1M count=4 conv=fsync 2>/dev/null\n"
            "echo 3 >/proc/sys/vm/drop_caches\n"
            '[ "$(head -c 4194304 $disk | tr -d "\\000" | wc -c)" = 0 ]\n',
            (f"file={image},snapshot=on", "serial=data"),
        )
        self.assertEqual(image.read_bytes(), before)

    def test_readonly_disk_refuses_writes(self):
        image = self.image("data.img", 8, fill=True)
        before = image.read_bytes()
        self.run_script(
            "disk=$(find_disk data)\n[ \"$(cat /sys/block/${disk#/dev/}/ro)\" = 1 ] &&\n"
            "! dd if=/dev/zero of=$disk bs=4k count=1 conv=fsync 2>/dev/null\n",
            (f"file={image},readonly=on", "serial=data"),
        )
        self.assertEqual(image.read_bytes(), before)

    def test_discard_frees_space_of_the_image(self):
        image = self.image("data.img", 16, fill=True)
        self.run_script(
            "blkdiscard $(find_disk data)\n",
            (f"file={image},discard=unmap", "serial=data"),
        )
        self.assertEqual(image.stat().st_size, 16 << 20)
        self.assertLess(image.stat().st_blocks * 512, 1 << 20)

    def test_ext4_survives_a_second_mount(self):
        image = self.image("data.img", 64)
        os.system(f"mkfs.ext4 -q {image}")
        text = self.run_script(
            "mount $(find_disk data) /mnt && cp /bin/busybox /mnt/ && umount /mnt &&\n"
            "mount $(find_disk data) /mnt && cmp /bin/busybox /mnt/busybox && umount /mnt\n",
            (f"file={image}", "serial=data"),
        )
        self.assertNotIn("EXT4-fs error", text)
        self.assertEqual(os.system(f"e2fsck -fn {image} >/dev/null 2>&1"), 0)

    def test_an_iothread_serves_the_disk(self):
        image = self.image("data.img", 8, fill=True)
        digest = hashlib.md5(image.read_bytes()).hexdigest()
        script = script_disk(self.directory, FIND + 'md5sum "$(find_disk data)"\n')
        arguments = linux(
            "-object", "iothread,id=disks",
            "-drive", f"file={script},format=raw,if=none,id=s", "-device", "virtio-blk-device,drive=s",
            "-drive", f"file={image},format=raw,if=none,id=d",
            "-device", "virtio-blk-device,drive=d,iothread=disks,serial=data",
            smp=2, then="script",
        )  # fmt: skip
        with Machine(*arguments) as machine:
            machine.expect(digest, 300)
            self.assertEqual(machine.wait(), 0)

    def test_queues_on_several_iothreads_carry_the_data(self):
        image = self.image("data.img", 16, fill=True)
        script = script_disk(
            self.directory,
            FIND + "d=$(find_disk data)\nfor i in 0 1 2 3; do taskset -p $((1 << i)) $$ >/dev/null\n"
            "dd if=$d of=/tmp/$i bs=1M skip=$((i * 4)) count=4 iflag=direct 2>/dev/null & done; wait\n"
            "cat /tmp/0 /tmp/1 /tmp/2 /tmp/3 | md5sum\n",
        )
        device = {
            "driver": "virtio-blk-device", "drive": "data", "serial": "data", "num-queues": 4,
            "iothread-vq-mapping": [{"iothread": "a", "vqs": [0, 3]}, {"iothread": "b", "vqs": [1, 2]}],
        }  # fmt: skip
        arguments = linux(
            "-object", "iothread,id=a", "-object", "iothread,id=b",
            "-drive", f"file={script},format=raw,if=none,id=script,readonly=on",
            "-device", "virtio-blk-device,drive=script,serial=script",
            "-drive", f"file={image},format=raw,if=none,id=data,cache=none",
            "-device", json.dumps(device), smp=4, then="script",
        )  # fmt: skip
        with Machine(*arguments) as machine:
            machine.expect(hashlib.md5(image.read_bytes()).hexdigest(), 300)
            self.assertEqual(machine.wait(), 0)
            machine.healthy()

    def test_a_full_host_stops_the_machine_until_there_is_room(self):
        if os.geteuid() != 0:
            self.skipTest("mounts a file system")
        mount = self.directory / "small"
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", mount], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", mount])
        image = mount / "data.img"
        image.touch()
        os.truncate(image, 32 << 20)
        qmp_path = self.directory / "qmp"
        arguments = linux(
            "-drive", f"file={image},format=raw,if=none,id=data",
            "-device", "virtio-blk-device,drive=data,serial=data",
            "-qmp", f"unix:{qmp_path},server=on,wait=off", then="shell",
        )  # fmt: skip
        with Machine(*arguments) as machine:
            machine.shell()
            qmp = Qmp(qmp_path)
            self.addCleanup(qmp.close)
            machine.run("head -c 16777216 /dev/urandom >/tmp/r")
            machine.send("dd if=/tmp/r of=/dev/vda bs=1M conv=fsync && md5sum </tmp/r; echo wrote''=$?\n")
            event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
            self.assertEqual(event["action"], "stop")
            self.assertTrue(event["nospace"])
            qmp.wait_event("STOP")
            self.assertEqual(qmp.command("query-status")["status"], "io-error")
            subprocess.run(["mount", "-o", "remount,size=64M", mount], check=True)
            qmp.command("cont")
            digest = machine.expect(r"([0-9a-f]{32})  -", 120).group(1).decode()
            machine.expect("wrote=0")
            self.assertEqual(hashlib.md5(image.read_bytes()[: 16 << 20]).hexdigest(), digest)
            machine.healthy()
            machine.kill()

    def test_throttling_delays_and_loses_nothing(self):
        image = self.image("data.img", 4, fill=True)
        digest = hashlib.md5(image.read_bytes()).hexdigest()
        text = self.run_script(
            'd=$(find_disk data)\nread a _ </proc/uptime\nmd5sum $d\nread b _ </proc/uptime\necho took $a $b\n',
            (f"file={image},throttling.bps-total=2000000", "serial=data"),
        )
        self.assertIn(digest, text)
        started, ended = map(float, re.search(r"took ([0-9.]+) ([0-9.]+)", text).groups())
        # At 2 MB/s, less the tenth of a second that goes at once; a guest's clock is the host's.
        self.assertGreater(ended - started, 1.5)

    def test_flushed_writes_survive_sigkill(self):
        rounds = int(os.environ.get("HV_KILL_ROUNDS", "4"))
        modes = (
            ("", "num-queues=2"),
            (",cache=none", ""),
            (",cache=writethrough", "num-queues=2"),
            (",aio=threads", ""),
        )
        chooser = random.Random(7)
        for number in range(rounds):
            drive, device = modes[number % len(modes)]
            with self.subTest(round=number, drive=drive, device=device):
                self.kill_during_writes(drive, device, chooser.randrange(6, 40))

    def kill_during_writes(self, drive_options, device_options, last_block):
        image = self.image("kill.img", 32)
        # Block i holds the text "block i", repeated; "FLUSHED i" follows its fsync. There are three
        # writers, so that the end comes with other requests on their way.
        script = script_disk(
            self.directory,
            FIND + "disk=$(find_disk data)\nwriter() {\n  i=$1\n  while [ $i -lt 4000 ]; do\n"
            '    yes "block $i" | head -c 8192 >/tmp/b$1\n'
            "    dd if=/tmp/b$1 of=$disk bs=8192 seek=$i conv=fsync,notrunc 2>/dev/null &&\n"
            '      echo "FLUSHED $i"\n    i=$((i + 3))\n  done\n}\n'
            "writer 0 & writer 1 & writer 2 & wait\n",
        )
        arguments = linux(
            "-drive", f"file={script},format=raw,if=none,id=s",
            "-device", "virtio-blk-device,drive=s",
            "-drive", f"file={image},format=raw,if=none,id=d{drive_options}",
            "-device", f"virtio-blk-device,drive=d,serial=data,{device_options}".rstrip(","),
            smp=2, then="script",
        )  # fmt: skip
        with Machine(*arguments) as machine:
            machine.expect(f"FLUSHED {last_block}\r", 300)
            machine.kill()
            machine.rest()
            flushed = [int(n) for n in re.findall(rb"FLUSHED (\d+)\r", machine.console)]
        self.assertIn(last_block, flushed)
        data = image.read_bytes()
        for block in flushed:
            expected = (f"block {block}\n" * 8192)[:8192].encode()
            self.assertEqual(data[block * 8192 : (block + 1) * 8192], expected, f"block {block}")
        image.unlink()


if __name__ == "__main__":
    unittest.main()
