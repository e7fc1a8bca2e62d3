// The user network against real sockets of this host, with frames made by hand.
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/checksum.h"
#include "net/user_options.h"
#include "net_test.h"

namespace hv {

namespace {

constexpr uint8_t kGuestMac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
constexpr uint8_t kHostMac[] = {0x52, 0x55, 10, 0, 2, 2};

UserNetOptions good(const std::string& text) {
  auto values = KeyValues::parse("-netdev", text);
  REQUIRE(values);
  auto options = take_user_options(*values);
  INFO((options ? std::string() : options.error().message));
  REQUIRE(options);
  return *options;
}

std::string text_of(in_addr address) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address, text, sizeof text);
}

Bytes ethernet(const uint8_t* to, uint16_t type) {
  Bytes frame(to, to + 6);
  frame.insert(frame.end(), kGuestMac, kGuestMac + 6);
  frame.push_back(static_cast<uint8_t>(type >> 8));
  frame.push_back(static_cast<uint8_t>(type));
  return frame;
}

// "I am 10.0.2.15": the network knows where to answer from then on.
Bytes arp_announcement() {
  const uint8_t broadcast[] = {255, 255, 255, 255, 255, 255};
  Bytes frame = ethernet(broadcast, 0x0806);
  frame.insert(frame.end(), {0, 1, 8, 0, 6, 4, 0, 1});
  frame.insert(frame.end(), kGuestMac, kGuestMac + 6);
  frame.insert(frame.end(), {10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2});
  frame.resize(60);
  return frame;
}

// UDP from 10.0.2.15:1234 to 10.0.2.2:`port` with its checksum left to the receiver.
Bytes udp_frame(uint16_t port, size_t payload, VnetHeader& header) {
  Bytes frame = ethernet(kHostMac, 0x0800);
  const auto put16 = [&](size_t value) {
    frame.push_back(static_cast<uint8_t>(value >> 8));
    frame.push_back(static_cast<uint8_t>(value));
  };
  frame.insert(frame.end(), {0x45, 0});
  put16(28 + payload);
  frame.insert(frame.end(), {0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2});
  const auto sum = static_cast<uint16_t>(~ones_complement_sum({frame.data() + 14, 20}));
  std::memcpy(&frame[24], &sum, 2);
  put16(1234);
  put16(port);
  put16(8 + payload);
  Bytes pseudo(frame.begin() + 26, frame.begin() + 34);
  pseudo.insert(pseudo.end(), {0, 17, static_cast<uint8_t>((8 + payload) >> 8),
                               static_cast<uint8_t>(8 + payload)});
  const uint16_t partial = ones_complement_sum(pseudo);
  frame.resize(frame.size() + 2);
  std::memcpy(&frame[40], &partial, 2);
  for (size_t i = 0; i < payload; ++i) frame.push_back(static_cast<uint8_t>(i * 13));
  header = {.flags = VnetHeader::kNeedsCsum, .csum_start = 34, .csum_offset = 6};
  return frame;
}

struct HostUdp {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  sockaddr_in peer{};
  HostUdp() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t length = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  }
  ~HostUdp() { close(fd); }
  uint16_t port() const { return ntohs(address.sin_port); }
  Bytes receive(Cable& cable) {
    Bytes buffer(65536);
    ssize_t size = -1;
    cable.until([&] {
      socklen_t length = sizeof peer;
      size = recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&peer),
                      &length);
      return size >= 0;
    });
    buffer.resize(static_cast<size_t>(size));
    return buffer;
  }
  void answer(const Bytes& bytes) {
    REQUIRE(sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&peer),
                   sizeof peer) == static_cast<ssize_t>(bytes.size()));
  }
};

struct UserCable : Cable {
  explicit UserCable(const std::string& more = "") {
    plug("user,id=n,ipv6=off" + more);
    REQUIRE(send(arp_announcement()));
    settle();
    client.frames.clear();
  }
};

bool has(const std::string& text, const char* part) {
  INFO(text);
  return text.find(part) != std::string::npos && text.find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("User network: addresses follow net=, as QEMU's") {
  const UserNetOptions plain = good("");
  CHECK(text_of(plain.network) == "10.0.2.0");
  CHECK(text_of(plain.mask) == "255.255.255.0");
  CHECK(text_of(plain.host) == "10.0.2.2");
  CHECK(text_of(plain.dns) == "10.0.2.3");
  CHECK(text_of(plain.dhcp_start) == "10.0.2.15");
  CHECK(plain.prefix_length == 64);
  CHECK((plain.ipv4 && plain.ipv6));
  const UserNetOptions other =
      good("net=192.168.76.9/24,dhcpstart=192.168.76.100,ipv6-net=fd00::/48");
  CHECK(text_of(other.network) == "192.168.76.0");
  CHECK(text_of(other.host) == "192.168.76.2");
  CHECK(text_of(other.dhcp_start) == "192.168.76.100");
  CHECK(other.prefix_length == 48);
  CHECK(other.host6.s6_addr[0] == 0xfd);
  CHECK(other.host6.s6_addr[15] == 2);
  CHECK(text_of(good("net=172.16.0.0/255.255.0.0").host) == "172.16.2.2");
  CHECK_FALSE(good("ipv4=on").ipv6);
  CHECK_FALSE(good("ipv6=on").ipv4);
  CHECK_FALSE(good("ipv6=off").ipv6);
  const UserNetOptions lists = good(
      "hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-10.0.2.15:53,dnssearch=a,dnssearch=b,"
      "guestfwd=tcp:10.0.2.100:80-cmd:cat -u,restrict=on");
  REQUIRE(lists.host_forwards.size() == 2);
  CHECK(lists.host_forwards[0].host_port == 2222);
  CHECK(lists.host_forwards[1].udp);
  CHECK(text_of(lists.host_forwards[1].guest_address) == "10.0.2.15");
  CHECK(lists.dns_search == std::vector<std::string>{"a", "b"});
  REQUIRE(lists.guest_forwards.size() == 1);
  CHECK(lists.guest_forwards[0].command == "cat -u");
  CHECK(lists.restricted);
}

TEST_CASE("User network: what is wrong is named in one line") {
  CHECK(has(netdev_error("user,id=n,foo=1"), "-netdev user,id=n: there is no 'foo'"));
  CHECK(has(netdev_error("user,id=n,net=10.0.2"), "net=10.0.2"));
  CHECK(has(netdev_error("user,id=n,net=10.0.2.0/33"), "4 to 30"));
  CHECK(has(netdev_error("user,id=n,host=1.2.3.4"), "outside"));
  CHECK(has(netdev_error("user,id=n,dns=10.0.2.2"), "different"));
  CHECK(has(netdev_error("user,id=n,ipv4=off,ipv6=off"), "ipv4=off"));
  CHECK(has(netdev_error("user,id=n,ipv6-host=fec1::2"), "ipv6-host"));
  CHECK(has(netdev_error("user,id=n,smb=/tmp"), "smb=: not supported"));
  CHECK(has(netdev_error("user,id=n,restrict=maybe"), "restrict=maybe"));
  for (const char* forward :
       {"tcp::22:22", "sctp::1-:1", "tcp::x-:1", "tcp::1-:0", "tcp:a:1-:1", "tcp"})
    CHECK(has(netdev_error(std::string("user,id=n,hostfwd=") + forward), forward));
  for (const char* forward : {"udp:10.0.2.9:1-cmd:x", "tcp:10.0.2.9:0-cmd:x", "tcp:x:1-cmd:y"})
    CHECK(has(netdev_error(std::string("user,id=n,guestfwd=") + forward), forward));
}

TEST_CASE("User network: a forwarded port that is taken is named") {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(fd, 1) == 0);
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  const std::string forward = fmt::format("tcp:127.0.0.1:{}-:22", ntohs(address.sin_port));
  CHECK(has(netdev_error("user,id=n,hostfwd=" + forward), forward.c_str()));
  close(fd);
}

TEST_CASE("User network: datagrams reach the host's loopback and come back, checksums completed") {
  HostUdp host;
  UserCable cable;
  VnetHeader header;
  const Bytes frame = udp_frame(host.port(), 777, header);
  REQUIRE(cable.send(frame, header));
  CHECK(host.receive(cable) == Bytes(frame.begin() + 42, frame.end()));
  cable.endpoint->set_receive_offloads({.checksum = true});
  const Bytes answer = test_frame(500);
  host.answer(answer);
  cable.until([&] { return !cable.client.frames.empty(); });
  const auto& got = cable.client.frames[0];
  CHECK(got.header.flags == VnetHeader::kDataValid);
  CHECK(Bytes(got.bytes.begin() + 42, got.bytes.end()) == answer);
}

TEST_CASE("User network: a datagram longer than the guest's link comes in fragments") {
  HostUdp host;
  UserCable cable;
  VnetHeader header;
  REQUIRE(cable.send(udp_frame(host.port(), 9, header), header));
  host.receive(cable);
  const Bytes answer = test_frame(5000);
  host.answer(answer);
  cable.until([&] { return cable.client.frames.size() == 4; });
  Bytes joined;
  for (const auto& frame : cable.client.frames) {
    CHECK(frame.bytes.size() <= 1514);
    joined.insert(joined.end(), frame.bytes.begin() + 34, frame.bytes.end());
  }
  CHECK(Bytes(joined.begin() + 8, joined.end()) == answer);
}

TEST_CASE("User network: what the guest has no room for waits, and the host's sockets with it") {
  HostUdp host;
  UserCable cable;
  VnetHeader header;
  REQUIRE(cable.send(udp_frame(host.port(), 9, header), header));
  host.receive(cable);
  cable.client.room = 0;
  for (uint8_t i = 0; i < 20; ++i) host.answer(Bytes(100, i));
  cable.until([&] { return cable.client.starved; });
  cable.settle();
  CHECK(cable.client.frames.empty());
  cable.client.room = SIZE_MAX;
  cable.endpoint->receive_ready(0);
  cable.until([&] { return cable.client.frames.size() == 20; });
  for (uint8_t i = 0; i < 20; ++i) CHECK(cable.client.frames[i].bytes.back() == i);
}

TEST_CASE("User network: what waits for a guest without room is bounded in bytes") {
  UserCable cable;
  cable.client.room = 0;
  Bytes ping = ethernet(kHostMac, 0x0800);
  constexpr uint16_t kLength = 60'000;
  ping.insert(ping.end(), {0x45, 0, kLength >> 8, kLength & 255, 0, 1, 0, 0, 64, 1, 0, 0});
  ping.insert(ping.end(), {10, 0, 2, 15, 10, 0, 2, 2, 8});
  ping.resize(14 + kLength);
  const auto put_sum = [&](size_t at, size_t from, size_t size) {
    const auto sum = static_cast<uint16_t>(~ones_complement_sum({ping.data() + from, size}));
    std::memcpy(&ping[at], &sum, sizeof sum);
  };
  put_sum(24, 14, 20);
  put_sum(36, 34, kLength - 20);
  for (int i = 0; i < 200; ++i) cable.send(ping);  // the answers come to 12 MB
  cable.client.room = SIZE_MAX;
  cable.endpoint->receive_ready(0);
  size_t total = 0;
  for (const auto& frame : cable.client.frames) total += frame.bytes.size();
  CHECK(total > 3 << 20);
  CHECK(total < 5 << 20);
}

TEST_CASE("User network: frames of any kind from a hostile guest end in nothing") {
  UserCable cable;
  Bytes frame(2000);
  uint32_t state = 1;
  for (int i = 0; i < 3000; ++i) {
    for (uint8_t& byte : frame)
      byte = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
    const Bytes start = arp_announcement();
    std::memcpy(frame.data(), start.data(), 12);
    constexpr uint8_t kTypes[][2] = {{8, 0}, {8, 6}, {0x86, 0xdd}, {0x88, 0xf8}};
    std::memcpy(&frame[12], kTypes[i % 4], 2);
    if (i % 4 == 0) frame[14] = 0x45;
    if (i % 4 == 2) frame[14] = 0x60;
    const size_t size = 14 + (state >> 8) % 1900;
    VnetHeader header;
    std::memcpy(static_cast<void*>(&header), &frame[100], sizeof header);
    cable.send(Bytes(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size)), header);
  }
  cable.settle();
}

}  // namespace hv
