// Real tap interfaces in a network namespace of the test's own. Skipped, with a word, where the
// host does not allow them.
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "net_test.h"

namespace hv {

namespace {

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// Runs `test` on a thread in a namespace where no other interfaces are.
template <class F>
void in_namespace(F test) {
  bool allowed = false;
  std::thread([&] {
    allowed = unshare(CLONE_NEWNET) == 0 && open("/dev/net/tun", O_RDWR | O_CLOEXEC) >= 0 &&
              run("ip link set lo up");
    if (allowed) test();
  }).join();
  if (!allowed) WARN("taps are not allowed here: nothing was tested");
}

// The host's end of an interface, as frames.
struct Sniffer {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(0x88b5));
  int index;
  explicit Sniffer(const char* name) : index(static_cast<int>(if_nametoindex(name))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(0x88b5);
    address.sll_ifindex = index;
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Sniffer() { close(fd); }
  void send(const Bytes& frame) {
    REQUIRE(write(fd, frame.data(), frame.size()) == static_cast<ssize_t>(frame.size()));
  }
  Bytes receive(Cable& cable) {
    Bytes frame(70000);
    ssize_t size = -1;
    cable.until([&] { return (size = read(fd, frame.data(), frame.size())) >= 0; });
    frame.resize(static_cast<size_t>(size));
    return frame;
  }
};

constexpr const char* kNoScripts = ",script=no,downscript=no";

}  // namespace

TEST_CASE("Tap: frames both ways, with and without headers") {
  in_namespace([] {
    for (const char* vnet : {"on", "off"}) {
      Cable cable;
      cable.plug(std::string("tap,id=n,ifname=hvt0,vnet_hdr=") + vnet + kNoScripts);
      CHECK(cable.endpoint->traits().transmit.checksum == (vnet == std::string("on")));
      REQUIRE(run("ip link set hvt0 up"));
      Sniffer host("hvt0");
      for (size_t size : {60u, 1514u, 100u}) {
        REQUIRE(cable.send(test_frame(size)));
        CHECK(host.receive(cable) == test_frame(size));
        cable.client.frames.clear();
        host.send(test_frame(size, 9));
        cable.until([&] {
          for (const auto& frame : cable.client.frames)
            if (frame.bytes == test_frame(size, 9)) return true;
          return false;
        });
      }
      // Longer than the guest's buffers of the moment: in a copy.
      cable.client.space_size = 100;
      host.send(test_frame(1000, 5));
      cable.until([&] {
        return !cable.client.frames.empty() &&
               cable.client.frames.back().bytes == test_frame(1000, 5);
      });
    }
  });
}

TEST_CASE("Tap: the host keeps what the guest has no room for") {
  in_namespace([] {
    Cable cable;
    cable.plug(std::string("tap,id=n,ifname=hvt0") + kNoScripts);
    REQUIRE(run("sysctl -w net.ipv6.conf.hvt0.disable_ipv6=1; ip link set hvt0 up"));
    cable.settle();
    cable.client.frames.clear();
    cable.client.room = 0;
    Sniffer host("hvt0");
    for (uint8_t i = 0; i < 100; ++i) host.send(test_frame(60, i));
    cable.until([&] { return cable.client.starved; });
    for (cable.client.room = 30; cable.client.frames.size() < 100;) {
      cable.endpoint->receive_ready(0);
      cable.settle();
      cable.client.room = 30;
    }
    for (uint8_t i = 0; i < 100; ++i) CHECK(cable.client.frames[i].bytes == test_frame(60, i));
  });
}

TEST_CASE("Tap: an interface that is taken away is a link that goes down") {
  in_namespace([] {
    Cable cable;
    cable.plug(std::string("tap,id=n,ifname=hvt0") + kNoScripts);
    REQUIRE(run("ip link set hvt0 up"));
    CHECK(cable.endpoint->link_up());
    REQUIRE(run("ip link del hvt0"));
    cable.until([&] { return !cable.endpoint->link_up(); });
    CHECK(cable.client.link_changes == 1);
    CHECK(cable.send(test_frame(60)));
    cable.settle();
  });
}

TEST_CASE("Tap: a frame that waits for an interface that is taken away is dropped") {
  in_namespace([] {
    Cable cable;
    cable.plug(std::string("tap,id=n,ifname=hvt0,sndbuf=4000") + kNoScripts);
    Cable sink;
    sink.plug(std::string("tap,id=m,ifname=hvt1") + kNoScripts);
    // A bridge whose other port lets almost nothing out keeps the frames, and so our send buffer.
    if (!run("ip link add hvbr type bridge && tc qdisc add dev hvt1 root tbf rate 8bit burst 2000 "
             "limit 1000000")) {
      WARN("skipped: the host has no bridge or no tbf");
      return;
    }
    REQUIRE(
        run("for i in hvbr hvt0 hvt1; do ip link set $i up; done;"
            "for i in hvt0 hvt1; do ip link set $i master hvbr; done"));
    cable.client.room = GENERATE(size_t{0}, SIZE_MAX);
    Bytes frame = test_frame(1014);
    std::copy_n("\x52\x54\x00\x99\x99\x99", 6, frame.begin());  // one address, so no copies
    unsigned sent = 0;
    cable.until([&] { return !cable.send(frame) || ++sent > 1000; });
    if (cable.client.room == 0) {
      // Neither way does it read what would show that the interface is gone.
      Sniffer host("hvt0");
      cable.until([&] {
        host.send(test_frame(60));
        cable.loop->run_once(1'000'000);
        return cable.client.starved;
      });
    }
    REQUIRE(sent < 1000);
    REQUIRE(run("ip link del hvt0"));
    cable.until([&] { return cable.client.ready == 1; });
    CHECK_FALSE(cable.endpoint->link_up());
    CHECK(cable.send(frame));
    cable.settle();
    CHECK_FALSE(cable.loop->run_once(0));
  });
}

TEST_CASE("Tap: several queues, switched on and off") {
  in_namespace([] {
    Cable cable;
    cable.plug(std::string("tap,id=n,ifname=hvt0,queues=3") + kNoScripts);
    CHECK(cable.endpoint->traits().pairs == 3);
    REQUIRE(run("ip link set hvt0 up"));
    Sniffer host("hvt0");
    cable.endpoint->set_active_pairs(3);
    for (unsigned pair = 0; pair < 3; ++pair) {
      REQUIRE(cable.send(test_frame(60, static_cast<uint8_t>(pair)), {}, pair));
      CHECK(host.receive(cable) == test_frame(60, static_cast<uint8_t>(pair)));
    }
    cable.endpoint->set_active_pairs(1);
    cable.client.frames.clear();
    for (uint8_t i = 0; i < 20; ++i) host.send(test_frame(60, i));
    cable.until([&] { return cable.client.frames.size() >= 20; });
    for (const auto& frame : cable.client.frames) CHECK(frame.pair == 0);
  });
}

TEST_CASE("Tap: offloads are what the client asks for") {
  in_namespace([] {
    Cable cable;
    cable.plug(std::string("tap,id=n,ifname=hvt0") + kNoScripts);
    CHECK(cable.endpoint->traits().receive.tso4);
    REQUIRE(run("ip link set hvt0 up"));
    cable.endpoint->set_receive_offloads(
        {.checksum = true, .tso4 = true, .tso6 = true, .ecn = true});
    // A header that asks for nonsense is the host's to refuse, and is dropped.
    CHECK(cable.send(test_frame(60), {.flags = 1, .gso_type = 77, .csum_start = 60000}));
    Sniffer host("hvt0");
    REQUIRE(cable.send(test_frame(61)));
    CHECK(host.receive(cable) == test_frame(61));
  });
}

TEST_CASE("Tap: scripts get the interface's name") {
  in_namespace([] {
    const std::string script = scratch_path("script"), log = scratch_path("log");
    std::ofstream(script) << "#!/bin/sh\necho $0 $1 >>" << log << "\n";
    chmod(script.c_str(), 0755);
    {
      Cable cable;
      cable.plug("tap,id=n,ifname=hvt%d,script=" + script + ",downscript=" + script);
    }
    std::ifstream file(log);
    std::string program, name;
    for (int i = 0; i < 2; ++i) {
      REQUIRE(file >> program >> name);
      CHECK(name == "hvt0");
    }
    unlink(log.c_str());
    std::ofstream(script) << "#!/bin/sh\nexit 3\n";
    CHECK(netdev_error("tap,id=n,script=" + script).find("status") != std::string::npos);
    CHECK(netdev_error("tap,id=n,script=/nonexistent").find("script=no") != std::string::npos);
    unlink(script.c_str());
  });
}

TEST_CASE("Tap: inherited descriptors") {
  in_namespace([] {
    const int fd = open("/dev/net/tun", O_RDWR);
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    std::strcpy(request.ifr_name, "hvt0");
    REQUIRE(ioctl(fd, TUNSETIFF, &request) == 0);
    REQUIRE(run("ip link set hvt0 up"));
    Cable cable;
    cable.plug("tap,id=n,fd=" + std::to_string(fd));
    CHECK(cable.endpoint->traits().transmit.tso4);
    Sniffer host("hvt0");
    REQUIRE(cable.send(test_frame(70)));
    CHECK(host.receive(cable) == test_frame(70));
  });
}

TEST_CASE("Tap: what is not there is refused by name") {
  const auto has = [](const std::string& text, const char* part) {
    INFO(text);
    return text.find(part) != std::string::npos && text.find('\n') == std::string::npos;
  };
  CHECK(has(netdev_error("tap,id=n,vhost=on"), "vhost=on: not supported"));
  CHECK(has(netdev_error("tap,id=n,helper=/x"), "helper="));
  CHECK(has(netdev_error("tap,id=n,fd=0"), "fd=0: it is not a tap"));
  CHECK(has(netdev_error("tap,id=n,fd=3,ifname=x"), "ifname"));
  CHECK(has(netdev_error("tap,id=n,fds=3:x"), "fds=3:x"));
  CHECK(has(netdev_error("tap,id=n,queues=0"), "queues=0"));
  CHECK(has(netdev_error("tap,id=n,ifname=aninterfacewithalongname"), "at most 15"));
}

}  // namespace hv
