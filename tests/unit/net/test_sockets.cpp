// Frames over real sockets: stream, dgram and socket.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net_test.h"

namespace hv {

namespace {

struct Pair {
  int ours = -1, theirs = -1;
  explicit Pair(int type) {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, type, 0, fds) == 0);
    ours = fds[0];
    theirs = fds[1];
  }
  ~Pair() { close(theirs); }  // `ours` goes to the endpoint
};

void write_all(int fd, const void* data, size_t size) {
  REQUIRE(write(fd, data, size) == static_cast<ssize_t>(size));
}

uint16_t free_tcp_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

// Both ways, many frames of many sizes, the receiver short of room now and then.
void talk(Cable& a, Cable& b) {
  a.until([&] {
    b.loop->run_once(0);
    return a.endpoint->link_up() && b.endpoint->link_up();
  });
  for (auto* way : {&a, &b}) {
    Cable& from = *way;
    Cable& to = way == &a ? b : a;
    to.client.frames.clear();
    std::vector<Bytes> sent;
    for (size_t i = 0; i < 200; ++i)
      sent.push_back(test_frame(14 + i * 37 % 1500, static_cast<uint8_t>(i)));
    size_t next = 0;
    to.client.room = 10;
    while (to.client.frames.size() < sent.size()) {
      while (next < sent.size() && from.send(sent[next])) ++next;
      from.loop->run_once(0);
      to.loop->run_once(0);
      if (to.client.starved) {
        to.client.starved = false;
        to.client.room = 7;
        to.endpoint->receive_ready(0);
      }
    }
    for (size_t i = 0; i < sent.size(); ++i) REQUIRE(to.client.frames[i].bytes == sent[i]);
    to.client.room = SIZE_MAX;
    to.endpoint->receive_ready(0);
  }
}

}  // namespace

TEST_CASE("Stream: two ends over unix and tcp, by both words") {
  const std::string path = scratch_path("stream");
  const uint16_t port = free_tcp_port();
  const auto tcp = std::to_string(port);
  for (const auto& [server, client] : std::vector<std::pair<std::string, std::string>>{
           {"stream,id=a,server=on,addr.type=unix,addr.path=" + path,
            "stream,id=b,server=off,addr.type=unix,addr.path=" + path},
           {"stream,id=a,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=" + tcp,
            "stream,id=b,addr.type=inet,addr.host=127.0.0.1,addr.port=" + tcp},
           {"socket,id=a,listen=127.0.0.1:" + tcp, "socket,id=b,connect=127.0.0.1:" + tcp},
           {"socket,id=a,listen=:" + tcp, "socket,id=b,connect=127.0.0.1:" + tcp}}) {
    INFO(server);
    Cable a, b;
    a.plug(server);
    CHECK_FALSE(a.endpoint->link_up());
    b.plug(client);
    talk(a, b);
    // The peer goes: the link is down, and what is sent is dropped.
    b.unplug();
    a.until([&] { return !a.endpoint->link_up(); });
    CHECK(a.send(test_frame(100)));
  }
  struct stat info{};
  CHECK(stat(path.c_str(), &info) != 0);
}

TEST_CASE("Stream: the wire is QEMU's, a length of 4 bytes before each frame") {
  Pair pair(SOCK_STREAM);
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(pair.ours));
  CHECK(netdev_error("socket,id=m,fd=" + std::to_string(pair.ours)).ends_with("uses it already"));
  const Bytes frame = test_frame(60);
  const uint8_t prefix[] = {0, 0, 0, 60};
  write_all(pair.theirs, prefix, 4);
  write_all(pair.theirs, frame.data(), frame.size());
  cable.until([&] { return !cable.client.frames.empty(); });
  CHECK(cable.client.frames[0].bytes == frame);
  CHECK(cable.client.bursts > 0);
  REQUIRE(cable.send(frame));
  Bytes wire(64);
  REQUIRE(read(pair.theirs, wire.data(), 64) == 64);
  CHECK(std::memcmp(wire.data(), prefix, 4) == 0);
  CHECK(Bytes(wire.begin() + 4, wire.end()) == frame);
}

TEST_CASE("Stream: a peer that sends a bogus length is closed, a server waits for the next") {
  const std::string path = scratch_path("bogus");
  Cable server;
  server.plug("stream,id=a,server=on,addr.type=unix,addr.path=" + path);
  for (int round = 0; round < 2; ++round) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    server.until([&] { return server.endpoint->link_up(); });
    const uint32_t length = htonl(1 << 20);
    write_all(fd, &length, 4);
    server.until([&] { return !server.endpoint->link_up(); });
    char byte;
    CHECK(read(fd, &byte, 1) == 0);
    close(fd);
  }
}

TEST_CASE("Stream: a slow peer stops the guest, and nothing is lost when it reads on") {
  Pair pair(SOCK_STREAM);
  Cable cable;
  cable.plug("stream,id=n,addr.type=fd,addr.str=" + std::to_string(pair.ours));
  std::vector<uint8_t> expected;
  size_t sent = 0;
  while (sent < 100'000) {
    const Bytes frame = test_frame(1400, static_cast<uint8_t>(sent));
    if (!cable.send(frame)) break;
    const uint8_t prefix[] = {0, 0, 1400 >> 8, 1400 & 255};
    expected.insert(expected.end(), prefix, prefix + 4);
    expected.insert(expected.end(), frame.begin(), frame.end());
    ++sent;
  }
  REQUIRE(sent < 100'000);  // it was refused at last
  CHECK(cable.client.ready == 0);
  fcntl(pair.theirs, F_SETFL, O_NONBLOCK);
  std::vector<uint8_t> got;
  while (got.size() < expected.size()) {
    uint8_t buffer[65536];
    const ssize_t size = read(pair.theirs, buffer, sizeof buffer);
    if (size > 0) got.insert(got.end(), buffer, buffer + size);
    cable.loop->run_once(0);
  }
  CHECK(got == expected);
  CHECK(cable.client.ready == 1);
  CHECK(cable.send(test_frame(60)));
}

TEST_CASE("Stream: a peer that reads all between a refusal and the end of its burst") {
  Pair pair(SOCK_STREAM);
  // What the endpoint keeps back must fit into the socket at once.
  const int size = 8 << 20;
  if (setsockopt(pair.ours, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
    WARN("skipped: the host does not allow large socket buffers");
    close(pair.ours);
    return;
  }
  fcntl(pair.ours, F_SETFL, O_NONBLOCK);
  fcntl(pair.theirs, F_SETFL, O_NONBLOCK);
  Bytes buffer(64 << 10);
  while (write(pair.ours, buffer.data(), buffer.size()) > 0) {
  }
  while (write(pair.ours, buffer.data(), 1) > 0) {
  }
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(pair.ours));
  const Bytes frame = test_frame(1400);
  const iovec piece{const_cast<uint8_t*>(frame.data()), frame.size()};
  while (cable.endpoint->transmit(0, {}, {&piece, 1})) {
  }
  while (read(pair.theirs, buffer.data(), buffer.size()) > 0) {
  }
  cable.endpoint->transmit_done(0);
  cable.settle();
  CHECK(cable.client.ready == 1);
}

TEST_CASE("Stream: a peer that dies while the guest waits lets it go on") {
  auto pair = std::make_unique<Pair>(SOCK_STREAM);
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(pair->ours));
  while (cable.send(test_frame(1400))) {
  }
  pair.reset();
  cable.until([&] { return cable.client.ready == 1; });
  CHECK_FALSE(cable.endpoint->link_up());
  CHECK(cable.client.link_changes > 0);
  CHECK(cable.send(test_frame(60)));
}

TEST_CASE("Stream: a client with reconnect finds its server whenever it comes") {
  const std::string path = scratch_path("later");
  Cable client;
  client.plug("stream,id=b,reconnect-ms=5,addr.type=unix,addr.path=" + path);
  for (int round = 0; round < 2; ++round) {
    client.settle();
    CHECK_FALSE(client.endpoint->link_up());
    Cable server;
    server.plug("stream,id=a,server=on,addr.type=unix,addr.path=" + path);
    talk(server, client);
    server.unplug();
    client.until([&] { return !client.endpoint->link_up(); });
  }
}

TEST_CASE("Datagrams: unix, udp, inherited and multicast") {
  const std::string one = scratch_path("one"), two = scratch_path("two");
  const auto p1 = std::to_string(free_tcp_port()), p2 = std::to_string(free_tcp_port());
  Pair pair(SOCK_DGRAM);
  const int copy = dup(pair.theirs);
  for (const auto& [first, second] : std::vector<std::pair<std::string, std::string>>{
           {"dgram,id=a,local.type=unix,local.path=" + one + ",remote.type=unix,remote.path=" + two,
            "dgram,id=b,local.type=unix,local.path=" + two +
                ",remote.type=unix,remote.path=" + one},
           {"dgram,id=a,local.type=inet,local.host=127.0.0.1,local.port=" + p1 +
                ",remote.type=inet,remote.host=127.0.0.1,remote.port=" + p2,
            "dgram,id=b,local.type=inet,local.host=127.0.0.1,local.port=" + p2 +
                ",remote.type=inet,remote.host=127.0.0.1,remote.port=" + p1},
           {"socket,id=a,udp=127.0.0.1:" + p2 + ",localaddr=127.0.0.1:" + p1,
            "socket,id=b,udp=127.0.0.1:" + p1 + ",localaddr=127.0.0.1:" + p2},
           {"socket,id=a,fd=" + std::to_string(pair.ours),
            "dgram,id=b,local.type=fd,local.str=" + std::to_string(copy)}}) {
    INFO(first);
    Cable a, b;
    a.plug(first);
    b.plug(second);
    for (size_t i = 0; i < 40; ++i) {
      const Bytes frame = test_frame(14 + i * 31);
      a.until([&] { return a.send(frame); });
      b.until([&] { return b.client.frames.size() == i + 1; });
      REQUIRE(b.client.frames[i].bytes == frame);
    }
    REQUIRE(b.send(test_frame(99)));
    a.until([&] { return !a.client.frames.empty(); });
    CHECK(a.client.frames[0].bytes == test_frame(99));
  }
}

TEST_CASE("Datagrams: multicast on loopback reaches all members") {
  const auto port = std::to_string(free_tcp_port());
  Cable a, b;
  a.plug("socket,id=a,mcast=230.0.0.1:" + port + ",localaddr=127.0.0.1");
  b.plug("dgram,id=b,remote.type=inet,remote.host=230.0.0.1,remote.port=" + port +
         ",local.type=inet,local.host=127.0.0.1");
  const Bytes frame = test_frame(300);
  REQUIRE(a.send(frame));
  b.until([&] { return !b.client.frames.empty(); });
  CHECK(b.client.frames[0].bytes == frame);
}

TEST_CASE("Datagrams: a unix peer that does not read stops the guest; one that is gone does not") {
  Pair pair(SOCK_DGRAM);
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(pair.ours));
  unsigned sent = 0;
  while (cable.send(test_frame(1000, static_cast<uint8_t>(sent)))) REQUIRE(++sent < 100'000);
  uint8_t buffer[2000];
  for (unsigned i = 0; i < sent; ++i) REQUIRE(read(pair.theirs, buffer, sizeof buffer) == 1000);
  cable.until([&] { return cable.client.ready > 0; });
  CHECK(cable.send(test_frame(60)));
}

TEST_CASE("Datagrams: a socket that is shut down lets the guest go on, and the loop sleeps") {
  const bool waits = GENERATE(true, false);
  Pair pair(SOCK_DGRAM);
  const int copy = dup(pair.ours);
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(pair.ours));
  if (waits) {  // both ways
    cable.client.room = 0;
    const Bytes frame = test_frame(60);
    write_all(pair.theirs, frame.data(), frame.size());
    cable.until([&] { return cable.client.starved; });
    while (cable.send(test_frame(1000))) {
    }
  }
  shutdown(copy, SHUT_RDWR);
  close(copy);
  cable.settle();
  CHECK_FALSE(cable.loop->run_once(0));
  CHECK(cable.client.ready == (waits ? 1 : 0));
  CHECK(cable.send(test_frame(60)));
}

TEST_CASE("Datagrams: a peer that is not there is not noticed by a guest without room") {
  const int peer = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const int ours = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  for (const int fd : {peer, ours}) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  }
  for (const auto& [from, to] : {std::pair{peer, ours}, {ours, peer}}) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    getsockname(to, reinterpret_cast<sockaddr*>(&address), &length);
    REQUIRE(connect(from, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  Cable cable;
  cable.plug("socket,id=n,fd=" + std::to_string(ours));
  cable.client.room = 0;
  const Bytes frame = test_frame(60);
  write_all(peer, frame.data(), frame.size());
  cable.until([&] { return cable.client.starved; });
  close(peer);
  CHECK(cable.send(frame));  // the host answers that nobody is there
  cable.settle();
  CHECK_FALSE(cable.loop->run_once(0));
  CHECK(cable.send(frame));
  cable.client.room = SIZE_MAX;
  cable.endpoint->receive_ready(0);
  cable.until([&] { return cable.client.frames.size() == 1; });
  cable.settle();
  CHECK_FALSE(cable.loop->run_once(0));
}

TEST_CASE("Sockets: what is wrong is named in one line") {
  const auto has = [](const std::string& text, const char* part) {
    INFO(text);
    return text.find(part) != std::string::npos && text.find('\n') == std::string::npos;
  };
  CHECK(has(netdev_error("socket,id=n"), "one of fd="));
  CHECK(has(netdev_error("socket,id=n,listen=x,connect=y"), "one of fd="));
  CHECK(has(netdev_error("socket,id=n,connect=127.0.0.1:99999"), "99999"));
  CHECK(has(netdev_error("socket,id=n,mcast=10.0.0.1:5"), "not a multicast"));
  CHECK(has(netdev_error("socket,id=n,udp=127.0.0.1:5"), "localaddr"));
  CHECK(has(netdev_error("socket,id=n,fd=77"), "fd=77"));
  CHECK(has(netdev_error("stream,id=n"), "addr.type="));
  CHECK(has(netdev_error("stream,id=n,addr.type=unix,addr.path=/nonexistent/x"), "/nonexistent/x"));
  CHECK(has(netdev_error("stream,id=n,addr.type=unix,addr.path=/x,foo=1"), "foo"));
  CHECK(has(netdev_error("dgram,id=n,local.type=inet"), "local.type=inet"));
  CHECK(has(netdev_error("hubport,id=n"), "not supported"));
  CHECK(has(netdev_error("nonsense,id=n"), "no such type"));
}

}  // namespace hv
