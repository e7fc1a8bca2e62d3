#include <catch2/catch.hpp>

#include <cerrno>
#include <deque>

#include "block/overlay_disk.h"
#include "disk_rig.h"

using namespace hv;

namespace {
constexpr uint64_t kMiB = 1 << 20;
}

TEST_CASE("UnitMap finds runs across words and pages") {
  UnitMap map(100000);
  CHECK_FALSE(map.marked(0));
  CHECK(map.run(0, 100000) == 100000);
  map.mark(32700, 200);  // a page holds 32768
  CHECK_FALSE(map.marked(32699));
  CHECK(map.marked(32700));
  CHECK(map.marked(32899));
  CHECK_FALSE(map.marked(32900));
  CHECK(map.run(0, 100000) == 32700);
  CHECK(map.run(32700, 100000 - 32700) == 200);
  CHECK(map.run(32700, 50) == 50);
  CHECK(map.run(32900, 1000) == 1000);
  map.mark(64, 64);
  CHECK_FALSE(map.marked(63));
  CHECK(map.run(64, 1000) == 64);
  map.mark(99999, 1);
  CHECK(map.marked(99999));
}

TEST_CASE("A snapshot shows its writes and keeps them from the image") {
  const WaitKind kind = GENERATE(WaitKind::kUring, WaitKind::kEpoll);
  const bool direct = GENERATE(false, true);
  TemporaryImage image(kMiB);
  const auto before = random_bytes(kMiB, 1);
  image.write(0, before);
  DiskOptions options = image_options(image);
  options.snapshot = true;
  options.direct = direct;
  DiskRig rig(options, kind);
  CHECK_FALSE(rig.disk->read_only());
  CHECK(rig.disk->size() == kMiB);

  std::vector<uint8_t> model = before;
  const uint64_t unit = rig.disk->block_size();
  auto write = [&](uint64_t at, size_t size, unsigned seed) {
    auto bytes = random_bytes(size, seed);
    CHECK(rig.write(at, bytes) == 0);
    std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<ptrdiff_t>(at));
  };
  auto check_all = [&] {
    std::vector<uint8_t> bytes(kMiB);
    CHECK(rig.read(0, bytes) == 0);
    CHECK((bytes == model));
  };
  check_all();
  write(unit, unit, 2);
  write(unit * 3, unit * 2, 3);
  write(kMiB - unit, unit, 4);
  check_all();
  TestRequest zeroes(DiskOp::kWriteZeroes, unit * 4, unit * 5);
  CHECK(rig.run(zeroes) == 0);
  std::fill_n(model.begin() + static_cast<ptrdiff_t>(unit * 4), unit * 5, 0);
  check_all();
  CHECK(rig.run({DiskOp::kDiscard, 0, unit}) == 0);  // discard=ignore
  check_all();
  CHECK(rig.run({DiskOp::kFlush, 0, uint64_t{0}}) == 0);

  // A read in pieces that lie across written and unwritten parts.
  std::vector<uint8_t> memory(unit * 8);
  CHECK(rig.run({DiskOp::kRead,
                 0,
                 {{memory.data(), unit + unit / 2},
                  {memory.data() + unit + unit / 2, unit * 2},
                  {memory.data() + unit * 3 + unit / 2, unit * 4 + unit / 2}}}) == 0);
  CHECK(std::equal(memory.begin(), memory.end(), model.begin()));

  auto bytes = random_bytes(unit, 5);
  CHECK(rig.write(kMiB, bytes) == EINVAL);
  CHECK(rig.read(0xffff'ffff'ffff'0000, bytes) == EINVAL);
  CHECK(rig.disk->in_flight() == 0);
  CHECK((image.read(0, kMiB) == before));
}

TEST_CASE("discard=unmap on a snapshot reads as zeroes") {
  TemporaryImage image(kMiB);
  image.write(0, random_bytes(kMiB, 6));
  DiskOptions options = image_options(image);
  options.snapshot = true;
  options.discard_unmap = true;
  DiskRig rig(options, WaitKind::kAuto);
  CHECK(rig.run({DiskOp::kDiscard, 4096, uint64_t{8192}}) == 0);
  std::vector<uint8_t> bytes(8192);
  CHECK(rig.read(4096, bytes) == 0);
  CHECK((bytes == std::vector<uint8_t>(8192)));
}

TEST_CASE("Many requests on a snapshot end as a model says") {
  const WaitKind kind = GENERATE(WaitKind::kUring, WaitKind::kEpoll);
  TemporaryImage image(kMiB);
  auto model = random_bytes(kMiB, 7);
  image.write(0, model);
  const auto before = model;
  DiskOptions options = image_options(image);
  options.snapshot = true;
  DiskRig rig(options, kind);
  std::mt19937 random(8);
  for (unsigned round = 0; round < 50; ++round) {
    std::deque<TestRequest> requests;
    std::deque<std::vector<uint8_t>> buffers;
    for (uint64_t slot = 0; slot < 32; ++slot) {
      const uint64_t at = slot * 32768 + random() % 32 * 512;
      const size_t size = (1 + random() % 32) * 512;
      buffers.push_back(random_bytes(size, random()));
      requests.emplace_back(DiskOp::kWrite, at, std::vector<iovec>{{buffers.back().data(), size}});
      std::copy(buffers.back().begin(), buffers.back().end(),
                model.begin() + static_cast<ptrdiff_t>(at));
      rig.disk->submit(requests.back());
    }
    rig.disk->flush_batch();
    while (rig.disk->in_flight() > 0) rig.loop->run_once();
    const uint64_t at = random() % 1024 * 512;
    std::vector<uint8_t> bytes((1 + random() % 512) * 512);
    REQUIRE(rig.read(at, bytes) == 0);
    REQUIRE(std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<ptrdiff_t>(at)));
  }
  CHECK((image.read(0, kMiB) == before));
}
