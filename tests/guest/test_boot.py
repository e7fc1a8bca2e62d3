"""Debian's kernel boots, powers off and reboots, on several hart counts and firmwares."""

import hashlib
import unittest

from guest import GUEST, Machine, linux


class Boot(unittest.TestCase):
    def boots_and_powers_off(self, smp, bios=None, more=()):
        with Machine(*linux(*more, smp=smp, bios=bios)) as machine:
            match = machine.expect(r"GUEST-READY nproc=(\d+)", 240)
            self.assertEqual(int(match.group(1)), smp)
            self.assertEqual(machine.wait(), 0)
            machine.healthy()

    def test_one_hart_reaches_user_space_and_powers_off(self):
        self.boots_and_powers_off(1)

    def test_two_harts_reach_user_space_and_power_off(self):
        self.boots_and_powers_off(2)

    def test_four_harts_reach_user_space_and_power_off(self):
        self.boots_and_powers_off(4)

    def test_eight_harts_reach_user_space_and_power_off(self):
        self.boots_and_powers_off(8)

    def test_four_harts_boot_on_the_interpreter(self):
        self.boots_and_powers_off(4, more=("-accel", "interp"))

    def test_four_harts_work_with_all_code_compiled_and_little_room_for_it(self):
        # Far more code than room, so compiled code is dropped all the time; a module comes and goes
        # in memory that held other code.
        work = "seq $1 3000 | gzip | gunzip | sort -n | sed s/^/7/ | sha256sum"
        expected = [
            hashlib.sha256("".join(f"7{n}\n" for n in range(first, 3001)).encode()).hexdigest()
            for first in range(4)
        ]
        more = ("-accel", "jit,threshold=1,tb-size=1")
        with Machine(*linux(*more, smp=4, then="shell")) as machine:
            machine.shell()
            machine.run(f"echo '{work}' >work; rmmod 9p && modprobe 9p")
            machine.run("(for i in 0 1 2 3; do taskset $((1 << i)) sh work $i >sum$i & done; wait)")
            for first in range(4):
                self.assertEqual(machine.run(f"cat sum{first}").split()[0], expected[first])
            machine.send("poweroff -f\n")
            self.assertEqual(machine.wait(), 0)
            machine.healthy()

    def test_every_extension_at_once_boots_two_harts(self):
        self.boots_and_powers_off(2, more=("-cpu", "max"))

    def test_the_profile_rva22s64_boots_two_harts(self):
        self.boots_and_powers_off(2, more=("-cpu", "rva22s64"))

    def test_opensbi_with_every_extension_boots_two_harts(self):
        self.boots_and_powers_off(2, GUEST / "fw_dynamic.bin", more=("-cpu", "max"))

    def test_opensbi_dynamic_boots_two_harts(self):
        self.boots_and_powers_off(2, GUEST / "fw_dynamic.bin")

    def test_opensbi_jump_boots_two_harts(self):
        self.boots_and_powers_off(2, GUEST / "fw_jump.bin")

    def test_reboot_starts_the_machine_anew(self):
        with Machine(*linux(smp=2, then="reboot")) as machine:
            for _ in range(3):
                machine.expect(r"GUEST-READY nproc=2", 240)
            machine.healthy()

    def test_reboot_with_opensbi_starts_the_machine_anew(self):
        with Machine(*linux(smp=2, then="reboot", bios=GUEST / "fw_dynamic.bin")) as machine:
            machine.expect(r"GUEST-READY nproc=2", 240)
            machine.expect(r"GUEST-READY nproc=2", 240)
            machine.healthy()

    def test_no_reboot_turns_a_reboot_into_an_exit(self):
        with Machine(*linux("-no-reboot", smp=1, then="reboot")) as machine:
            machine.expect(r"GUEST-READY", 240)
            self.assertEqual(machine.wait(), 0)

    def test_shell_runs_commands_on_four_harts(self):
        with Machine(*linux(smp=4, then="shell")) as machine:
            machine.shell()
            self.assertEqual(machine.run("nproc").strip(), "4")
            for hart in range(4):
                product = machine.run(f"taskset {1 << hart:x} sh -c 'echo $((1778033703 * 2654435769))'")
                self.assertEqual(int(product), 1778033703 * 2654435769)
            machine.send("poweroff -f\n")
            self.assertEqual(machine.wait(), 0)
            machine.healthy()


if __name__ == "__main__":
    unittest.main()
