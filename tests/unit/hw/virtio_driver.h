// A small guest driver for a device behind virtio-mmio, for tests: registers as a hart writes them.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fakes.h"
#include "guest_queue.h"
#include "hw/device_registry.h"
#include "hw/virtio/transport_mmio.h"
#include "io/mmio_map.h"
#include "main-loop/io_thread.h"

namespace hv {

// Remembers the level and how often it rose.
struct LineRecorder final : IrqSink {
  std::atomic<bool> level{false};
  std::atomic<unsigned> rises{0};
  void set_irq(unsigned, bool on) override {
    if (on && !level.exchange(true)) ++rises;
    if (!on) level = false;
  }
};

// Drives and loops by id.
struct TestBackends final : Backends {
  explicit TestBackends(EventLoop& loop) : loop(loop) {}
  Result<std::unique_ptr<Disk>> claim_drive(const std::string& id) override {
    auto found = drives.find(id);
    if (found == drives.end()) return fail("drive '{}' is unknown", id);
    auto disk = std::move(found->second);
    drives.erase(found);
    return disk;
  }
  Result<std::unique_ptr<LocalFs>> claim_fsdev(const std::string& id) override {
    auto found = file_systems.find(id);
    if (found == file_systems.end()) return fail("fsdev '{}' is unknown", id);
    auto fs = std::move(found->second);
    file_systems.erase(found);
    return fs;
  }
  Result<std::unique_ptr<NetEndpoint>> claim_netdev(const std::string& id) override {
    auto found = netdevs.find(id);
    if (found == netdevs.end()) return fail("netdev '{}' is unknown", id);
    auto endpoint = std::move(found->second);
    netdevs.erase(found);
    return endpoint;
  }
  Result<CharBackend*> claim_chardev(const std::string& id) override {
    auto found = chardevs.find(id);
    if (found == chardevs.end()) return fail("chardev={}: there is no such -chardev", id);
    return found->second.get();
  }
  Result<EventLoop*> io_loop(const std::string& id) override {
    const auto found = loops.find(id);
    return found == loops.end() ? &loop : found->second;
  }
  Result<std::string> rng_source(const std::string& id) override {
    if (id != "rng0") return fail("object '{}' is unknown", id);
    return rng_file;
  }
  EventLoop& loop;
  std::map<std::string, EventLoop*> loops;  // for ids other than the default
  std::map<std::string, std::unique_ptr<Disk>> drives;
  std::map<std::string, std::unique_ptr<LocalFs>> file_systems;
  std::map<std::string, std::unique_ptr<CharBackend>> chardevs;
  std::map<std::string, std::unique_ptr<NetEndpoint>> netdevs;
  std::string rng_file;
};

// RAM, one virtio-mmio slot at kBase and an IO thread. Registers go through the MMIO map, so that
// doorbells ring as on a board.
struct VirtioRig {
  static constexpr uint64_t kBase = 0x1000'1000;
  static constexpr uint64_t kRam = 0x8000'0000;
  static constexpr uint64_t kRamSize = 8 << 20;
  // Register offsets, virtio 1.2, section 4.2.2.
  enum Offset : uint64_t {
    kMagic = 0x00,
    kVersion = 0x04,
    kDeviceId = 0x08,
    kVendor = 0x0c,
    kDeviceFeatures = 0x10,
    kDeviceFeaturesSel = 0x14,
    kDriverFeatures = 0x20,
    kDriverFeaturesSel = 0x24,
    kQueueSel = 0x30,
    kQueueNumMax = 0x34,
    kQueueNum = 0x38,
    kQueueReady = 0x44,
    kQueueNotify = 0x50,
    kInterruptStatus = 0x60,
    kInterruptAck = 0x64,
    kStatus = 0x70,
    kQueueDesc = 0x80,
    kQueueDriver = 0x90,
    kQueueDevice = 0xa0,
    kConfigGeneration = 0xfc,
    kConfig = 0x100,
  };
  static constexpr uint64_t kVersion1 = 1ull << 32;

  std::unique_ptr<IoThread> thread;
  std::unique_ptr<GuestMemory> memory = *GuestMemory::create(kRam, kRamSize);
  LineRecorder line;
  TestBackends backends;
  test::FakeSystemControl control;
  VirtioMmioTransport slot{0, IrqLine(line, 1)};
  MmioMap map;

  explicit VirtioRig(WaitKind kind = WaitKind::kAuto)
      : thread(*IoThread::create("test-io", kind)), backends(thread->loop()) {}

  Result<CreatedDevice> create(const std::string& options) {
    VirtioMmioTransport* slots[] = {&slot};
    auto values = KeyValues::parse("-device", options, "driver");
    REQUIRE(values);
    return create_device({*memory, backends, slots, &control}, *values);
  }
  void enter_map() {
    REQUIRE(slot.map(map, kBase));
    map.freeze();
  }
  void plug(const std::string& options) {
    auto created = create(options);
    INFO((created ? std::string() : created.error().message));
    REQUIRE(created);
    enter_map();
  }
  void plug(std::unique_ptr<VirtioDevice> device) {
    slot.plug(std::move(device));
    enter_map();
  }

  uint32_t read(uint64_t offset, unsigned size = 4) {
    uint64_t value = 0;
    if (!map.read(kBase + offset, size, value)) std::abort();  // also on threads without Catch
    return static_cast<uint32_t>(value);
  }
  void write(uint64_t offset, uint64_t value, unsigned size = 4) {
    if (!map.write(kBase + offset, size, value)) std::abort();
  }
  uint64_t device_features() {
    write(kDeviceFeaturesSel, 1);
    const uint64_t high = read(kDeviceFeatures);
    write(kDeviceFeaturesSel, 0);
    return high << 32 | read(kDeviceFeatures);
  }
  void write_features(uint64_t features) {
    for (unsigned half : {0u, 1u}) {
      write(kDriverFeaturesSel, half);
      write(kDriverFeatures, static_cast<uint32_t>(features >> (32 * half)));
    }
  }
  void set_up_queue(uint32_t index, const VirtQueueSetup& setup) {
    write(kQueueSel, index);
    write(kQueueNum, setup.size);
    write_address(kQueueDesc, setup.desc);
    write_address(kQueueDriver, setup.driver);
    write_address(kQueueDevice, setup.device);
    write(kQueueReady, 1);
  }
  void write_address(uint64_t offset, uint64_t address) {
    write(offset, static_cast<uint32_t>(address));
    write(offset + 4, static_cast<uint32_t>(address >> 32));
  }
  // Section 3.1.1 up to DRIVER_OK.
  void start(const std::vector<GuestQueue*>& queues, uint64_t features = kVersion1) {
    write(kStatus, 0);
    wait([&] { return read(kStatus) == 0; });
    write(kStatus, 1);
    write(kStatus, 3);
    write_features(features);
    write(kStatus, 11);
    REQUIRE(read(kStatus) == 11);
    for (uint32_t i = 0; i < queues.size(); ++i) {
      queues[i]->clear_rings();
      set_up_queue(i, queues[i]->setup());
    }
    write(kStatus, 15);
  }
  void kick(uint32_t queue) { write(kQueueNotify, queue); }

  // Until `condition` holds; a test that waits for what never comes ends by its runner's timeout.
  template <class F>
  void wait(F condition) {
    while (!condition()) std::this_thread::yield();
  }
  // Everything posted and notified so far has been handled by the loop.
  void settle() {
    for (int i = 0; i < 3; ++i) thread->loop().run_on_loop([] {});
  }
};

}  // namespace hv
