// virtio-serial over real sockets, files and terminals; messages as virtio 1.2, section 5.3.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "io/unique_fd.h"
#include "main-loop/chardev.h"
#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kQueues = VirtioRig::kRam + 0x10000;
constexpr uint64_t kData = VirtioRig::kRam + 0x400000;
constexpr uint64_t kSize = 1, kMultiport = 2, kEmergencyWrite = 4;

// What the driver is told: id, event, value, and what follows.
struct Message {
  uint32_t id;
  uint16_t event, value;
  std::string more;
  bool operator==(const Message&) const = default;
};

struct SerialRig : VirtioRig {
  // Queues 0 to 5: port 0, control, port 1.
  std::vector<std::unique_ptr<GuestQueue>> queues;
  std::vector<uint16_t> next;
  std::vector<uint16_t> seen;
  bool plugged = false;

  SerialRig() {
    for (unsigned i = 0; i < 6; ++i)
      queues.push_back(std::make_unique<GuestQueue>(*memory, kQueues + i * 0x10000, 128));
    next.resize(6);
    seen.resize(6);
  }
  ~SerialRig() {
    if (plugged) write(kStatus, 0);
  }

  void add_chardev(const std::string& id, const std::string& options) {
    auto values = *KeyValues::parse("-chardev", options, "backend");
    auto backend = create_chardev(thread->loop(), values, {});
    INFO((backend ? std::string() : backend.error().message));
    REQUIRE(backend);
    backends.chardevs[id] = std::move(*backend);
  }
  // A connected socket; returns our end.
  UniqueFd add_socket(const std::string& id) {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    add_chardev(id, "socket,fd=" + std::to_string(fds[1]));
    return UniqueFd(fds[0]);
  }
  void plug_all(const std::vector<std::string>& devices) {
    for (const std::string& device : devices) {
      auto created = create(device);
      INFO((created ? std::string() : created.error().message));
      REQUIRE(created);
    }
    enter_map();
    plugged = true;
  }
  void go(uint64_t features = kVersion1 | kMultiport) {
    std::vector<GuestQueue*> list;
    for (auto& queue : queues) list.push_back(queue.get());
    if (!(features & kMultiport)) list.resize(2);
    std::ranges::fill(next, 0);
    std::ranges::fill(seen, 0);
    start(list, features);
  }
  static uint64_t place(unsigned queue, uint16_t slot) {
    return kData + queue * 0x80000 + slot * 0x1000u;
  }
  // One buffer for the device to fill, or one with `text`.
  void give(unsigned queue, uint32_t length) {
    const uint16_t at = next[queue]++ % 128;
    queues[queue]->set_desc(at, place(queue, at), length, GuestQueue::kWrite);
    queues[queue]->submit(at);
    kick(queue);
  }
  void say(unsigned queue, std::string_view text) {
    const uint16_t at = next[queue]++ % 128;
    REQUIRE(memory->write(place(queue, at), text.data(), text.size()));
    queues[queue]->set_desc(at, place(queue, at), static_cast<uint32_t>(text.size()));
    queues[queue]->submit(at);
    kick(queue);
  }
  void tell(uint32_t id, uint16_t event, uint16_t value) {
    std::string text(8, 0);
    memcpy(text.data(), &id, 4);
    memcpy(text.data() + 4, &event, 2);
    memcpy(text.data() + 6, &value, 2);
    say(3, text);
  }
  // The next thing the device has put into a queue, waiting for it.
  std::string hear(unsigned queue) {
    wait([&] { return queues[queue]->used_idx() != seen[queue]; });
    const auto used = queues[queue]->used_entry(seen[queue]++);
    std::string text(used.length, 0);
    REQUIRE(memory->read(place(queue, static_cast<uint16_t>(used.id)), text.data(), text.size()));
    return text;
  }
  Message hear_message() {
    const std::string text = hear(2);
    REQUIRE(text.size() >= 8);
    Message message{};
    memcpy(&message.id, text.data(), 4);
    memcpy(&message.event, text.data() + 4, 2);
    memcpy(&message.value, text.data() + 6, 2);
    message.more = text.substr(8);
    return message;
  }
  void wait_used(unsigned queue, uint16_t idx) {
    wait([&] { return queues[queue]->used_idx() == idx; });
  }
};

std::string read_n(int fd, size_t size) {
  std::string text(size, 0);
  size_t at = 0;
  while (at < size) {
    const ssize_t got = ::read(fd, text.data() + at, size - at);
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

void put(int fd, std::string_view text) {
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

}  // namespace

TEST_CASE("virtio-serial offers features and a configuration space") {
  SerialRig rig;
  rig.plug_all({"virtio-serial-device,max_ports=7"});
  CHECK(rig.read(VirtioRig::kDeviceId) == 3);
  CHECK((rig.device_features() & 7) == (kSize | kMultiport | kEmergencyWrite));
  CHECK(rig.read(VirtioRig::kConfig + 4) == 7);
  rig.write(VirtioRig::kQueueSel, 15);
  CHECK(rig.read(VirtioRig::kQueueNumMax) > 0);
  rig.write(VirtioRig::kQueueSel, 16);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 0);
}

TEST_CASE("A console without control queues moves bytes both ways") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("c");
  rig.plug_all({"virtio-serial-device,max_ports=1,emergency-write=off", "virtconsole,chardev=c"});
  CHECK((rig.device_features() & 7) == kSize);
  put(peer.get(), "before the driver");
  rig.go(VirtioRig::kVersion1);
  rig.give(0, 6);
  rig.give(0, 100);
  CHECK(rig.hear(0) == "before");
  CHECK(rig.hear(0) == " the driver");
  rig.say(1, "hello");
  CHECK(read_n(peer.get(), 5) == "hello");
  rig.wait_used(1, 1);
}

TEST_CASE("The driver learns of ports, their names and their peers in order") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("p");
  rig.plug_all({"virtio-serial-device", "virtconsole", "virtserialport,chardev=p,name=org.x.y"});
  rig.go();
  rig.tell(0, 0, 1);  // DEVICE_READY; no buffers yet: nothing is lost
  for (int i = 0; i < 8; ++i) rig.give(2, 64);
  CHECK(rig.hear_message() == Message{0, 1, 1, ""});
  CHECK(rig.hear_message() == Message{1, 1, 1, ""});
  rig.tell(1, 3, 1);  // PORT_READY
  CHECK(rig.hear_message() == Message{1, 7, 1, std::string("org.x.y\0", 8)});
  CHECK(rig.hear_message() == Message{1, 6, 1, ""});
  rig.tell(0, 3, 1);
  CHECK(rig.hear_message() == Message{0, 4, 1, ""});

  // Each message came back as what it was, though answers went meanwhile.
  rig.wait_used(3, 3);
  for (uint16_t i = 0; i < 3; ++i) CHECK(rig.queues[3]->used_entry(i).id == i);

  // Before the guest has opened the port, the host waits.
  put(peer.get(), "early");
  rig.give(4, 32);
  rig.settle();
  CHECK(rig.queues[4]->used_idx() == 0);
  rig.tell(1, 6, 1);
  CHECK(rig.hear(4) == "early");
  rig.say(5, "answer");
  CHECK(read_n(peer.get(), 6) == "answer");
}

TEST_CASE("What a peer sent comes before the word that it is gone") {
  SerialRig rig;
  UniqueFd peer = rig.add_socket("p");
  rig.plug_all({"virtio-serial-device", "virtserialport,chardev=p"});
  rig.go();
  for (int i = 0; i < 8; ++i) rig.give(2, 64);
  rig.tell(1, 3, 1);
  CHECK(rig.hear_message() == Message{1, 6, 1, ""});
  rig.tell(1, 6, 1);
  put(peer.get(), "last words");
  peer.reset();
  rig.settle();
  CHECK(rig.queues[2]->used_idx() == 1);
  rig.give(4, 64);
  CHECK(rig.hear(4) == "last words");
  CHECK(rig.hear_message() == Message{1, 6, 0, ""});
  // Nobody is there: what the guest writes is dropped, its chains come back.
  rig.say(5, "to nobody");
  rig.wait_used(5, 1);
}

TEST_CASE("Chains stay in the ring while the peer is slow, and nothing is lost") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("p");
  const UniqueFd other = rig.add_socket("c");
  rig.plug_all({"virtio-serial-device", "virtconsole,chardev=c", "virtserialport,chardev=p"});
  rig.go();
  rig.give(2, 64);
  rig.tell(1, 3, 1);
  rig.hear_message();
  std::string sent;
  // More than a socket holds.
  for (int i = 0; i < 120; ++i) {
    const std::string block(4096, static_cast<char>('a' + i % 26));
    sent += block;
    rig.say(5, block);
  }
  rig.settle();
  CHECK(rig.queues[5]->used_idx() < 120);
  // The console goes on meanwhile.
  rig.say(1, "still here");
  CHECK(read_n(other.get(), 10) == "still here");
  CHECK(read_n(peer.get(), sent.size()) == sent);
  rig.wait_used(5, 120);
}

TEST_CASE("A reset forgets chains that wait for a peer, and the device works again") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("p");
  rig.plug_all({"virtio-serial-device", "virtserialport,chardev=p"});
  rig.go();
  rig.give(2, 64);
  rig.tell(1, 3, 1);
  rig.hear_message();
  for (int i = 0; i < 120; ++i) rig.say(5, std::string(4096, 'x'));
  rig.settle();
  const uint16_t before = rig.queues[5]->used_idx();
  REQUIRE(before < 120);
  rig.write(VirtioRig::kStatus, 0);
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  fcntl(peer.get(), F_SETFL, O_NONBLOCK);
  for (;;) {
    pollfd ready{peer.get(), POLLIN, 0};
    if (poll(&ready, 1, 100) <= 0) break;
    char buffer[65536];
    if (::read(peer.get(), buffer, sizeof buffer) <= 0) break;
  }
  CHECK(rig.queues[5]->used_idx() == before);
  rig.go();
  rig.give(2, 64);
  rig.tell(1, 3, 1);
  CHECK(rig.hear_message() == Message{1, 6, 1, ""});
  rig.say(5, "again");
  rig.wait_used(5, 1);
  fcntl(peer.get(), F_SETFL, 0);
  CHECK(read_n(peer.get(), 5) == "again");
}

TEST_CASE("A console whose peer reads nothing loses output, but does not hold the guest") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("c");
  rig.plug_all({"virtio-serial-device,max_ports=1", "virtconsole,chardev=c"});
  rig.go(VirtioRig::kVersion1);
  for (int i = 0; i < 120; ++i) rig.say(1, std::string(4096, 'x'));
  rig.wait_used(1, 120);
  // A peer that reads again gets what comes then.
  std::string got;
  fcntl(peer.get(), F_SETFL, O_NONBLOCK);
  rig.wait([&] {
    char buffer[65536];
    const ssize_t size = ::read(peer.get(), buffer, sizeof buffer);
    if (size > 0) got.append(buffer, static_cast<size_t>(size));
    if (size < 0 && got.find('y') == std::string::npos) rig.say(1, "y");
    return got.find('y') != std::string::npos;
  });
}

TEST_CASE("Broken control messages get no answer and break nothing") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("p");
  rig.plug_all({"virtio-serial-device", "virtserialport,chardev=p"});
  rig.go();
  rig.say(3, "short");
  rig.tell(9, 3, 1);           // no such port
  rig.tell(0xffffffff, 6, 1);  // no such port
  rig.tell(1, 77, 1);          // no such event
  rig.tell(1, 3, 0);           // the driver has failed
  rig.tell(0, 0, 0);
  rig.say(3, std::string(4096, '\xff'));
  rig.queues[3]->set_desc(rig.next[3], SerialRig::place(3, 0), 64, GuestQueue::kWrite);
  rig.queues[3]->submit(rig.next[3]++);  // the wrong direction
  rig.kick(3);
  rig.wait_used(3, 8);
  rig.settle();
  CHECK(rig.read(VirtioRig::kStatus) == 15);
  // Without buffers, any number of messages makes us keep one of a kind.
  for (int i = 0; i < 60; ++i) {
    rig.tell(0, 0, 1);
    rig.tell(1, 3, 1);
  }
  rig.wait_used(3, 128);
  for (int i = 0; i < 10; ++i) rig.give(2, 64);
  CHECK(rig.hear_message() == Message{1, 1, 1, ""});
  CHECK(rig.hear_message() == Message{1, 6, 1, ""});
  rig.settle();
  CHECK(rig.queues[2]->used_idx() == 2);
}

TEST_CASE("Chains of the wrong direction come back, bad descriptors need a reset") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("c");
  rig.plug_all({"virtio-serial-device", "virtconsole,chardev=c"});
  rig.go();
  rig.queues[0]->set_desc(0, kData, 16);  // the device may not write here
  rig.queues[0]->submit(0);
  rig.kick(0);
  rig.wait_used(0, 1);
  rig.queues[1]->set_desc(0, kData, 16, GuestQueue::kWrite);
  rig.queues[1]->submit(0);
  rig.kick(1);
  rig.wait_used(1, 1);
  CHECK(rig.read(VirtioRig::kStatus) == 15);
  rig.queues[1]->set_desc(1, 0x1000, 16);
  rig.queues[1]->submit(1);
  rig.kick(1);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.go();
  rig.say(1, "alive");
  CHECK(read_n(peer.get(), 5) == "alive");
}

TEST_CASE("An emergency write reaches the console without a driver") {
  SerialRig rig;
  const UniqueFd peer = rig.add_socket("c");
  rig.plug_all({"virtio-serial-device", "virtserialport", "virtconsole,chardev=c"});
  for (char c : std::string("panic")) rig.write(VirtioRig::kConfig + 8, static_cast<uint8_t>(c));
  CHECK(read_n(peer.get(), 5) == "panic");
  CHECK(rig.read(VirtioRig::kConfig + 8) == 0);
}

TEST_CASE("A console's driver is told of the terminal's size") {
  SerialRig rig;
  std::fflush(stdout);
  int fds[2];
  REQUIRE(pipe(fds) == 0);
  const UniqueFd reader(fds[0]);
  UniqueFd real_stdout(dup(1));
  dup2(fds[1], 1);
  close(fds[1]);
  rig.add_chardev("c", "pty,id=c");
  dup2(real_stdout.get(), 1);
  const std::string line = read_n(reader.get(), 1000);
  const size_t at = line.find("/dev/");
  const UniqueFd terminal(
      open(line.substr(at, line.find(' ', at) - at).c_str(), O_RDWR | O_NOCTTY));
  REQUIRE(terminal.valid());
  const auto resize = [&](unsigned short columns, unsigned short rows) {
    const winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(ioctl(terminal.get(), TIOCSWINSZ, &size) == 0);
  };
  SECTION("in a message") {
    rig.plug_all({"virtio-serial-device", "virtconsole,chardev=c"});
    resize(132, 43);
    rig.go();
    rig.wait([&] { return rig.read(VirtioRig::kConfig) == (132u | 43u << 16); });
    for (int i = 0; i < 8; ++i) rig.give(2, 64);
    rig.tell(0, 3, 1);
    CHECK(rig.hear_message() == Message{0, 4, 1, ""});
    CHECK(rig.hear_message() == Message{0, 6, 1, ""});
    CHECK(rig.hear_message() == Message{0, 5, 0, std::string("\x84\0\x2b\0", 4)});
    resize(80, 24);
    CHECK(rig.hear_message() == Message{0, 5, 0, std::string("\x50\0\x18\0", 4)});
  }
  SECTION("in the configuration space") {
    rig.plug_all({"virtio-serial-device,max_ports=1", "virtconsole,chardev=c"});
    rig.go(VirtioRig::kVersion1 | kSize);
    rig.settle();
    const uint32_t generation = rig.read(VirtioRig::kConfigGeneration);
    resize(100, 50);
    rig.wait([&] { return rig.read(VirtioRig::kConfig) == (100u | 50u << 16); });
    rig.wait([&] { return rig.read(VirtioRig::kConfigGeneration) != generation; });
    rig.wait([&] { return rig.read(VirtioRig::kInterruptStatus) & 2; });
  }
}

TEST_CASE("Ports write to a file and to a ring buffer") {
  SerialRig rig;
  char path[] = "/tmp/hv-serial-XXXXXX";
  const UniqueFd file(mkstemp(path));
  rig.add_chardev("f", std::string("file,path=") + path);
  rig.add_chardev("r", "ringbuf,size=8");
  rig.add_chardev("n", "null");
  rig.plug_all({"virtio-serial-device", "virtconsole,chardev=f", "virtserialport,chardev=r"});
  rig.go();
  rig.say(1, "to the file");
  rig.wait_used(1, 1);
  char text[16] = {};
  CHECK(pread(file.get(), text, sizeof text, 0) == 11);
  CHECK(std::string(text) == "to the file");
  rig.say(5, "0123456789");
  rig.say(5, "ab");
  rig.wait_used(5, 2);
  const auto kept = ringbuf_read(*rig.backends.chardevs["r"], 100);
  REQUIRE(kept);
  CHECK(std::string(kept->begin(), kept->end()) == "456789ab");
  unlink(path);
}
