"""Run states over QMP, and the terminal keys, on a running Linux."""

import pathlib
import unittest

from guest import Machine, Qmp, linux, scratch


class Control(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.socket = pathlib.Path(holder.name) / "qmp"

    def qmp(self):
        client = Qmp(self.socket)
        self.addCleanup(client.close)
        return client

    def machine(self, *more, **options):
        return Machine(*linux("-qmp", f"unix:{self.socket},server=on,wait=off", *more, **options))

    def test_stop_holds_the_guest_and_cont_lets_it_go_on(self):
        with self.machine(smp=2, then="shell") as machine:
            qmp = self.qmp()
            machine.shell()
            qmp.command("stop")
            self.assertEqual(qmp.command("query-status")["status"], "paused")
            machine.send("echo alive-$((40 + 2))\n")
            machine._read(1)
            self.assertNotIn(b"alive-42", machine.console)
            qmp.command("cont")
            self.assertEqual(qmp.command("query-status")["status"], "running")
            machine.expect("alive-42")
            self.assertEqual([e["event"] for e in qmp.events], ["STOP", "RESUME"])
            machine.healthy()

    def test_system_reset_boots_again(self):
        with self.machine(smp=2, then="shell") as machine:
            qmp = self.qmp()
            machine.shell()
            qmp.command("system_reset")
            self.assertFalse(qmp.wait_event("RESET")["data"]["guest"])
            machine.expect("GUEST-READY nproc=2", 240)
            machine.healthy()

    def test_stop_and_cont_and_reset_in_the_middle_of_boot(self):
        with self.machine(smp=4, then="poweroff") as machine:
            qmp = self.qmp()
            for _ in range(50):
                qmp.command("stop")
                qmp.command("cont")
            qmp.command("system_reset")
            for _ in range(50):
                qmp.command("stop")
                qmp.command("cont")
            machine.expect("GUEST-READY nproc=4", 240)
            self.assertEqual(qmp.wait_event("SHUTDOWN")["data"]["reason"], "guest-shutdown")
            self.assertEqual(machine.wait(), 0)
            machine.healthy()

    def test_start_paused_waits_for_cont(self):
        with self.machine("-S", smp=1) as machine:
            qmp = self.qmp()
            self.assertEqual(qmp.command("query-status")["status"], "prelaunch")
            qmp.command("cont")
            machine.expect("GUEST-READY", 240)
            self.assertEqual(machine.wait(), 0)

    def test_query_cpus_fast_names_a_host_thread_for_each_hart(self):
        with self.machine(smp=4, then="shell") as machine:
            qmp = self.qmp()
            harts = qmp.command("query-cpus-fast")
            self.assertEqual([hart["cpu-index"] for hart in harts], [0, 1, 2, 3])
            for hart in harts:
                name = pathlib.Path(
                    f"/proc/{machine.process.pid}/task/{hart['thread-id']}/comm"
                ).read_text()
                self.assertEqual(name.strip(), f"hart-{hart['cpu-index']}")
            qmp.command("quit")
            self.assertEqual(machine.wait(), 0)

    def test_escape_keys_reach_the_guest_or_end_the_machine(self):
        with Machine(*linux(smp=1, then="shell")) as machine:
            machine.shell()
            machine.send("\x01h")
            machine.expect("C-a x")
            machine.send("\x01x")
            self.assertEqual(machine.wait(), 0)


if __name__ == "__main__":
    unittest.main()
