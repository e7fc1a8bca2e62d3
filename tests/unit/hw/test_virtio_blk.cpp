#include <catch2/catch.hpp>

#include <deque>
#include <functional>

#include "../block/disk_rig.h"
#include "block/filter_disk.h"
#include "hw/virtio/virtio_blk.h"
#include "virtio_driver.h"

using namespace hv;

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kQueues = VirtioRig::kRam + 0x10000;
constexpr uint64_t kHeaders = VirtioRig::kRam + 0x100000;
constexpr uint64_t kData = VirtioRig::kRam + 0x200000;

// Types, states and feature bits of virtio 1.2, section 5.2.
enum : uint32_t { kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13 };
enum : int { kOk = 0, kIoErr = 1, kUnsupp = 2 };

// A disk that says when it is given something.
class WatchedDisk final : public Disk {
 public:
  using Watch = std::function<void(Disk&, const DiskRequest&)>;
  WatchedDisk(std::unique_ptr<Disk> disk, Watch before_submit)
      : disk_(std::move(disk)), before_submit_(std::move(before_submit)) {}
  void attach(EventLoop& loop) override { disk_->attach(loop); }
  void detach() override { disk_->detach(); }
  void submit(DiskRequest& request) override {
    before_submit_(*disk_, request);
    disk_->submit(request);
  }
  void flush_batch() override { disk_->flush_batch(); }
  uint64_t size() const override { return disk_->size(); }
  bool read_only() const override { return disk_->read_only(); }
  unsigned block_size() const override { return disk_->block_size(); }
  unsigned in_flight() const override { return disk_->in_flight(); }
  bool write_through() const override { return disk_->write_through(); }
  void set_write_through(bool on) override { disk_->set_write_through(on); }
  Result<> lock(bool share_rw) override { return disk_->lock(share_rw); }

 private:
  std::unique_ptr<Disk> disk_;
  Watch before_submit_;
};

// The driver's side of a disk on top of a rig with an `image`.
template <class Rig>
struct BlkFixture : Rig {
  using Rig::kick, Rig::memory, Rig::start, Rig::wait, Rig::device_features;
  using Rig::Rig;

  std::deque<GuestQueue> queues;
  uint16_t next = 0;

  void begin(unsigned queue_count = 1, uint64_t features = 0) {
    if (features == 0) features = device_features();
    queues.clear();
    std::vector<GuestQueue*> pointers;
    for (unsigned i = 0; i < queue_count; ++i)
      pointers.push_back(&queues.emplace_back(*memory, kQueues + i * 0x10000, 64));
    start(pointers, features);
  }

  // Puts a request at descriptors 4 * slot ...; its status byte is 0xff until the device writes it.
  struct Data {
    uint64_t address;
    uint32_t length;
  };
  uint64_t status_at(unsigned slot) { return kHeaders + slot * 64 + 32; }
  void put(unsigned queue, unsigned slot, uint32_t type, uint64_t sector,
           const std::vector<Data>& data) {
    GuestQueue& q = queues[queue];
    const uint64_t header = kHeaders + slot * 64;
    q.put(header, type);
    q.put(header + 4, uint32_t{0});
    q.put(header + 8, sector);
    q.put(status_at(slot), uint8_t{0xff});
    const bool device_writes = type == kIn || type == kGetId;
    std::vector<GuestQueue::Buffer> buffers = {{header, 16, false}};
    for (const Data& each : data) buffers.push_back({each.address, each.length, device_writes});
    buffers.push_back({status_at(slot), 1, true});
    q.set_chain(static_cast<uint16_t>(slot * 8), buffers);
    q.submit(static_cast<uint16_t>(slot * 8));
  }
  int status(unsigned slot) { return memory->host(status_at(slot), 1)[0]; }
  void wait_used(unsigned queue, uint16_t idx) {
    wait([&] { return queues[queue].used_idx() == idx; });
  }
  // One request on queue 0, from kick to used entry.
  int run(uint32_t type, uint64_t sector, const std::vector<Data>& data) {
    put(0, 0, type, sector, data);
    kick(0);
    wait_used(0, ++next);
    return status(0);
  }
  uint32_t last_length() { return queues[0].used_entry(static_cast<uint16_t>(next - 1)).length; }
  std::vector<uint8_t> guest(uint64_t address, size_t size) {
    std::vector<uint8_t> bytes(size);
    REQUIRE(memory->read(address, bytes.data(), size));
    return bytes;
  }
  void put_range(uint64_t at, uint64_t sector, uint32_t sectors, uint32_t flags) {
    queues[0].put(at, sector);
    queues[0].put(at + 8, sectors);
    queues[0].put(at + 12, flags);
  }
};

struct ImageRig : VirtioRig {
  TemporaryImage image;
  std::vector<uint8_t> contents;

  explicit ImageRig(const std::string& more = "", DiskOptions options = {},
                    WaitKind kind = WaitKind::kAuto, uint64_t size = kMiB,
                    WatchedDisk::Watch before_submit = {})
      : VirtioRig(kind), image(size), contents(random_bytes(std::min(size, 4 * kMiB), 1)) {
    image.write(0, contents);
    options.filename = image.path();
    options.format = "raw";
    auto disk = open_disk(options);
    REQUIRE(disk);
    if (before_submit)
      backends.drives["hd0"] =
          std::make_unique<WatchedDisk>(std::move(*disk), std::move(before_submit));
    else
      backends.drives["hd0"] = std::move(*disk);
    plug("virtio-blk-device,drive=hd0" + more);
  }
  std::vector<uint8_t> slice(uint64_t offset, size_t size) {
    const auto at = contents.begin() + static_cast<ptrdiff_t>(offset);
    return {at, at + static_cast<ptrdiff_t>(size)};
  }
};

using BlkRig = BlkFixture<ImageRig>;

// Four queues, on the rig's own loop and on another one in turn.
struct TwoLoopRig : VirtioRig {
  TemporaryImage image{kMiB};
  explicit TwoLoopRig(IoThread& other) {
    image.write(0, random_bytes(kMiB, 1));
    DiskOptions options;
    options.filename = image.path();
    options.format = "raw";
    auto disk = open_disk(options);
    REQUIRE(disk);
    backends.drives["hd0"] = std::move(*disk);
    backends.loops["b"] = &other.loop();
    plug(
        "virtio-blk-device,drive=hd0,num-queues=4,iothread-vq-mapping.0.iothread=a,"
        "iothread-vq-mapping.1.iothread=b");
  }
};

}  // namespace

TEST_CASE("virtio-blk reads and writes the image through both engines") {
  DiskOptions options;
  options.direct = GENERATE(false, true);
  const WaitKind kind = GENERATE(WaitKind::kUring, WaitKind::kEpoll);
  BlkRig rig("", options, kind);
  rig.begin();
  CHECK(rig.run(kIn, 8, {{kData, 4096}, {kData + 8192, 4096}}) == kOk);
  CHECK(rig.last_length() == 8193);
  CHECK((rig.guest(kData, 4096) == rig.slice(4096, 4096)));
  CHECK((rig.guest(kData + 8192, 4096) == rig.slice(8192, 4096)));
  const auto fresh = random_bytes(3072, 2);
  REQUIRE(rig.memory->write(kData + 3, fresh.data(), fresh.size()));
  CHECK(rig.run(kOut, 1, {{kData + 3, 1000}, {kData + 1003, 2072}}) == kOk);
  CHECK(rig.last_length() == 1);
  CHECK(rig.run(kFlush, 0, {}) == kOk);
  CHECK((rig.image.read(512, 3072) == fresh));
  CHECK((rig.image.read(3584, 4096) == rig.slice(3584, 4096)));
  CHECK(rig.line.rises > 0);
}

TEST_CASE("virtio-blk's configuration space") {
  BlkRig rig(",num-queues=3,queue-size=128,logical_block_size=4096,physical_block_size=16384");
  // Offsets of virtio 1.2, section 5.2.4.
  const uint64_t c = VirtioRig::kConfig;
  CHECK(rig.read(VirtioRig::kDeviceId) == 2);
  CHECK(rig.read(c) == kMiB / 512);
  CHECK(rig.read(c + 4) == 0);
  CHECK(rig.read(c + 12) == 126);
  CHECK(rig.read(c + 20) == 4096);
  CHECK(rig.read(c + 24, 1) == 2);
  CHECK(rig.read(c + 32, 1) == 1);
  CHECK(rig.read(c + 34, 2) == 3);
  CHECK(rig.read(c + 36) == 4194296);
  CHECK(rig.read(c + 40) == 1);
  CHECK(rig.read(c + 48) == 4194296);
  CHECK(rig.read(c + 52) == 1);
  CHECK(rig.read(c + 56, 1) == 1);
  CHECK(rig.read(c + 60) == 0);
  CHECK(rig.read(c + 0xf0) == 0);
  rig.write(VirtioRig::kQueueSel, 2);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 128);
  rig.write(VirtioRig::kQueueSel, 3);
  CHECK(rig.read(VirtioRig::kQueueNumMax) == 0);
}

TEST_CASE("virtio-blk offers what its options say") {
  auto features = [](const std::string& more, DiskOptions options = {}) {
    return BlkRig(more, options).device_features();
  };
  auto bit = [](unsigned n) { return 1ull << n; };
  const uint64_t usual = bit(32) | bit(29) | bit(28) | bit(2) | bit(6) | bit(9) | bit(10) |
                         bit(11) | bit(13) | bit(14);
  CHECK(features("") == usual);
  CHECK(features(",num-queues=2") == (usual | bit(12)));
  CHECK(features(",discard=off,write-zeroes=off") == (usual & ~bit(13) & ~bit(14)));
  CHECK(features(",event_idx=off,indirect_desc=off") == (usual & ~bit(28) & ~bit(29)));
  CHECK(features(",config-wce=off") == (usual & ~bit(11)));
  CHECK(features(",config-wce=off,write-cache=off") == (usual & ~bit(11) & ~bit(9)));
  DiskOptions read_only;
  read_only.read_only = true;
  CHECK(features("", read_only) == ((usual | bit(5)) & ~bit(13) & ~bit(14)));
}

TEST_CASE("virtio-blk gives its serial number") {
  BlkRig rig(",serial=SN-12345");
  rig.begin();
  rig.queues[0].put(kData + 20, uint32_t{0xeeeeeeee});
  CHECK(rig.run(kGetId, 0, {{kData, 20}}) == kOk);
  CHECK(rig.last_length() == 21);
  const auto id = rig.guest(kData, 20);
  CHECK(std::string(id.begin(), id.end()) == std::string("SN-12345") + std::string(12, '\0'));
  CHECK(rig.run(kGetId, 0, {{kData, 5}, {kData + 100, 3}}) == kOk);
  CHECK(rig.guest(kData + 100, 3) == std::vector<uint8_t>{'3', '4', '5'});
}

TEST_CASE("virtio-blk refuses what lies outside the disk") {
  BlkRig rig;
  rig.begin();
  const uint64_t end = kMiB / 512;
  CHECK(rig.run(kIn, end, {{kData, 512}}) == kIoErr);
  CHECK(rig.run(kIn, end - 1, {{kData, 1024}}) == kIoErr);
  CHECK(rig.run(kOut, end - 1, {{kData, 1024}}) == kIoErr);
  CHECK(rig.run(kOut, 0xffff'ffff'ffff'ffff, {{kData, 512}}) == kIoErr);
  CHECK(rig.run(kOut, 1ull << 55, {{kData, 512}}) == kIoErr);  // * 512 wraps to 0
  CHECK(rig.run(kIn, 0, {{kData, 100}}) == kIoErr);
  CHECK(rig.last_length() == 1);
  CHECK(rig.run(kIn, end - 1, {{kData, 512}}) == kOk);
  CHECK((rig.image.read(0, kMiB) == rig.contents));
}

TEST_CASE("virtio-blk answers unknown requests with UNSUPP") {
  BlkRig rig;
  rig.begin();
  for (const uint32_t type : {2u, 3u, 5u, 10u, 12u, 14u, 16u, 0x80000000u, 0xffffffffu})
    CHECK(rig.run(type, 0, {{kData, 512}}) == kUnsupp);
}

TEST_CASE("virtio-blk on a read-only disk") {
  DiskOptions options;
  options.read_only = true;
  BlkRig rig("", options);
  rig.begin();
  CHECK(rig.run(kOut, 0, {{kData, 512}}) == kIoErr);
  rig.put_range(kData, 0, 8, 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kUnsupp);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kUnsupp);
  CHECK(rig.run(kFlush, 0, {}) == kOk);
  CHECK(rig.run(kIn, 0, {{kData, 512}}) == kOk);
  CHECK((rig.guest(kData, 512) == rig.slice(0, 512)));
  CHECK((rig.image.read(0, kMiB) == rig.contents));
}

TEST_CASE("virtio-blk discards and writes zeroes") {
  DiskOptions options;
  options.discard_unmap = true;
  BlkRig rig("", options);
  rig.begin();
  rig.put_range(kData, 8, 256, 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kOk);
  CHECK((rig.image.read(4096, 131072) == std::vector<uint8_t>(131072)));
  CHECK((rig.image.read(135168, 4096) == rig.slice(135168, 4096)));
  rig.put_range(kData, 1000, 3, 1);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kOk);
  CHECK((rig.image.read(512000, 1536) == std::vector<uint8_t>(1536)));
  CHECK((rig.image.read(511488, 512) == rig.slice(511488, 512)));
  CHECK((rig.image.read(513536, 512) == rig.slice(513536, 512)));

  const uint32_t end = kMiB / 512;
  rig.put_range(kData, end - 1, 2, 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kIoErr);
  rig.put_range(kData, 0xffff'ffff'ffff'ffff, 1, 0);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kIoErr);
  rig.put_range(kData, 0, 0xffffffff, 0);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kIoErr);
  rig.put_range(kData, 0, 8, 1);  // section 5.2.6.2: unmap means nothing for DISCARD
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kUnsupp);
  rig.put_range(kData, 0, 8, 2);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kUnsupp);
  rig.put_range(kData, 0, 8, 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 32}}) == kUnsupp);  // two segments, one is offered
  CHECK(rig.run(kDiscard, 0, {{kData, 15}}) == kIoErr);
  CHECK(rig.run(kDiscard, 0, {}) == kIoErr);
  CHECK((rig.image.read(0, 4096) == rig.slice(0, 4096)));
}

TEST_CASE("virtio-blk takes the longest range that it offers, whatever its block size") {
  const std::string block_size = GENERATE("512", "4096", "32768");
  DiskOptions options;
  options.discard_unmap = true;
  BlkRig rig(",logical_block_size=" + block_size, options, WaitKind::kAuto, 3ull << 30);
  rig.begin();
  rig.put_range(kData, 0, rig.read(VirtioRig::kConfig + 36), 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kOk);
  rig.put_range(kData, 0, rig.read(VirtioRig::kConfig + 48), 1);
  CHECK(rig.run(kWriteZeroes, 0, {{kData, 16}}) == kOk);
}

TEST_CASE("Header and status may lie in pieces and share descriptors with data") {
  BlkRig rig;
  rig.begin();
  GuestQueue& q = rig.queues[0];
  q.put(kHeaders, uint32_t{kIn});
  q.put(kHeaders + 8, uint64_t{2});
  q.set_chain(0, {{kHeaders, 5, false}, {kHeaders + 5, 11, false}, {kData, 513, true}});
  q.submit(0);
  rig.kick(0);
  rig.wait_used(0, 1);
  CHECK((rig.guest(kData, 512) == rig.slice(1024, 512)));
  CHECK(rig.guest(kData + 512, 1)[0] == kOk);

  q.put(kHeaders, uint32_t{kOut});
  q.set_chain(0, {{kHeaders, 16 + 512, false}, {kData, 1, true}});
  q.submit(0);
  rig.kick(0);
  rig.wait_used(0, 2);
  CHECK(rig.guest(kData, 1)[0] == kOk);
  CHECK((rig.image.read(1024, 512) == rig.guest(kHeaders + 16, 512)));
}

TEST_CASE("A request without header or status needs a reset") {
  BlkRig rig;
  rig.begin();
  GuestQueue& q = rig.queues[0];
  SECTION("short header") {
    q.set_chain(0, {{kHeaders, 15, false}, {kData, 1, true}});
  }
  SECTION("no status") {
    q.set_chain(0, {{kHeaders, 16, false}});
  }
  SECTION("no bytes at all") {
    q.set_chain(0, {{kHeaders, 0, false}});
  }
  q.submit(0);
  rig.kick(0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.begin();
  rig.next = 0;
  CHECK(rig.run(kIn, 0, {{kData, 512}}) == kOk);
}

TEST_CASE("A broken chain behind sound ones does not hurt them after the reset") {
  BlkRig rig;
  rig.begin();
  GuestQueue& q = rig.queues[0];
  for (unsigned i = 0; i < 4; ++i) rig.put(0, i, kOut, i, {{kData + i * 512, 512}});
  q.set_chain(40, {{0x1000, 16, false}});
  q.submit(40);
  rig.kick(0);
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  rig.begin();
  rig.next = 0;
  CHECK(rig.run(kIn, 8, {{kData, 512}}) == kOk);
  CHECK((rig.guest(kData, 512) == rig.slice(4096, 512)));
}

TEST_CASE("Many requests on several queues all complete") {
  DiskOptions options;
  options.direct = GENERATE(false, true);
  const WaitKind kind = GENERATE(WaitKind::kUring, WaitKind::kEpoll);
  BlkRig rig(",num-queues=4", options, kind);
  rig.begin(4);
  for (unsigned round = 0; round < 50; ++round) {
    for (unsigned slot = 0; slot < 8; ++slot) {
      const unsigned queue = slot % 4;
      const uint64_t sector = (round * 37 + slot * 11) % 2000;
      rig.put(queue, slot, kIn, sector,
              {{kData + slot * 4096, 512}, {kData + slot * 4096 + 1024, 512}});
      rig.kick(queue);
    }
    for (unsigned queue = 0; queue < 4; ++queue)
      rig.wait_used(queue, static_cast<uint16_t>((round + 1) * 2));
    for (unsigned slot = 0; slot < 8; ++slot) {
      const uint64_t sector = (round * 37 + slot * 11) % 2000;
      if (rig.status(slot) != kOk) FAIL(round << " " << slot);
      if (rig.guest(kData + slot * 4096, 512) != rig.slice(sector * 512, 512)) FAIL(slot);
      if (rig.guest(kData + slot * 4096 + 1024, 512) != rig.slice(sector * 512 + 512, 512))
        FAIL(slot);
    }
  }
}

TEST_CASE("A reset with requests in flight ends them and the disk goes on") {
  const WaitKind kind = GENERATE(WaitKind::kUring, WaitKind::kEpoll);
  DiskOptions options;
  options.direct = true;
  BlkRig rig("", options, kind, 4 * kMiB);
  for (unsigned round = 0; round < 20; ++round) {
    rig.begin();
    for (unsigned slot = 0; slot < 7; ++slot)
      rig.put(0, slot, kIn, slot * 1024, {{kData + slot * 0x80000, 0x80000}});
    rig.kick(0);
    rig.write(VirtioRig::kStatus, 0);
    rig.wait([&] { return rig.read(VirtioRig::kStatus) == 0; });
    // The old life is over: guest memory stays as it is from here on.
    const uint16_t used = rig.queues[0].used_idx();
    std::memset(rig.memory->host(kData, 4 * kMiB - 0x80000), 0x55, 4 * kMiB - 0x80000);
    rig.settle();
    const auto now = rig.guest(kData, 4 * kMiB - 0x80000);
    CHECK(std::ranges::count(now, 0x55) == static_cast<ptrdiff_t>(now.size()));
    CHECK(rig.queues[0].used_idx() == used);
    CHECK_FALSE(rig.line.level);
  }
  rig.begin();
  rig.next = 0;
  CHECK(rig.run(kIn, 0, {{kData, 4096}}) == kOk);
}

TEST_CASE("The guest switches the write cache through the configuration space") {
  BlkRig rig;
  const uint64_t writeback = VirtioRig::kConfig + 32;
  rig.begin();
  CHECK(rig.read(writeback, 1) == 1);
  rig.write(writeback, 0, 1);
  CHECK(rig.read(writeback, 1) == 0);
  CHECK(rig.run(kOut, 0, {{kData, 512}}) == kOk);
  rig.write(VirtioRig::kConfig, 0);  // the capacity is not the guest's
  CHECK(rig.read(VirtioRig::kConfig) == kMiB / 512);
  rig.write(VirtioRig::kStatus, 0);
  CHECK(rig.read(writeback, 1) == 1);
}

// Section 5.2.6.2: a write made after the cache went off is stable when it completes, also when the
// device takes it in a sweep that began before.
TEST_CASE("A write behind the end of the write cache in one sweep is written through") {
  const uint64_t writeback = VirtioRig::kConfig + 32;
  BlkRig* driver = nullptr;
  std::vector<bool> write_through;
  BlkRig rig("", {}, WaitKind::kAuto, kMiB, [&](Disk& disk, const DiskRequest&) {
    write_through.push_back(disk.write_through());
    if (write_through.size() > 1) return;
    driver->write(writeback, 0, 1);
    driver->put(0, 1, kOut, 8, {{kData, 512}});
  });
  driver = &rig;
  rig.begin();
  rig.put(0, 0, kOut, 0, {{kData, 512}});
  rig.kick(0);
  rig.wait_used(0, 2);
  CHECK(write_through == std::vector{false, true});
}

TEST_CASE("A request without data has no buffers, whatever was asked before it") {
  std::vector<std::pair<DiskOp, size_t>> seen;
  BlkRig rig("", {}, WaitKind::kAuto, kMiB, [&](Disk&, const DiskRequest& request) {
    seen.emplace_back(request.op, request.iov.size());
  });
  rig.begin();
  CHECK(rig.run(kOut, 0, {{kData, 512}, {kData + 512, 512}}) == kOk);
  CHECK(rig.run(kFlush, 0, {}) == kOk);
  CHECK(rig.run(kIn, 0, {{kData, 512}}) == kOk);
  rig.put_range(kData, 0, 8, 0);
  CHECK(rig.run(kDiscard, 0, {{kData, 16}}) == kOk);
  const std::vector<std::pair<DiskOp, size_t>> expected{
      {DiskOp::kWrite, 2}, {DiskOp::kFlush, 0}, {DiskOp::kRead, 1}, {DiskOp::kDiscard, 0}};
  CHECK((seen == expected));
}

TEST_CASE("-device virtio-blk-device is refused with a line that says why") {
  using Catch::Contains;
  VirtioRig rig;
  auto refused = [&](const std::string& options) {
    auto created = rig.create(options);
    return created ? std::string() : created.error().message;
  };
  TemporaryImage image(kMiB);
  DiskOptions options;
  options.filename = image.path();
  auto add_drive = [&] { rig.backends.drives["hd0"] = *open_disk(options); };
  CHECK_THAT(refused("virtio-blk-device"), Contains("drive="));
  CHECK_THAT(refused("virtio-blk-device,drive=nobody"), Contains("nobody"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,colour=red"), Contains("colour"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,num-queues=0"), Contains("num-queues"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,queue-size=100"), Contains("queue-size=100"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,write-cache=x"), Contains("write-cache=x"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,serial=123456789012345678901"),
             Contains("serial"));
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,bus=pcie.0"), Contains("pcie.0"));
  add_drive();
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,logical_block_size=768"), Contains("768"));
  add_drive();
  CHECK_THAT(refused("virtio-blk-device,drive=hd0,logical_block_size=4096,physical_block_size=512"),
             Contains("physical_block_size=512"));
  CHECK_THAT(refused("virtio-blk-pci,drive=hd0"),
             Contains("virtio-blk-pci") && Contains("not have"));
  CHECK_THAT(refused("warp-drive"), Contains("warp-drive"));
}

namespace {

// Fails requests of one kind with one error as long as it is told to.
class FailingDisk final : public FilterDisk {
 public:
  struct Switch {
    std::atomic<int> error{0};
    std::atomic<bool> reads{false};
  };
  FailingDisk(std::unique_ptr<Disk> disk, std::shared_ptr<Switch> how)
      : FilterDisk(std::move(disk)), how_(std::move(how)) {}
  void attach(EventLoop& loop) override {
    loop_ = &loop;
    FilterDisk::attach(loop);
  }
  void submit(DiskRequest& request) override {
    const int error = how_->error;
    if (error == 0 || (request.op == DiskOp::kRead) != how_->reads) return below().submit(request);
    loop_->post([&request, error] { request.done(error); });
  }

 private:
  std::shared_ptr<Switch> how_;
  EventLoop* loop_ = nullptr;
};

struct FailingRig : VirtioRig {
  TemporaryImage image{kMiB};
  std::shared_ptr<FailingDisk::Switch> how = std::make_shared<FailingDisk::Switch>();
  explicit FailingRig(const std::string& more) {
    DiskOptions options;
    options.filename = image.path();
    options.format = "raw";
    auto disk = open_disk(options);
    REQUIRE(disk);
    backends.drives["hd0"] = std::make_unique<FailingDisk>(std::move(*disk), how);
    plug("virtio-blk-device,drive=hd0" + more);
  }
};

}  // namespace

TEST_CASE("werror= and rerror= say what a failed request does") {
  struct Case {
    const char* options;
    bool read;
    int error;
    int status;  // that the guest sees
    DiskError::Action action;
  };
  using enum DiskError::Action;
  const Case each =
      GENERATE(Case{"", false, EIO, kIoErr, kReport}, Case{"", true, EIO, kIoErr, kReport},
               Case{",werror=report", false, ENOSPC, kIoErr, kReport},
               Case{",werror=ignore", false, ENOSPC, kOk, kIgnore},
               Case{",rerror=ignore", true, EIO, kOk, kIgnore},
               Case{",werror=enospc", false, EIO, kIoErr, kReport},
               Case{",werror=stop", true, EIO, kIoErr, kReport});
  INFO(each.options << " read " << each.read);
  BlkFixture<FailingRig> rig(each.options);
  rig.how->reads = each.read;
  rig.how->error = each.error;
  rig.begin();
  CHECK(rig.run(each.read ? kIn : kOut, 0, {{kData, 512}}) == each.status);
  REQUIRE(rig.control.disk_error_count() == 1);
  CHECK(rig.control.disk_errors[0].action == each.action);
  CHECK(rig.control.disk_errors[0].write == !each.read);
  CHECK(rig.control.disk_errors[0].error == each.error);
  CHECK(rig.control.disk_errors[0].drive == "hd0");
}

TEST_CASE("A request that stopped the machine is sent again when it goes on") {
  const char* options = GENERATE("", ",werror=stop", ",rerror=stop");
  const bool read = std::string(options) == ",rerror=stop";
  BlkFixture<FailingRig> rig(options);
  rig.how->reads = read;
  rig.how->error = ENOSPC;
  rig.begin();
  const auto bytes = random_bytes(4096, 9);
  if (read)
    rig.image.write(0, bytes);
  else
    REQUIRE(rig.memory->write(kData, bytes.data(), bytes.size()));
  rig.put(0, 0, read ? kIn : kOut, 0, {{kData, 4096}});
  rig.kick(0);
  rig.wait([&] { return rig.control.disk_error_count() == 1; });
  CHECK(rig.control.disk_errors[0].action == DiskError::Action::kStop);
  rig.slot.quiesce();
  CHECK(rig.queues[0].used_idx() == 0);
  rig.how->error = 0;
  rig.slot.resume();
  rig.wait_used(0, 1);
  CHECK(rig.status(0) == kOk);
  if (read)
    CHECK((rig.guest(kData, 4096) == bytes));
  else
    CHECK((rig.image.read(0, 4096) == bytes));
}

TEST_CASE("A reset forgets a request that stopped the machine") {
  BlkFixture<FailingRig> rig(",werror=stop");
  rig.how->error = EIO;
  rig.begin();
  rig.put(0, 0, kOut, 0, {{kData, 4096}});
  rig.kick(0);
  rig.wait([&] { return rig.control.disk_error_count() == 1; });
  rig.write(VirtioRig::kStatus, 0);
  rig.how->error = 0;
  rig.begin();
  rig.next = 0;
  CHECK(rig.run(kOut, 0, {{kData, 512}}) == kOk);
  rig.settle();
  CHECK(rig.queues[0].used_idx() == 1);
}

TEST_CASE("Queues spread over two IO threads all work, through resets and pauses") {
  auto other = *IoThread::create("test-io2", WaitKind::kAuto);
  BlkFixture<TwoLoopRig> rig(*other);
  for (int life = 0; life < 5; ++life) {
    rig.begin(4);
    for (unsigned queue = 0; queue < 4; ++queue) {
      rig.put(queue, queue, kIn, queue * 8, {{kData + queue * 4096, 4096}});
      rig.kick(queue);
    }
    if (life % 2) {
      rig.slot.quiesce();
      rig.slot.resume();
    }
    for (unsigned queue = 0; queue < 4; ++queue) {
      rig.wait_used(queue, 1);
      CHECK(rig.status(queue) == kOk);
      CHECK((rig.guest(kData + queue * 4096, 4096) == rig.image.read(queue * 4096, 4096)));
    }
    rig.write(VirtioRig::kStatus, 0);
    CHECK(rig.read(VirtioRig::kStatus) == 0);
  }
}

TEST_CASE("iothread-vq-mapping is checked") {
  const auto [text, wrong] = GENERATE(table<const char*, const char*>({
      {"num-queues=2,iothread-vq-mapping.0.vqs.0=0", "iothread"},
      {"num-queues=2,iothread-vq-mapping.0.iothread=a,iothread-vq-mapping.0.vqs.0=2", "vqs has 2"},
      {"num-queues=2,iothread-vq-mapping.0.iothread=a,iothread-vq-mapping.0.vqs.0=0", "each queue"},
      {"num-queues=2,iothread=a,iothread-vq-mapping.0.iothread=a", "excludes"},
      {"num-queues=2,iothread-vq-mapping.0.iothread=a,iothread-vq-mapping.0.vqs.0=0,"
       "iothread-vq-mapping.0.vqs.1=0",
       "twice"},
      {"iothread-vq-mapping.0.iothread=a,iothread-vq-mapping.0.depth=1", "depth"},
  }));
  VirtioRig rig;
  const auto created = rig.create(std::string("virtio-blk-device,drive=hd0,") + text);
  REQUIRE(!created);
  CHECK_THAT(created.error().message, Catch::Contains(wrong));
}
