"""virtio-net with a real driver: user network, ports both ways, IPv6, sockets, a tap, dumps.

Servers are this test's own, on the host's loopback; the tap is in a network namespace of its own.
"""

import contextlib
import hashlib
import http.server
import os
import pathlib
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import unittest

from guest import EMULATOR, Machine, linux, scratch

DHCP = "ip link set eth0 up && udhcpc -i eth0 -n -q -t 20 -T 1 -s /tmp/lease >/dev/null 2>&1"
# What udhcpc does with an address; the demo guest has no such script.
LEASE = """cat >/tmp/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev $interface
ip route add default via $router
echo nameserver $dns >/etc/resolv.conf
END
chmod +x /tmp/lease; ip link set lo up"""

# Answers every question with 192.0.2.77, and ends with its parent.
NAME_SERVER = """
import ctypes, signal, socket
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    question, peer = server.recvfrom(512)
    end = question.index(b"\\0", 12) + 5
    server.sendto(question[:2] + bytes.fromhex("81800001000100000000") + question[12:end]
                  + bytes.fromhex("c00c000100010000003c0004c000024d"), peer)
"""

CAN_TAP = os.geteuid() == 0 and os.path.exists("/dev/net/tun") and bool(shutil.which("ip"))


def data(size, seed=1):
    return random.Random(seed).randbytes(size)


@contextlib.contextmanager
def web_server(directory, family=socket.AF_INET):
    class Server(http.server.ThreadingHTTPServer):
        address_family = family

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=directory)

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pathlib.Path(directory, pathlib.PurePath(self.path).name).write_bytes(body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = Server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dump_frames(path):
    """The frames of a pcap file."""
    content = pathlib.Path(path).read_bytes()
    magic, major, minor = struct.unpack_from("<IHH", content)
    assert (magic, major, minor) == (0xA1B2C3D4, 2, 4)
    at, frames = 24, []
    while at < len(content):
        kept = struct.unpack_from("<I", content, at + 8)[0]
        frames.append(content[at + 16 : at + 16 + kept])
        at += 16 + kept
    return frames


class Net(unittest.TestCase):
    def setUp(self):
        holder = scratch()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    @contextlib.contextmanager
    def guest(self, *arguments, smp=2, lease=True, emulator=None):
        with Machine(*linux(*arguments, smp=smp, then="shell"), emulator=emulator) as machine:
            machine.shell()
            machine.run(LEASE)
            if lease:
                machine.run(DHCP)
            yield machine
            machine.healthy()

    def test_user_network_downloads_uploads_and_is_dumped(self):
        blob = data(8 << 20)
        (self.directory / "blob").write_bytes(blob)
        dump = self.directory / "net.pcap"
        port = free_port()
        with web_server(self.directory) as web, self.guest(
            "-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:8080",
            "-device", "virtio-net-device,netdev=n",
            "-object", f"filter-dump,id=f,netdev=n,file={dump},maxlen=128",
        ) as machine:  # fmt: skip
            self.assertIn("10.0.2.15/24", machine.run("ip addr show eth0"))
            text = machine.run(f"wget -q -O /tmp/blob http://10.0.2.2:{web}/blob && md5sum /tmp/blob")
            self.assertIn(hashlib.md5(blob).hexdigest(), text)
            # The host reaches the guest through the forwarded port, and gets the same back.
            machine.run("nc -l -p 8080 </tmp/blob >/tmp/got & sleep 1")
            with socket.create_connection(("127.0.0.1", port), 30) as peer:
                peer.sendall(blob)
                peer.shutdown(socket.SHUT_WR)
                received = b""
                while part := peer.recv(1 << 16):
                    received += part
            self.assertEqual(hashlib.md5(received).digest(), hashlib.md5(blob).digest())
            text = machine.run("wait; md5sum /tmp/got")
            self.assertIn(hashlib.md5(blob).hexdigest(), text)
            machine.run("ping -c 2 10.0.2.2")
        frames = dump_frames(dump)
        self.assertGreater(len(frames), 100)
        self.assertTrue(any(frame[12:14] == b"\x08\x06" for frame in frames))
        if shutil.which("tshark"):
            text = subprocess.run(
                ["tshark", "-r", dump, "-Y", "arp"], capture_output=True, text=True, check=True
            ).stdout
            self.assertIn("Who has 10.0.2.2?", text)

    def test_ipv6_over_the_user_network(self):
        (self.directory / "six").write_text("over-ipv6\n")
        with web_server(self.directory, socket.AF_INET6) as web, self.guest(
            "-nic", "user"
        ) as machine:
            machine.run("for i in $(seq 50); do ip -6 addr show eth0 | grep -q fec0 && break;"
                        " usleep 200000; done; ping6 -c 1 fec0::2")  # fmt: skip
            text = machine.run(f"wget -q -O - 'http://[fec0::2]:{web}/six'")
            self.assertIn("over-ipv6", text)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip"), "a name server needs port 53")
    def test_names_are_asked_of_the_hosts_name_server(self):
        (self.directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (self.directory / "dns.py").write_text(NAME_SERVER)
        # In namespaces of their own, where the host's name server is ours.
        inside = ["unshare", "-n", "-m", "sh", "-c",
                  "ip link set lo up; cd $0; mount --bind resolv.conf /etc/resolv.conf;"
                  'python3 dns.py & exec "$@"', str(self.directory)]  # fmt: skip
        with self.guest("-nic", "user", emulator=[*inside, *EMULATOR]) as machine:
            self.assertIn("10.0.2.3", machine.run("cat /etc/resolv.conf"))
            text = machine.run("for i in $(seq 20); do nslookup -type=a hv.test && break; done")
            self.assertIn("192.0.2.77", text)

    def test_a_hostile_or_absent_host_does_not_stop_the_guest(self):
        with self.guest("-netdev", "user,id=n,restrict=on", "-device", "virtio-net,netdev=n") as machine:
            machine.run(f"! wget -q -T 2 -O - http://10.0.2.2:{free_port()}/")
            machine.run("ifconfig eth0 down; ifconfig eth0 up; " + DHCP.split("&&")[1])

    def test_two_guests_over_a_socket(self):
        path = self.directory / "wire"
        for one, two in (
            (f"stream,id=n,server=on,addr.type=unix,addr.path={path}",
             f"stream,id=n,server=off,addr.type=unix,addr.path={path}"),
        ):  # fmt: skip
            with self.guest("-netdev", one, "-device", "virtio-net-device,netdev=n", smp=1,
                            lease=False) as first, self.guest(
                "-netdev", two, "-device", "virtio-net-device,netdev=n,mac=52:54:00:12:34:57",
                smp=1, lease=False) as second:  # fmt: skip
                first.run("ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up")
                second.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
                first.run("head -c 4000000 /dev/urandom >/tmp/b; nc -l -p 99 </tmp/b & sleep 1")
                second.run("ping -c 3 10.9.0.1")
                sums = [
                    re.search(r"[0-9a-f]{32}", text).group()
                    for text in (second.run("nc 10.9.0.1 99 >/tmp/b; md5sum /tmp/b"),
                                 first.run("md5sum /tmp/b"))
                ]  # fmt: skip
                self.assertEqual(sums[0], sums[1])

    def namespace(self):
        """A network namespace for this test: `ip` in it, and how to run a command in it."""
        name = f"hv-test-{os.getpid()}"

        def ip(*words):
            subprocess.run(["ip", "-n", name, *words], check=True)

        subprocess.run(["ip", "netns", "add", name], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=True)
        ip("link", "set", "lo", "up")
        return ip, ["ip", "netns", "exec", name]

    @unittest.skipUnless(CAN_TAP and shutil.which("passt"), "needs passt, root and /dev/net/tun")
    def test_passt_over_a_stream(self):
        # What passt tells the guest is what it finds in its namespace: a tap stands for the uplink.
        ip, inside = self.namespace()
        ip("tuntap", "add", "up0", "mode", "tap")
        ip("addr", "add", "192.0.2.9/24", "dev", "up0")
        ip("link", "set", "up0", "up")
        ip("route", "add", "default", "via", "192.0.2.1", "dev", "up0")
        blob = data(4 << 20, 3)
        (self.directory / "blob").write_bytes(blob)
        # passt gives up root.
        self.directory.chmod(0o777)
        path = self.directory / "passt"
        for command in (["python3", "-m", "http.server", "-b", "127.0.0.1", "-d", self.directory, "80"],
                        ["passt", "-f", "-1", "-s", path]):  # fmt: skip
            server = subprocess.Popen([*inside, *map(str, command)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
        for _ in range(200):
            if path.exists():
                break
            time.sleep(0.1)
        with self.guest(
            "-netdev", f"stream,id=n,server=off,addr.type=unix,addr.path={path}",
            "-device", "virtio-net-device,netdev=n",
        ) as machine:  # fmt: skip
            self.assertIn("192.0.2.9/24", machine.run("ip addr show eth0"))
            # The gateway's address leads to the namespace's loopback.
            text = machine.run("wget -q -O /tmp/blob http://192.0.2.1/blob && md5sum /tmp/blob")
            self.assertIn(hashlib.md5(blob).hexdigest(), text)

    @unittest.skipUnless(CAN_TAP, "a tap needs root and /dev/net/tun")
    def test_tap_with_two_queues(self):
        blob = data(16 << 20, 2)
        (self.directory / "blob").write_bytes(blob)
        ip, inside = self.namespace()
        with self.guest(
            "-netdev", "tap,id=n,ifname=hvtap0,script=no,downscript=no,queues=2",
            "-device", "virtio-net-device,netdev=n,mq=on",
            lease=False, emulator=[*inside, *EMULATOR],
        ) as machine:  # fmt: skip
            ip("addr", "add", "10.8.0.1/24", "dev", "hvtap0")
            ip("link", "set", "hvtap0", "up")
            machine.run("ip addr add 10.8.0.2/24 dev eth0; ip link set eth0 up")
            machine.run("ping -c 3 10.8.0.1")
            self.assertEqual(machine.run("ls /sys/class/net/eth0/queues | grep -c rx").strip(), "2")
            # To the guest and back, with checksums.
            machine.run("nc -l -p 99 </dev/null >/tmp/b & sleep 1")
            send = "import socket,sys;s=socket.create_connection(('10.8.0.2',99));" \
                   "s.sendall(open(sys.argv[1],'rb').read())"  # fmt: skip
            subprocess.run([*inside, "python3", "-c", send, self.directory / "blob"], check=True)
            self.assertIn(hashlib.md5(blob).hexdigest(), machine.run("wait; md5sum /tmp/b"))
            machine.run("nc -l -p 99 </tmp/b & sleep 1")
            receive = "import socket,hashlib;s=socket.create_connection(('10.8.0.2',99));" \
                      "h=hashlib.md5();[h.update(p) for p in iter(lambda:s.recv(65536),b'')];" \
                      "print(h.hexdigest())"  # fmt: skip
            got = subprocess.run([*inside, "python3", "-c", receive], check=True,
                                 capture_output=True, text=True).stdout  # fmt: skip
            self.assertEqual(got.strip(), hashlib.md5(blob).hexdigest())
            # The interface goes away under the guest.
            ip("link", "del", "hvtap0")
            machine.run("for i in $(seq 50); do [ $(cat /sys/class/net/eth0/carrier) = 0 ] && break;"
                        " usleep 100000; done; [ $(cat /sys/class/net/eth0/carrier) = 0 ]")  # fmt: skip
            machine.run("! ping -c 1 -W 1 10.8.0.1 >/dev/null")


if __name__ == "__main__":
    unittest.main()
