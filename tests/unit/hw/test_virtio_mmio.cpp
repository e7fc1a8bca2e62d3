#include <catch2/catch.hpp>

#include <deque>

#include "hw/virtio/virtio_device.h"
#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kQueue0 = VirtioRig::kRam + 0x10000;
constexpr uint64_t kQueue1 = VirtioRig::kRam + 0x20000;
constexpr uint64_t kData = VirtioRig::kRam + 0x100000;

// Takes chains and keeps them until the test lets them go; then writes one byte to each.
class SlowDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kFeature = 1 << 5;

  SlowDevice(GuestMemory& memory, EventLoop& loop)
      : VirtioDevice({.device_id = 42,
                      .features = kVirtioVersion1 | kVirtioRingEventIdx | kFeature,
                      .queue_count = 2,
                      .queue_size = 64},
                     memory, loop) {}
  std::string_view type_name() const override { return "slow"; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override {
    for (size_t i = 0; i < to.size(); ++i) to[i] = config[(offset + i) % sizeof config];
  }
  void write_config(uint32_t offset, std::span<const uint8_t> from) override {
    for (size_t i = 0; i < from.size(); ++i) config[(offset + i) % sizeof config] = from[i];
  }
  void reset_config() override { std::memset(config, 7, sizeof config); }

  // Any thread.
  void complete_all() {
    loop().run_on_loop([this] {
      while (!taken_.empty()) {
        const auto [index, chain] = taken_.front();
        taken_.pop_front();
        if (live()) {
          const uint8_t mark = 0xab;
          copy_to_guest(chain.writable[0].iov_base, &mark, 1);
          queue(index).push(chain.head, 1);
        }
        publish(index);
        end_request();
      }
    });
  }
  size_t taken() {
    size_t count = 0;
    loop().run_on_loop([&] { count = taken_.size(); });
    return count;
  }
  std::atomic<uint64_t> features_seen{0};
  std::atomic<int> stops{0};
  uint8_t config[256] = {};

 protected:
  bool handle_queue(unsigned index) override {
    DescriptorChain chain;
    while (queue(index).pop(chain)) {
      begin_request();
      taken_.emplace_back(index, chain);
    }
    return true;
  }
  void on_start(uint64_t features) override { features_seen = features; }
  void on_stop() override { ++stops; }

 private:
  std::deque<std::pair<unsigned, DescriptorChain>> taken_;
};

struct SlowRig : VirtioRig {
  SlowDevice* device;
  GuestQueue q0{*memory, kQueue0, 8};
  GuestQueue q1{*memory, kQueue1, 16};

  SlowRig() {
    auto made = std::make_unique<SlowDevice>(*memory, thread->loop());
    device = made.get();
    plug(std::move(made));
    for (uint16_t i = 0; i < 8; ++i) {
      q0.set_desc(i, kData + i, 1, GuestQueue::kWrite);
      q1.set_desc(i, kData + 64 + i, 1, GuestQueue::kWrite);
    }
  }
  ~SlowRig() {
    complete_while([this] { write(kStatus, 0); });
  }
  // Runs `harts` on threads of their own, and lets the device complete what it takes meanwhile.
  template <class... Hart>
  void complete_while(Hart... hart) {
    std::atomic<size_t> running{sizeof...(hart)};
    std::thread threads[] = {std::thread([&running, hart] {
      hart();
      --running;
    })...};
    while (running) device->complete_all();
    for (std::thread& thread : threads) thread.join();
  }
  void submit(GuestQueue& queue, uint16_t head, uint32_t index) {
    queue.submit(head);
    kick(index);
  }
};

}  // namespace

TEST_CASE("An empty slot reads as a virtio-mmio without a device") {
  VirtioRig rig;
  rig.enter_map();
  CHECK(rig.read(VirtioRig::kMagic) == 0x74726976);
  CHECK(rig.read(VirtioRig::kVersion) == 2);
  CHECK(rig.read(VirtioRig::kDeviceId) == 0);
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  rig.write(VirtioRig::kStatus, 15);
  rig.write(VirtioRig::kQueueNotify, 0);
  rig.write(VirtioRig::kConfig, 1, 1);
  CHECK(rig.read(VirtioRig::kConfig, 1) == 0);
}

TEST_CASE("Identity, features and limits are shown") {
  SlowRig rig;
  CHECK(rig.read(VirtioRig::kMagic) == 0x74726976);
  CHECK(rig.read(VirtioRig::kVersion) == 2);
  CHECK(rig.read(VirtioRig::kDeviceId) == 42);
  CHECK(rig.read(VirtioRig::kVendor) == 0x554d4551);
  CHECK(rig.device_features() == ((1ull << 32) | (1 << 29) | (1 << 5)));
  rig.write(VirtioRig::kDeviceFeaturesSel, 2);
  CHECK(rig.read(VirtioRig::kDeviceFeatures) == 0);
  rig.write(VirtioRig::kQueueSel, 1);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 64);
  rig.write(VirtioRig::kQueueSel, 2);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 0);
  CHECK(rig.read(VirtioRig::kQueueReady) == 0);
  // Section 4.2.2: no shared memory region has a length of all ones.
  CHECK(rig.read(0xb0) == 0xffffffff);
  CHECK(rig.read(0xb4) == 0xffffffff);
}

TEST_CASE("FEATURES_OK is refused without VERSION_1 and for features never offered") {
  SlowRig rig;
  for (const uint64_t features : {uint64_t{0}, VirtioRig::kVersion1 | 2, uint64_t{1} << 5}) {
    rig.write(VirtioRig::kStatus, 0);
    rig.write(VirtioRig::kStatus, 3);
    rig.write_features(features);
    rig.write(VirtioRig::kStatus, 11);
    CHECK(rig.read(VirtioRig::kStatus) == 3);
    rig.write(VirtioRig::kStatus, 15);
    CHECK(rig.read(VirtioRig::kStatus) == 3);
  }
  rig.write(VirtioRig::kStatus, 0);
  rig.write(VirtioRig::kStatus, 3);
  rig.write_features(VirtioRig::kVersion1 | SlowDevice::kFeature);
  rig.write(VirtioRig::kStatus, 11);
  CHECK(rig.read(VirtioRig::kStatus) == 11);
  rig.write_features(VirtioRig::kVersion1);  // too late
  rig.write(VirtioRig::kStatus, 15);
  rig.wait([&] { return rig.device->features_seen != 0; });
  CHECK(rig.device->features_seen == (VirtioRig::kVersion1 | SlowDevice::kFeature));
}

TEST_CASE("A ready queue is frozen, and sizes are checked") {
  SlowRig rig;
  rig.write(VirtioRig::kStatus, 3);
  rig.write_features(VirtioRig::kVersion1);
  rig.write(VirtioRig::kStatus, 11);
  rig.set_up_queue(0, rig.q0.setup());
  CHECK(rig.read(VirtioRig::kQueueReady) == 1);
  rig.write(VirtioRig::kQueueNum, 0);
  rig.write(VirtioRig::kQueueNum, 7);
  rig.write(VirtioRig::kQueueNum, 128);
  rig.write(VirtioRig::kQueueNum, 64);
  rig.write_address(VirtioRig::kQueueDesc, 0);
  rig.write(VirtioRig::kStatus, 15);
  rig.write(VirtioRig::kQueueNum, 2);
  rig.write_address(VirtioRig::kQueueDevice, 0);
  rig.submit(rig.q0, 7, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  rig.device->complete_all();
  CHECK(rig.q0.used_idx() == 1);
  CHECK(rig.read(VirtioRig::kStatus) == 15);
}

TEST_CASE("A bad size or ring makes the device need a reset, and a reset heals it") {
  SlowRig rig;
  auto setup = rig.q0.setup();
  SECTION("size of 0") {
    setup.size = 0;
  }
  SECTION("size that is no power of two: the write is not taken") {
    setup.size = 12;
  }
  SECTION("ring outside RAM") {
    setup.device = 0x1000'1000;
  }
  SECTION("ring at the end of the address space") {
    setup.desc = 0xffff'ffff'ffff'ff80;
  }
  SECTION("misaligned ring") {
    setup.driver += 1;
  }
  rig.write(VirtioRig::kStatus, 3);
  rig.write_features(VirtioRig::kVersion1);
  rig.write(VirtioRig::kStatus, 11);
  rig.set_up_queue(0, setup);
  rig.write(VirtioRig::kStatus, 15);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.wait([&] { return rig.line.level.load(); });
  CHECK(rig.read(VirtioRig::kInterruptStatus) == 2);
  rig.start({&rig.q0, &rig.q1});
  CHECK_FALSE(rig.line.level);
  rig.submit(rig.q0, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
}

TEST_CASE("A chain goes round: kick, used entry, interrupt, acknowledge") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.submit(rig.q1, 3, 1);
  rig.wait([&] { return rig.device->taken() == 1; });
  CHECK(rig.q1.used_idx() == 0);
  CHECK_FALSE(rig.line.level);
  rig.device->complete_all();
  CHECK(rig.q1.used_idx() == 1);
  CHECK(rig.q1.used_entry(0).id == 3);
  CHECK(rig.q1.get<uint8_t>(kData + 64 + 3) == 0xab);
  CHECK(rig.line.level);
  CHECK(rig.read(VirtioRig::kInterruptStatus) == 1);
  rig.write(VirtioRig::kInterruptAck, 2);
  CHECK(rig.line.level);
  rig.write(VirtioRig::kInterruptAck, 1);
  CHECK_FALSE(rig.line.level);
  CHECK(rig.read(VirtioRig::kInterruptStatus) == 0);
}

TEST_CASE("Buffers made available before DRIVER_OK are taken without a kick") {
  SlowRig rig;
  rig.write(VirtioRig::kStatus, 3);
  rig.write_features(VirtioRig::kVersion1);
  rig.write(VirtioRig::kStatus, 11);
  rig.set_up_queue(0, rig.q0.setup());
  rig.q0.submit(1);
  rig.kick(0);
  rig.settle();
  CHECK(rig.device->taken() == 0);
  rig.write(VirtioRig::kStatus, 15);
  rig.wait([&] { return rig.device->taken() == 1; });
}

TEST_CASE("A reset in mid-request completes into nothing and returns when the device is still") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.submit(rig.q0, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  std::atomic<bool> returned{false};
  std::thread hart([&] {
    rig.write(VirtioRig::kStatus, 0);
    returned = true;
  });
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == kVirtioNeedsReset; });
  rig.settle();
  CHECK_FALSE(returned);
  CHECK(rig.read(VirtioRig::kInterruptStatus) == 0);
  rig.device->complete_all();
  hart.join();
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  CHECK(rig.device->stops == 1);
  CHECK(rig.q0.used_idx() == 0);
  CHECK(rig.q0.get<uint8_t>(kData) == 0);
  CHECK(rig.line.rises == 0);

  // As Linux over MMIO: a new life begins at once, each bit by read-modify-write.
  GuestQueue fresh(*rig.memory, VirtioRig::kRam + 0x30000, 8);
  fresh.set_desc(0, kData + 32, 1, GuestQueue::kWrite);
  for (uint32_t bit : {1u, 2u}) rig.write(VirtioRig::kStatus, rig.read(VirtioRig::kStatus) | bit);
  rig.write_features(VirtioRig::kVersion1);
  rig.write(VirtioRig::kStatus, rig.read(VirtioRig::kStatus) | 8);
  rig.set_up_queue(0, fresh.setup());
  rig.write(VirtioRig::kStatus, rig.read(VirtioRig::kStatus) | 4);
  rig.submit(fresh, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  CHECK(rig.read(VirtioRig::kStatus) == 15);
  rig.device->complete_all();
  CHECK(fresh.used_idx() == 1);
  CHECK(rig.q0.used_idx() == 0);
  CHECK(rig.line.rises == 1);
}

TEST_CASE("A broken chain needs a reset and raises the configuration interrupt") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.q0.set_desc(2, 0xdead'0000, 16, GuestQueue::kWrite);
  rig.submit(rig.q0, 2, 0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.wait([&] { return rig.read(VirtioRig::kInterruptStatus) == 2; });
  // Nothing is taken until the reset, from the sound queue either.
  rig.submit(rig.q1, 0, 1);
  rig.settle();
  CHECK(rig.device->taken() == 0);
  rig.start({&rig.q0, &rig.q1});
  CHECK(rig.read(VirtioRig::kStatus) == 15);
}

TEST_CASE("A queue that is made unready is left when its requests are done") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.submit(rig.q0, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  rig.write(VirtioRig::kQueueSel, 0);
  rig.write(VirtioRig::kQueueReady, 0);
  CHECK(rig.read(VirtioRig::kQueueReady) == 1);
  rig.settle();
  rig.device->complete_all();
  rig.wait([&] { return rig.read(VirtioRig::kQueueReady) == 0; });
  CHECK(rig.q0.used_idx() == 1);
  rig.submit(rig.q0, 1, 0);
  rig.submit(rig.q1, 1, 1);
  rig.wait([&] { return rig.device->taken() == 1; });
  rig.device->complete_all();
  CHECK(rig.q1.used_idx() == 1);
  CHECK(rig.q0.used_idx() == 1);
}

TEST_CASE("quiesce() waits for requests and resume() takes what came meanwhile") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.submit(rig.q0, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  std::atomic<bool> quiet = false;
  std::thread main([&] {
    rig.slot.quiesce();
    quiet = true;
  });
  rig.settle();
  CHECK_FALSE(quiet);
  rig.device->complete_all();
  main.join();
  CHECK(rig.q0.used_idx() == 1);
  rig.submit(rig.q0, 1, 0);
  rig.settle();
  CHECK(rig.device->taken() == 0);
  rig.slot.resume();
  rig.wait([&] { return rig.device->taken() == 1; });
}

TEST_CASE("Machine reset while paused forgets the driver") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.settle();
  rig.slot.quiesce();
  rig.write(VirtioRig::kConfig, 99, 1);
  rig.slot.reset();
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  CHECK(rig.read(VirtioRig::kQueueReady) == 0);
  CHECK(rig.read(VirtioRig::kConfig, 1) == 7);
  rig.submit(rig.q0, 0, 0);
  rig.slot.resume();
  rig.settle();
  CHECK(rig.device->taken() == 0);
  CHECK(rig.device->stops == 1);
}

TEST_CASE("Config space takes every width, registers take 32 bits") {
  SlowRig rig;
  rig.write(VirtioRig::kConfig, 0x11223344);
  rig.write(VirtioRig::kConfig + 4, 0x5566, 2);
  rig.write(VirtioRig::kConfig + 6, 0x77, 1);
  CHECK(rig.read(VirtioRig::kConfig + 1, 1) == 0x33);
  CHECK(rig.read(VirtioRig::kConfig + 2, 2) == 0x1122);
  CHECK(rig.read(VirtioRig::kConfig + 4) == 0x00775566);
  CHECK(rig.read(VirtioRig::kDeviceId, 1) == 0);
  rig.write(VirtioRig::kStatus, 1, 1);
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  uint64_t value = 0;
  CHECK_FALSE(rig.map.read(VirtioRig::kBase + VirtioRig::kConfig, 8, value));
}

TEST_CASE("Doorbells of queues that do not exist are ignored") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  rig.kick(2);
  rig.kick(0xffffffff);
  rig.settle();
  CHECK(rig.read(VirtioRig::kStatus) == 15);
}

TEST_CASE("Interrupts and acknowledgements that race never lose one") {
  SlowRig rig;
  rig.start({&rig.q0, &rig.q1});
  for (unsigned i = 0; i < 2000; ++i) {
    rig.submit(rig.q0, i % 8, 0);
    rig.wait([&] { return rig.device->taken() == 1; });
    std::thread ack([&] { rig.write(VirtioRig::kInterruptAck, 1); });
    rig.device->complete_all();
    ack.join();
    // Either the acknowledge came first, and the line is up; or it came last, and the entry was
    // already visible when it did.
    if (rig.line.level != (rig.read(VirtioRig::kInterruptStatus) != 0)) FAIL(i);
    if (rig.q0.used_idx() != static_cast<uint16_t>(i + 1)) FAIL(i);
    rig.write(VirtioRig::kInterruptAck, 1);
  }
}

TEST_CASE("Resets hammered from two harts leave a working device") {
  SlowRig rig;
  auto hammer = [&] {
    for (unsigned i = 0; i < 300; ++i) {
      rig.write(VirtioRig::kStatus, 0);
      rig.write(VirtioRig::kStatus, 3);
      rig.write_features(VirtioRig::kVersion1);
      rig.write(VirtioRig::kStatus, 11);
      rig.set_up_queue(0, rig.q0.setup());
      rig.write(VirtioRig::kStatus, 15);
      rig.kick(0);
    }
  };
  rig.complete_while(hammer, hammer);
  GuestQueue fresh(*rig.memory, VirtioRig::kRam + 0x30000, 8);
  fresh.set_desc(0, kData, 1, GuestQueue::kWrite);
  rig.start({&fresh});
  rig.submit(fresh, 0, 0);
  rig.wait([&] { return rig.device->taken() == 1; });
  rig.device->complete_all();
  CHECK(fresh.used_idx() == 1);
}
