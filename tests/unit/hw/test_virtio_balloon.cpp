// virtio-balloon as virtio 1.2, section 5.5, has it; which pages the host holds is asked of
// mincore.
#include <sys/mman.h>

#include <catch2/catch.hpp>

#include "hw/balloon.h"
#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kQueues = VirtioRig::kRam + 0x10000;
constexpr uint64_t kLists = VirtioRig::kRam + 0x200000;
constexpr uint64_t kPages = VirtioRig::kRam + 0x400000;
constexpr uint64_t kStatsFeature = 2, kPoison = 1 << 4, kReporting = 1 << 5;

struct BalloonRig : VirtioRig {
  std::vector<std::unique_ptr<GuestQueue>> queues;
  BalloonRig() {
    for (unsigned i = 0; i < 4; ++i)
      queues.push_back(std::make_unique<GuestQueue>(*memory, kQueues + i * 0x10000, 128));
    madvise(memory->data(), kRamSize, MADV_NOHUGEPAGE);
  }
  void go(unsigned count, uint64_t features) {
    std::vector<GuestQueue*> list;
    for (unsigned i = 0; i < count; ++i) list.push_back(queues[i].get());
    start(list, kVersion1 | features);
  }
  Balloon& balloon() { return dynamic_cast<Balloon&>(*slot.device()); }
  void fill(uint64_t address, size_t size) { memset(memory->host(address, size), 0x5a, size); }
  bool resident(uint64_t address) {
    unsigned char present = 0;
    REQUIRE(mincore(memory->host(address, 4096), 4096, &present) == 0);
    return present & 1;
  }
  void send(unsigned queue, const void* bytes, uint32_t size) {
    memory->write(kLists + queue * 0x10000, bytes, size);
    queues[queue]->set_desc(0, kLists + queue * 0x10000, size);
    queues[queue]->submit(0);
    kick(queue);
  }
  void send_pages(const std::vector<uint32_t>& pages) {
    send(0, pages.data(), static_cast<uint32_t>(pages.size() * 4));
  }
  void wait_used(unsigned queue, uint16_t idx) {
    wait([&] { return queues[queue]->used_idx() == idx; });
  }
};

struct Watcher final : WriteWatcher {
  std::atomic<uint64_t> bytes{0};
  void written(uint64_t, uint64_t length) override { bytes += length; }
};

constexpr uint32_t pfn(uint64_t address) {
  return static_cast<uint32_t>(address >> 12);
}

}  // namespace

TEST_CASE("virtio-balloon offers what its properties say") {
  BalloonRig rig;
  rig.plug("virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on");
  CHECK(rig.read(VirtioRig::kDeviceId) == 5);
  CHECK((rig.device_features() & 0x3f) == 0x36);
  rig.write(VirtioRig::kQueueSel, 3);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 128);
}

TEST_CASE("Pages of the balloon go back to the host and read as zero") {
  BalloonRig rig;
  Watcher watcher;
  rig.memory->set_watcher(&watcher);
  rig.plug("virtio-balloon-device");
  rig.go(3, kStatsFeature);
  rig.fill(kPages, 5 * 4096);
  const uint64_t before = watcher.bytes;
  // Up, down, one by itself, and none of our business: beyond RAM, below it, wrapping.
  rig.send_pages({pfn(kPages), pfn(kPages) + 1, pfn(kPages) + 4, pfn(kPages) + 3, 0, 0xffffffff,
                  pfn(VirtioRig::kRam + VirtioRig::kRamSize), pfn(VirtioRig::kRam) - 1});
  rig.wait_used(0, 1);
  CHECK(!rig.resident(kPages));
  CHECK(!rig.resident(kPages + 4096));
  CHECK(rig.resident(kPages + 2 * 4096));
  CHECK(!rig.resident(kPages + 3 * 4096));
  CHECK(!rig.resident(kPages + 4 * 4096));
  CHECK(watcher.bytes - before >= 4 * 4096);  // what was code there is no more
  uint64_t word = 1;
  REQUIRE(rig.memory->read(kPages, &word, sizeof word));
  CHECK(word == 0);
  REQUIRE(rig.memory->read(kPages + 2 * 4096, &word, sizeof word));
  CHECK(word == 0x5a5a5a5a5a5a5a5a);
  CHECK(rig.read(VirtioRig::kStatus) == 15);
  rig.send(1, "\0\0\0\0", 4);  // deflate
  rig.wait_used(1, 1);
  rig.memory->set_watcher(nullptr);
}

TEST_CASE("A long list of pages is worked off in turns, and a reset may come between") {
  BalloonRig rig;
  rig.plug("virtio-balloon-device");
  rig.go(3, kStatsFeature);
  const std::vector<uint32_t> list(10'000, pfn(kPages));
  rig.memory->write(kLists, list.data(), list.size() * 4);
  rig.queues[0]->set_desc(0, kLists, static_cast<uint32_t>(list.size() * 4));
  rig.queues[0]->submit(0);
  rig.kick(0);
  rig.wait_used(0, 1);
  rig.queues[0]->submit(0);
  rig.kick(0);
  rig.write(VirtioRig::kStatus, 0);
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  rig.go(3, kStatsFeature);
  rig.fill(kPages, 4096);
  rig.send_pages({pfn(kPages)});
  rig.wait_used(0, 1);
  CHECK(!rig.resident(kPages));
}

TEST_CASE("The target shows in the configuration space, the answer in actual()") {
  BalloonRig rig;
  rig.plug("virtio-balloon-device");
  rig.go(3, kStatsFeature);
  rig.settle();
  const uint32_t generation = rig.read(VirtioRig::kConfigGeneration);
  rig.balloon().set_target(VirtioRig::kRamSize - (1 << 20));
  rig.settle();
  CHECK(rig.read(VirtioRig::kConfig) == 256);
  CHECK(rig.read(VirtioRig::kConfigGeneration) != generation);
  CHECK((rig.read(VirtioRig::kInterruptStatus) & 2));
  CHECK(rig.balloon().actual() == VirtioRig::kRamSize);
  rig.write(VirtioRig::kConfig + 4, 100);
  CHECK(rig.read(VirtioRig::kConfig + 4) == 100);
  CHECK(rig.balloon().actual() == VirtioRig::kRamSize - 100 * 4096);
  rig.balloon().set_target(UINT64_MAX);
  CHECK(rig.read(VirtioRig::kConfig) == 0);
  rig.write(VirtioRig::kConfig + 4, 0xffffffff);
  CHECK(rig.balloon().actual() == 0);
}

TEST_CASE("Free pages that the guest reports go back, unless it poisons them") {
  BalloonRig rig;
  rig.plug("virtio-balloon-device,free-page-reporting=on");
  rig.go(4, kStatsFeature | kReporting | kPoison);
  const bool poisoned = GENERATE(false, true);
  if (poisoned) rig.write(VirtioRig::kConfig + 12, 0xaaaaaaaa);
  rig.fill(kPages, 0x8000);
  // From the middle of a page to the middle of another: whole pages only.
  rig.queues[3]->set_desc(0, kPages + 0x800, 0x3000, GuestQueue::kWrite);
  rig.queues[3]->submit(0);
  rig.kick(3);
  rig.wait_used(3, 1);
  CHECK(rig.resident(kPages));
  CHECK(rig.resident(kPages + 0x1000) == poisoned);
  CHECK(rig.resident(kPages + 0x2000) == poisoned);
  CHECK(rig.resident(kPages + 0x3000));
}

TEST_CASE("Statistics are asked for again after the interval") {
  BalloonRig rig;
  rig.plug("virtio-balloon-device,guest-stats-polling-interval=1");
  rig.go(3, kStatsFeature);
  uint8_t stats[30] = {4,  0, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0,   // free memory
                       99, 0, 1,    1,    1,    1,    1, 1, 1, 1,   // no tag of ours
                       5,  0, 7,    0,    0,    0,    0, 0, 0, 0};  // total memory
  rig.send(2, stats, sizeof stats);
  rig.wait([&] { return rig.balloon().stats().last_update != 0; });
  CHECK(rig.balloon().stats().values[4] == 0x12345678);
  CHECK(rig.balloon().stats().values[5] == 7);
  CHECK(rig.balloon().stats().values[0] == Balloon::kUnknown);
  rig.wait_used(2, 1);  // it wants more
  // Two buffers at once: one comes back.
  rig.balloon().set_stats_interval(0);
  rig.send(2, stats, 13);
  rig.send(2, stats, 0);
  rig.wait_used(2, 2);
}
