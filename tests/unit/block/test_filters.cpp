#include <catch2/catch.hpp>

#include "block/detect_zeroes_disk.h"
#include "block/null_disk.h"
#include "disk_rig.h"

using namespace hv;

TEST_CASE("null-co completes everything and keeps its bounds") {
  NullDiskOptions options{.size = 1 << 20, .latency_ns = GENERATE(0, 100'000)};
  options.read_zeroes = GENERATE(false, true);
  DiskRig rig(std::make_unique<NullDisk>(options, false),
              GENERATE(WaitKind::kUring, WaitKind::kEpoll));
  std::vector<uint8_t> bytes(8192, 0xaa);
  CHECK(rig.write(0, bytes) == 0);
  CHECK(rig.read(4096, bytes) == 0);
  CHECK(bytes[5000] == (options.read_zeroes ? 0 : 0xaa));
  CHECK(rig.read((1 << 20) - 4096, bytes) == EINVAL);
  CHECK(rig.run(TestRequest(DiskOp::kFlush, 0, uint64_t{0})) == 0);
  CHECK(rig.run(TestRequest(DiskOp::kDiscard, 0, uint64_t{4096})) == 0);
}

TEST_CASE("A read-only null-co refuses writes") {
  DiskRig rig(std::make_unique<NullDisk>(NullDiskOptions{}, true), WaitKind::kAuto);
  std::vector<uint8_t> bytes(512);
  CHECK(rig.write(0, bytes) == EROFS);
  CHECK(rig.read(0, bytes) == 0);
}

TEST_CASE("detect-zeroes=unmap frees what is written as zeroes, and only that") {
  TemporaryImage image(4 << 20);
  image.write(0, random_bytes(4 << 20, 1));
  DiskOptions options = image_options(image);
  options.discard_unmap = true;
  options.detect_zeroes = DiskOptions::DetectZeroes::kUnmap;
  DiskRig rig(options, GENERATE(WaitKind::kUring, WaitKind::kEpoll));
  const uint64_t before = image.allocated();
  std::vector<uint8_t> zeroes(1 << 20);
  CHECK(rig.write(1 << 20, zeroes) == 0);
  CHECK(image.allocated() <= before - (1 << 20) + 4096);
  CHECK((image.read(1 << 20, 1 << 20) == zeroes));
  // One byte in the last piece makes it data.
  std::vector<uint8_t> almost(1 << 20);
  almost.back() = 1;
  const uint64_t then = image.allocated();
  CHECK(rig.run(TestRequest(DiskOp::kWrite, 2 << 20,
                            {{almost.data(), 512}, {almost.data() + 512, (1 << 20) - 512}})) == 0);
  CHECK(image.allocated() == then);
  CHECK((image.read(2 << 20, 1 << 20) == almost));
}

TEST_CASE("Two handles of one image work on two loops") {
  TemporaryImage image(1 << 20);
  DiskOptions options = image_options(image);
  DiskRig first(options, WaitKind::kAuto);
  auto handle = first.disk->share();
  REQUIRE(handle);
  DiskRig second(std::move(handle), WaitKind::kAuto);
  auto bytes = random_bytes(4096, 3);
  CHECK(first.write(8192, bytes) == 0);
  std::vector<uint8_t> seen(4096);
  CHECK(second.read(8192, seen) == 0);
  CHECK((seen == bytes));
  options.snapshot = true;
  options.share_rw = true;
  options.locking = false;
  CHECK(DiskRig::open(options)->share() == nullptr);
}
