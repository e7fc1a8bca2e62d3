#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kQueue = VirtioRig::kRam + 0x10000;
constexpr uint64_t kData = VirtioRig::kRam + 0x100000;
constexpr uint8_t kTversion = 100, kAttach = 104, kWalk = 110, kCreate = 14, kWrite = 118,
                  kRead = 116, kFsync = 50;

// Frames as 9P2000.L's description has them; buffers of chain N at kData + N * 64 KiB, the answer
// in their second half.
struct P9DeviceRig : VirtioRig {
  std::string directory = "/var/tmp/hartvisor-v9p-XXXXXX";
  GuestQueue queue{*memory, kQueue, 128};
  uint16_t sent = 0;

  P9DeviceRig() {
    REQUIRE(mkdtemp(directory.data()));
    FsOptions options;
    options.id = "fs0";
    options.path = directory;
    auto fs = LocalFs::create(options, std::make_shared<FdBudget>(100));
    REQUIRE(fs);
    backends.file_systems["fs0"] = std::move(*fs);
    plug("virtio-9p-device,fsdev=fs0,mount_tag=share");
  }
  ~P9DeviceRig() { std::filesystem::remove_all(directory); }

  static std::string number(uint64_t value, unsigned size) {
    return {reinterpret_cast<const char*>(&value), size};
  }
  static std::string text(const std::string& s) { return number(s.size(), 2) + s; }
  uint64_t at(uint16_t n) const { return kData + (n % 64u) * 0x10000u; }

  // Does not wait.
  uint16_t submit(uint8_t type, const std::string& body, uint32_t room = 0x8000) {
    const uint16_t n = sent++;
    std::string frame = number(7 + body.size(), 4) + number(type, 1) + number(n, 2) + body;
    REQUIRE(memory->write(at(n), frame.data(), frame.size()));
    const auto head = static_cast<uint16_t>(n % 64 * 2);
    queue.set_chain(
        head, {{at(n), static_cast<uint32_t>(frame.size()), false}, {at(n) + 0x8000, room, true}});
    queue.submit(head);
    kick(0);
    return n;
  }
  uint8_t send(uint8_t type, const std::string& body) {
    const uint16_t n = submit(type, body);
    wait([&] { return queue.used_idx() == sent; });
    return queue.get<uint8_t>(at(n) + 0x8000 + 4);
  }
  void begin() {
    sent = 0;
    start({&queue}, kVersion1);
    REQUIRE(send(kTversion, number(65536, 4) + text("9P2000.L")) == kTversion + 1);
    REQUIRE(send(kAttach, number(0, 4) + number(~0u, 4) + text("") + text("") + number(0, 4)) ==
            kAttach + 1);
    REQUIRE(send(kWalk, number(0, 4) + number(1, 4) + number(0, 2)) == kWalk + 1);
    REQUIRE(send(kCreate, number(1, 4) + text("f") + number(2, 4) + number(0644, 4) +
                              number(0, 4)) == kCreate + 1);
  }
};

}  // namespace

TEST_CASE("virtio-9p shows its tag and serves files") {
  P9DeviceRig rig;
  CHECK(rig.read(VirtioRig::kDeviceId) == 9);
  CHECK((rig.device_features() & 1) == 1);
  CHECK(rig.read(VirtioRig::kConfig, 2) == 5);
  std::string tag;
  for (uint64_t i = 0; i < 6; ++i)
    tag += static_cast<char>(rig.read(VirtioRig::kConfig + 2 + i, 1));
  CHECK(tag == std::string("share\0", 6));
  rig.begin();
  REQUIRE(rig.send(kWrite, rig.number(1, 4) + rig.number(0, 8) + rig.number(5, 4) + "hello") ==
          kWrite + 1);
  REQUIRE(rig.send(kRead, rig.number(1, 4) + rig.number(1, 8) + rig.number(100, 4)) == kRead + 1);
  CHECK(rig.queue.used_entry(static_cast<uint16_t>(rig.sent - 1)).length == 15);
  char data[5] = {};
  REQUIRE(rig.memory->read(rig.at(static_cast<uint16_t>(rig.sent - 1)) + 0x8000 + 11, data, 4));
  CHECK(std::string(data) == "ello");
  CHECK(rig.line.level);
}

TEST_CASE("virtio-9p needs a reset after a frame that cannot be answered") {
  P9DeviceRig rig;
  rig.start({&rig.queue});
  rig.queue.set_chain(0, {{kData, 6, false}, {kData + 0x1000, 100, true}});
  rig.queue.submit(0);
  rig.kick(0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.begin();
  rig.submit(kFsync, rig.number(1, 4) + rig.number(0, 4), 10);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.begin();
}

TEST_CASE("a reset of virtio-9p waits for requests under way and forgets the fids") {
  P9DeviceRig rig;
  for (int round = 0; round < 30; ++round) {
    std::filesystem::remove(rig.directory + "/f");
    rig.begin();
    for (int i = 0; i < 20; ++i) rig.submit(kFsync, rig.number(1, 4) + rig.number(0, 4));
    rig.write(VirtioRig::kStatus, 0);
    rig.wait([&] { return rig.read(VirtioRig::kStatus) == 0; });
    // Nothing is written to the driver's memory any more.
    const uint16_t used = rig.queue.used_idx();
    rig.settle();
    CHECK(rig.queue.used_idx() == used);
  }
}

TEST_CASE("-device virtio-9p-device is refused with a line that says why") {
  using Catch::Contains;
  VirtioRig rig;
  auto refused = [&](const std::string& options) {
    auto created = rig.create(options);
    return created ? std::string() : created.error().message;
  };
  CHECK_THAT(refused("virtio-9p-device,mount_tag=x"), Contains("fsdev="));
  CHECK_THAT(refused("virtio-9p-device,fsdev=nobody,mount_tag=x"), Contains("nobody"));
  CHECK_THAT(refused("virtio-9p-device,fsdev=fs0"), Contains("mount_tag"));
  CHECK_THAT(refused("virtio-9p,fsdev=fs0,mount_tag=" + std::string(32, 'x')),
             Contains("mount_tag"));
}
