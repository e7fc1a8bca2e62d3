// Socket chardevs against real sockets.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include "tests/unit/main-loop/chardev_test.h"

using namespace hv;

namespace {

sockaddr_un unix_name(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, path.c_str());
  return name;
}

// Tries until the server is there.
UniqueFd connect_to(const std::string& path) {
  const sockaddr_un name = unix_name(path);
  for (;;) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) return fd;
    usleep(1000);
  }
}

UniqueFd listen_at(const std::string& path) {
  const sockaddr_un name = unix_name(path);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  REQUIRE(listen(fd.get(), 4) == 0);
  return fd;
}

struct Fixture {
  std::unique_ptr<IoThread> thread = std::move(*IoThread::create("io"));
  TempDir dir;
  EventLoop& loop() { return thread->loop(); }
};

}  // namespace

TEST_CASE("a unix server carries bytes both ways and takes the next peer", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend;
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  {
    UniqueFd peer = connect_to(f.dir / "s");
    frontend.wait_for("<opened>");
    put(peer.get(), "in");
    frontend.wait_for("<opened>in");
    write_all(*backend, "out");
    CHECK(read_exactly(peer.get(), 3) == "out");
  }
  frontend.wait_for("<opened>in<closed>");
  // Without a peer everything is taken and nothing is kept.
  CHECK(backend->write(as_bytes(std::string(1 << 20, 'x'))) == 1 << 20);
  UniqueFd next = connect_to(f.dir / "s");
  frontend.wait_for("<opened>in<closed><opened>");
  write_all(*backend, "again");
  CHECK(read_exactly(next.get(), 5) == "again");
  backend->set_frontend(nullptr);
  backend.reset();
  struct stat info{};
  CHECK(stat((f.dir / "s").c_str(), &info) != 0);
}

TEST_CASE("a server with wait=on returns with its first peer", "[chardev][socket]") {
  Fixture f;
  std::string got;
  std::thread client([&] {
    UniqueFd peer = connect_to(f.dir / "s");
    got = read_exactly(peer.get(), 5);
  });
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,path=" + f.dir / "s");
  write_all(*backend, "hello");
  client.join();
  CHECK(got == "hello");
}

TEST_CASE("a slow peer loses nothing and the front end hears of room", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend;
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  UniqueFd peer = connect_to(f.dir / "s");
  frontend.wait_for("<opened>");

  std::string sent;
  const auto fill = [&] {
    for (;;) {
      std::string block(1000, '\0');
      for (char& c : block) c = static_cast<char>('a' + sent.size() % 23);
      const size_t taken = backend->write(as_bytes(block));
      sent += block.substr(0, taken);
      if (taken < block.size()) return;
    }
  };
  // The socket's own buffer takes some while the queue fills: until nothing moves any more.
  size_t before = 0;
  do {
    before = sent.size();
    fill();
    usleep(20'000);
  } while (sent.size() != before || backend->output_room() != 0);
  const int calls = frontend.ready_calls();
  CHECK(read_exactly(peer.get(), sent.size()) == sent);
  frontend.wait_for_ready(calls + 1);
  CHECK(backend->output_room() > 0);
  backend->set_frontend(nullptr);
}

TEST_CASE("a front end without room holds its peer back", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend(4);
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  UniqueFd peer = connect_to(f.dir / "s");
  put(peer.get(), "0123456789");
  frontend.wait_for("<opened>0123");
  frontend.set_room(3);
  backend->accept_input();
  frontend.wait_for("<opened>0123456");
  frontend.set_room(SIZE_MAX);
  backend->accept_input();
  frontend.wait_for("<opened>0123456789");
  CHECK_FALSE(frontend.overrun());
  backend->set_frontend(nullptr);
}

TEST_CASE("a peer that goes while the front end has no room makes way for the next",
          "[chardev][socket]") {
  Fixture f;
  const std::string keys = GENERATE("", ",mux=on");
  RecordingFrontend frontend(4);
  auto backend =
      make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s" + keys);
  backend->set_frontend(&frontend);
  const std::string rest(keys.empty() ? 6 : 6000, 'x');
  {
    UniqueFd peer = connect_to(f.dir / "s");
    frontend.wait_for("<opened>");
    put(peer.get(), "0123" + rest);
    frontend.wait_for("<opened>0123");
  }
  UniqueFd next = connect_to(f.dir / "s");
  put(next.get(), "next");
  const std::string before = "<opened>0123<closed><opened>";
  frontend.wait_for(before);
  write_all(*backend, "out");
  CHECK(read_exactly(next.get(), 3) == "out");
  // What the first one sent comes first.
  frontend.set_room(SIZE_MAX);
  backend->accept_input();
  frontend.wait_for(before + rest + "next");
  backend->set_frontend(nullptr);
}

TEST_CASE("accept_input racing with the look for room never stalls", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend(1);
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  UniqueFd peer = connect_to(f.dir / "s");
  frontend.wait_for("<opened>");
  constexpr size_t kBytes = 5000;
  put(peer.get(), std::string(kBytes, 'x'));
  for (size_t i = 1; i <= kBytes; i++) {
    frontend.wait_until([&](const std::string& s) { return s.size() == 8 + i; });
    frontend.set_room(1);
    backend->accept_input();
  }
  CHECK_FALSE(frontend.overrun());
  backend->set_frontend(nullptr);
}

TEST_CASE("what a peer sent before it went is received", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend(2);
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  {
    UniqueFd peer = connect_to(f.dir / "s");
    put(peer.get(), "abcd");
  }
  frontend.wait_until(
      [](const std::string& received) { return received.starts_with("<opened>ab"); });
  write_all(*backend, "nobody reads this");
  frontend.set_room(SIZE_MAX);
  backend->accept_input();
  // The end is told when it is seen, which may be before there is room again.
  frontend.wait_until([](const std::string& received) {
    return received == "<opened>abcd<closed>" || received == "<opened>ab<closed>cd";
  });
  backend->set_frontend(nullptr);
}

TEST_CASE("a client connects again after its server went", "[chardev][socket]") {
  Fixture f;
  RecordingFrontend frontend;
  auto backend = make_chardev(f.loop(), "socket,id=a,reconnect-ms=5,path=" + f.dir / "s");
  backend->set_frontend(&frontend);
  {
    UniqueFd server = listen_at(f.dir / "s");
    UniqueFd peer(accept(server.get(), nullptr, nullptr));
    frontend.wait_for("<opened>");
    put(peer.get(), "1");
    frontend.wait_for("<opened>1");
  }
  unlink((f.dir / "s").c_str());
  frontend.wait_for("<opened>1<closed>");
  UniqueFd server = listen_at(f.dir / "s");
  UniqueFd peer(accept(server.get(), nullptr, nullptr));
  frontend.wait_for("<opened>1<closed><opened>");
  write_all(*backend, "back");
  CHECK(read_exactly(peer.get(), 4) == "back");
  backend->set_frontend(nullptr);
}

TEST_CASE("tcp: client and server", "[chardev][socket]") {
  Fixture f;
  UniqueFd server(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(server.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  REQUIRE(listen(server.get(), 1) == 0);
  socklen_t length = sizeof name;
  getsockname(server.get(), reinterpret_cast<sockaddr*>(&name), &length);
  const std::string where = "host=127.0.0.1,port=" + std::to_string(ntohs(name.sin_port));

  CHECK(chardev_error(f.loop(), "socket,id=b,server=on,wait=off," + where)
            .find("Address already in use") != std::string::npos);

  RecordingFrontend frontend;
  auto client = make_chardev(f.loop(), "socket,id=a,nodelay=on," + where);
  client->set_frontend(&frontend);
  UniqueFd peer(accept(server.get(), nullptr, nullptr));
  put(peer.get(), "x");
  frontend.wait_for("<opened>x");
  write_all(*client, "y");
  CHECK(read_exactly(peer.get(), 1) == "y");
  client.reset();
  CHECK(read_exactly(peer.get(), 1).empty());

  server.reset();
  CHECK(chardev_error(f.loop(), "socket,id=a," + where).find("Connection refused") !=
        std::string::npos);
}

TEST_CASE("an inherited descriptor serves as a socket", "[chardev][socket]") {
  Fixture f;
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  UniqueFd peer(fds[0]);
  RecordingFrontend frontend;
  auto backend = make_chardev(f.loop(), "socket,id=a,fd=" + std::to_string(fds[1]));
  backend->set_frontend(&frontend);
  put(peer.get(), "in");
  frontend.wait_for("<opened>in");
  write_all(*backend, "out");
  CHECK(read_exactly(peer.get(), 3) == "out");
  CHECK(chardev_error(f.loop(), "socket,id=b,fd=" + std::to_string(fds[1])) ==
        fmt::format("-chardev socket,id=b: fd={}: it was not handed to this process, or something "
                    "else uses it already",
                    fds[1]));
  backend->set_frontend(nullptr);
}

TEST_CASE("a socket file of a dead server is replaced, a live one is not", "[chardev][socket]") {
  Fixture f;
  listen_at(f.dir / "dead").reset();
  auto backend = make_chardev(f.loop(), "socket,id=a,server=on,wait=off,path=" + f.dir / "dead");
  CHECK(chardev_error(f.loop(), "socket,id=b,server=on,wait=off,path=" + f.dir / "dead") ==
        "-chardev socket,id=b: unix:" + f.dir / "dead" + ": Address already in use");
  UniqueFd(creat((f.dir / "file").c_str(), 0600));
  CHECK(chardev_error(f.loop(), "socket,id=b,server=on,wait=off,path=" + f.dir / "file") ==
        "-chardev socket,id=b: unix:" + f.dir / "file" + ": the file exists and is not a socket");
}

TEST_CASE("wrong socket options are named", "[chardev][socket]") {
  Fixture f;
  const auto error = [&](const std::string& text) {
    const std::string message = chardev_error(f.loop(), "socket,id=a," + text);
    const std::string prefix = "-chardev socket,id=a: ";
    REQUIRE(message.starts_with(prefix));
    return message.substr(prefix.size());
  };
  CHECK(error("host=localhost,port=http") == "port=http: it must be a number up to 65535");
  CHECK(error("host=localhost,port=65536") == "port=65536: it must be a number up to 65535");
  CHECK(error("host=localhost") == "port= is missing");
  CHECK(error("server=on") == "one of path=, host= with port=, and fd= says what to connect");
  CHECK(error("path=/x,host=y,port=1") ==
        "one of path=, host= with port=, and fd= says what to connect");
  CHECK(error("path=/nonexistent/s") ==
        "cannot connect to unix:/nonexistent/s: No such file or directory");
  CHECK(error("path=/x,wait=on") == "wait is for server=on");
  CHECK(error("path=/x,server=on,reconnect=1") == "reconnect is for server=off");
  CHECK(error("fd=one") == "fd=one: it must be a number");
  CHECK(error("fd=987654") == "fd=987654: Bad file descriptor");
  CHECK(error("fd=2") == "fd=2: it must be a socket");
  CHECK(error("path=/x,bogus=1").starts_with("there is no key 'bogus' (there are: path,"));
  CHECK(error("path=" + std::string(200, 'x')).ends_with("a socket's path has at most 107 bytes"));
}
