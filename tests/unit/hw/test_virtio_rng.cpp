#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kQueue = VirtioRig::kRam + 0x10000;
constexpr uint64_t kData = VirtioRig::kRam + 0x100000;

struct RngRig : VirtioRig {
  GuestQueue queue{*memory, kQueue, 8};
  uint16_t submitted = 0;

  void submit(uint32_t length) {
    const auto at = static_cast<uint16_t>(submitted % 8);
    queue.set_desc(at, kData + at * 0x20000u, length, GuestQueue::kWrite);
    queue.submit(at);
    ++submitted;
    kick(0);
  }
  uint32_t length_of(uint16_t idx) { return queue.used_entry(idx).length; }
};

// A FIFO that yields bytes when the test says so.
struct Fifo {
  std::string path = "/var/tmp/hartvisor-test-fifo-" + std::to_string(getpid());
  int fd = -1;
  Fifo() {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
  }
  ~Fifo() {
    close(fd);
    unlink(path.c_str());
  }
};

}  // namespace

TEST_CASE("virtio-rng fills buffers with bytes that differ") {
  RngRig rig;
  rig.plug("virtio-rng-device");
  CHECK(rig.read(VirtioRig::kDeviceId) == 4);
  rig.start({&rig.queue});
  rig.submit(64);
  rig.submit(5000);
  rig.wait([&] { return rig.queue.used_idx() == 2; });
  CHECK(rig.length_of(0) == 64);
  CHECK(rig.length_of(1) == 5000);
  std::vector<uint8_t> bytes(5000);
  REQUIRE(rig.memory->read(kData + 0x20000, bytes.data(), bytes.size()));
  // 5000 random bytes miss a given value with a probability of 1e-8.
  for (unsigned value : {0u, 1u, 127u, 255u})
    CHECK(std::ranges::count(bytes, static_cast<uint8_t>(value)) > 0);
  CHECK(rig.line.level);
}

TEST_CASE("virtio-rng without a writable buffer needs a reset") {
  RngRig rig;
  rig.plug("virtio-rng-device");
  rig.start({&rig.queue});
  rig.queue.set_desc(0, kData, 16);
  rig.queue.submit(0);
  rig.kick(0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
}

TEST_CASE("virtio-rng keeps to max-bytes per period") {
  RngRig rig;
  rig.plug("virtio-rng-device,max-bytes=100,period=3600000");
  rig.start({&rig.queue});
  rig.submit(60);
  rig.submit(60);
  rig.submit(60);
  rig.wait([&] { return rig.queue.used_idx() == 2; });
  CHECK(rig.length_of(0) == 60);
  CHECK(rig.length_of(1) == 40);
  rig.settle();
  CHECK(rig.queue.used_idx() == 2);
  // A reset ends the period, too.
  GuestQueue fresh(*rig.memory, kQueue + 0x10000, 8);
  fresh.set_desc(0, kData, 10, GuestQueue::kWrite);
  rig.start({&fresh});
  fresh.submit(0);
  rig.kick(0);
  rig.wait([&] { return fresh.used_idx() == 1; });
}

TEST_CASE("virtio-rng goes on when the period is over") {
  RngRig rig;
  rig.plug("virtio-rng-device,max-bytes=16,period=1");
  rig.start({&rig.queue});
  for (int i = 0; i < 5; ++i) rig.submit(16);
  rig.wait([&] { return rig.queue.used_idx() == 5; });
  for (uint16_t i = 0; i < 5; ++i) CHECK(rig.length_of(i) == 16);
}

TEST_CASE("virtio-rng reads the file of its rng object, and waits while that has nothing") {
  Fifo fifo;
  RngRig rig;
  rig.backends.rng_file = fifo.path;
  rig.plug("virtio-rng-device,rng=rng0");
  rig.start({&rig.queue});
  rig.submit(8);
  rig.settle();
  CHECK(rig.queue.used_idx() == 0);
  REQUIRE(::write(fifo.fd, "entropy", 7) == 7);
  rig.wait([&] { return rig.queue.used_idx() == 1; });
  CHECK(rig.length_of(0) == 7);
  char bytes[8] = {};
  REQUIRE(rig.memory->read(kData, bytes, 7));
  CHECK(std::string(bytes) == "entropy");
  // A chain that waits does not hold up a reset.
  rig.submit(8);
  rig.settle();
  rig.write(VirtioRig::kStatus, 0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == 0; });
}

TEST_CASE("-device virtio-rng-device is refused with a line that says why") {
  using Catch::Contains;
  VirtioRig rig;
  auto refused = [&](const std::string& options) {
    auto created = rig.create(options);
    return created ? std::string() : created.error().message;
  };
  CHECK_THAT(refused("virtio-rng-device,rng=nobody"), Contains("nobody"));
  CHECK_THAT(refused("virtio-rng-device,warp=9"), Contains("warp"));
  CHECK_THAT(refused("virtio-rng-device,period=0"), Contains("period=0"));
  rig.backends.rng_file = "/nonexistent/random";
  CHECK_THAT(refused("virtio-rng-device,rng=rng0"), Contains("/nonexistent/random"));
}
