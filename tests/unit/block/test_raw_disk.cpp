#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>

#include "block/image_file.h"
#include "block/raw_disk.h"
#include "disk_rig.h"

using namespace hv;

namespace {

constexpr uint64_t kMiB = 1 << 20;

std::string engine_name(WaitKind kind) {
  return kind == WaitKind::kUring ? "io_uring" : "threads";
}

// An epoll loop has no io_uring, so there the disk takes the thread engine.
WaitKind generate_engine() {
  return GENERATE(WaitKind::kUring, WaitKind::kEpoll);
}

// Carries out each operation in place, gives at most `max_bytes` of a transfer, and interrupts
// every second one. The trace shows what reached the file.
class FlakyEngine final : public FileEngine {
 public:
  FlakyEngine(EventLoop& loop, size_t max_bytes, std::vector<FileOp::Kind>& trace)
      : max_bytes_(max_bytes), trace_(trace) {
    later_ = loop.make_bottom_half([this] { run(); });
  }
  void start(FileOp& op) override {
    waiting_.push_back(&op);
    later_->schedule();
  }
  void flush_batch() override {}

 private:
  void run() {
    auto batch = std::exchange(waiting_, {});
    for (FileOp* op : batch) op->finished(next_result(*op));
  }
  int next_result(FileOp& op) {
    if (++calls_ % 2 == 0) return calls_ % 4 == 0 ? -EINTR : -EAGAIN;
    trace_.push_back(op.kind);
    size_t moved = 0;
    for (const iovec& piece : op.iov) {
      const size_t size = std::min(piece.iov_len, max_bytes_ - moved);
      const auto at = static_cast<off_t>(op.offset + moved);
      const ssize_t n = op.kind == FileOp::Kind::kRead ? pread(op.fd, piece.iov_base, size, at)
                                                       : pwrite(op.fd, piece.iov_base, size, at);
      if (n < 0) return -errno;
      moved += static_cast<size_t>(n);
    }
    return static_cast<int>(moved);
  }

  const size_t max_bytes_;
  std::vector<FileOp::Kind>& trace_;
  std::unique_ptr<BottomHalf> later_;
  std::deque<FileOp*> waiting_;
  unsigned calls_ = 0;
};

std::unique_ptr<Disk> flaky_disk(const DiskOptions& options, size_t max_bytes,
                                 std::vector<FileOp::Kind>& trace) {
  auto file = open_image_file(options);
  REQUIRE(file);
  return std::make_unique<RawDisk>(std::move(*file), options, [&, max_bytes](EventLoop& loop) {
    return std::make_unique<FlakyEngine>(loop, max_bytes, trace);
  });
}

}  // namespace

TEST_CASE("What is written is in the file, and what is in the file is read") {
  const WaitKind kind = generate_engine();
  const bool direct = GENERATE(false, true);
  INFO(engine_name(kind) << " direct=" << direct);
  TemporaryImage image(4 * kMiB);
  auto before = random_bytes(4 * kMiB, 1);
  image.write(0, before);
  DiskOptions options = image_options(image);
  options.direct = direct;
  DiskRig rig(options, kind);
  CHECK(rig.disk->size() == 4 * kMiB);
  CHECK_FALSE(rig.disk->read_only());

  const uint64_t unit = rig.disk->block_size();
  std::vector<uint8_t> bytes(unit * 16);
  CHECK(rig.read(unit * 3, bytes) == 0);
  CHECK((bytes == image.read(unit * 3, bytes.size())));

  auto fresh = random_bytes(unit * 4, 2);
  CHECK(rig.write(kMiB, fresh) == 0);
  CHECK(rig.run({DiskOp::kFlush, 0, uint64_t{0}}) == 0);
  CHECK((image.read(kMiB, fresh.size()) == fresh));
  std::copy(fresh.begin(), fresh.end(), before.begin() + kMiB);
  CHECK((image.read(0, before.size()) == before));
  CHECK(rig.disk->in_flight() == 0);
}

TEST_CASE("Buffers of any address and length work with O_DIRECT") {
  const WaitKind kind = generate_engine();
  INFO(engine_name(kind));
  TemporaryImage image(8 * kMiB);
  image.write(0, random_bytes(8 * kMiB, 3));
  DiskOptions options = image_options(image);
  options.direct = true;
  DiskRig rig(options, kind);
  // 3 MiB in pieces of odd length at odd addresses: three steps of the bounce buffer.
  std::vector<uint8_t> memory(4 * kMiB);
  std::vector<iovec> pieces = {{memory.data() + 1, 7},
                               {memory.data() + 1001, 2 * kMiB + 1},
                               {memory.data() + 3 * kMiB + 3, kMiB - 8}};
  auto gather = [&] {
    std::vector<uint8_t> all;
    for (const iovec& piece : pieces) {
      auto* at = static_cast<uint8_t*>(piece.iov_base);
      all.insert(all.end(), at, at + piece.iov_len);
    }
    return all;
  };
  CHECK(rig.run({DiskOp::kRead, 4096, pieces}) == 0);
  CHECK((gather() == image.read(4096, 3 * kMiB)));
  std::ranges::copy(random_bytes(memory.size(), 4), memory.begin());
  CHECK(rig.run({DiskOp::kWrite, 8192, pieces}) == 0);
  CHECK((gather() == image.read(8192, 3 * kMiB)));
}

TEST_CASE("More buffers than one syscall takes are transferred all the same") {
  const WaitKind kind = generate_engine();
  INFO(engine_name(kind));
  TemporaryImage image(4 * kMiB);
  DiskRig rig(image_options(image), kind);
  auto memory = random_bytes(1500 * 512, 5);
  std::vector<iovec> pieces;
  for (size_t i = 0; i < 1500; ++i) pieces.push_back({memory.data() + i * 512, 512});
  CHECK(rig.run({DiskOp::kWrite, 512, pieces}) == 0);
  CHECK((image.read(512, memory.size()) == memory));
}

TEST_CASE("Requests beyond the end or off the block size fail and leave the file alone") {
  const WaitKind kind = generate_engine();
  TemporaryImage image(kMiB);
  const auto before = random_bytes(kMiB, 6);
  image.write(0, before);
  DiskRig rig(image_options(image), kind);
  auto bytes = random_bytes(1024, 7);
  CHECK(rig.write(kMiB, bytes) == EINVAL);
  CHECK(rig.write(kMiB - 512, bytes) == EINVAL);
  CHECK(rig.write(0xffff'ffff'ffff'fe00, bytes) == EINVAL);
  CHECK(rig.write(100, bytes) == EINVAL);
  CHECK(rig.run({DiskOp::kWriteZeroes, 512, 0xffff'ffff'ffff'fe00}) == EINVAL);
  CHECK(rig.run({DiskOp::kDiscard, kMiB - 512, uint64_t{1024}}) == EINVAL);
  CHECK(rig.read(kMiB - 512, bytes) == EINVAL);
  CHECK((image.read(0, kMiB) == before));
  struct stat info;
  REQUIRE(fstat(image.fd(), &info) == 0);
  CHECK(info.st_size == kMiB);
}

TEST_CASE("A read-only disk reads and refuses every change") {
  TemporaryImage image(kMiB);
  const auto before = random_bytes(kMiB, 8);
  image.write(0, before);
  DiskOptions options = image_options(image);
  options.read_only = true;
  options.discard_unmap = true;
  DiskRig rig(options, WaitKind::kAuto);
  auto bytes = random_bytes(512, 9);
  CHECK(rig.write(0, bytes) == EROFS);
  CHECK(rig.run({DiskOp::kDiscard, 0, uint64_t{4096}}) == EROFS);
  CHECK(rig.run({DiskOp::kWriteZeroes, 0, uint64_t{4096}}) == EROFS);
  CHECK(rig.run({DiskOp::kFlush, 0, uint64_t{0}}) == 0);
  CHECK(rig.read(0, bytes) == 0);
  CHECK(std::equal(bytes.begin(), bytes.end(), before.begin()));
  CHECK((image.read(0, kMiB) == before));
}

TEST_CASE("discard=unmap frees the range, discard=ignore keeps it") {
  const WaitKind kind = generate_engine();
  INFO(engine_name(kind));
  TemporaryImage image(4 * kMiB);
  const auto before = random_bytes(4 * kMiB, 10);
  image.write(0, before);
  REQUIRE(fsync(image.fd()) == 0);
  const uint64_t full = image.allocated();
  DiskOptions options = image_options(image);
  {
    DiskRig rig(options, kind);
    CHECK(rig.run({DiskOp::kDiscard, kMiB, 2 * kMiB}) == 0);
  }
  CHECK(image.allocated() == full);
  CHECK((image.read(0, 4 * kMiB) == before));
  options.discard_unmap = true;
  {
    DiskRig rig(options, kind);
    CHECK(rig.run({DiskOp::kDiscard, kMiB, 2 * kMiB}) == 0);
  }
  CHECK(image.allocated() <= full - 2 * kMiB);
  CHECK((image.read(kMiB, 2 * kMiB) == std::vector<uint8_t>(2 * kMiB)));
  CHECK((image.read(0, kMiB) == random_bytes(kMiB, 10)));
}

TEST_CASE("Write zeroes gives zeroes, freed only when both sides allow it") {
  const WaitKind kind = generate_engine();
  const bool unmap = GENERATE(false, true);
  // tmpfs has no ZERO_RANGE, so there zeroes are written by hand.
  const char* directory = GENERATE("/var/tmp", "/dev/shm");
  INFO(engine_name(kind) << " unmap=" << unmap << " in " << directory);
  TemporaryImage image(4 * kMiB, directory);
  const auto before = random_bytes(4 * kMiB, 11);
  image.write(0, before);
  REQUIRE(fsync(image.fd()) == 0);
  const uint64_t full = image.allocated();
  DiskOptions options = image_options(image);
  options.discard_unmap = unmap;
  DiskRig rig(options, kind);
  TestRequest request(DiskOp::kWriteZeroes, kMiB - 512, 2 * kMiB);
  request.may_unmap = true;
  CHECK(rig.run(request) == 0);
  CHECK((image.read(kMiB - 512, 2 * kMiB) == std::vector<uint8_t>(2 * kMiB)));
  CHECK((image.read(0, kMiB - 512) == std::vector(before.begin(), before.begin() + kMiB - 512)));
  CHECK((image.read(3 * kMiB - 512, kMiB + 512) ==
         std::vector(before.begin() + 3 * kMiB - 512, before.end())));
  if (unmap)
    CHECK(image.allocated() < full);
  else
    CHECK(image.allocated() == full);
}

TEST_CASE("Short and interrupted transfers are continued") {
  const bool direct = GENERATE(false, true);  // O_DIRECT with odd buffers: the bounced path
  TemporaryImage image(kMiB);
  image.write(0, random_bytes(kMiB, 12));
  DiskOptions options = image_options(image);
  options.direct = direct;
  std::vector<FileOp::Kind> trace;
  DiskRig rig(flaky_disk(options, 4096, trace), WaitKind::kAuto);
  std::vector<uint8_t> memory(20000);
  std::vector<iovec> pieces = {{memory.data() + 3, 5000}, {memory.data() + 6000, 11384}};
  CHECK(rig.run({DiskOp::kRead, 4096, pieces}) == 0);
  auto expected = image.read(4096, 16384);
  CHECK(std::equal(expected.begin(), expected.begin() + 5000, memory.begin() + 3));
  CHECK(std::equal(expected.begin() + 5000, expected.end(), memory.begin() + 6000));
  CHECK(trace == std::vector(4, FileOp::Kind::kRead));
  std::ranges::copy(random_bytes(memory.size(), 13), memory.begin());
  CHECK(rig.run({DiskOp::kWrite, 8192, pieces}) == 0);
  expected = image.read(8192, 16384);
  CHECK(std::equal(expected.begin(), expected.begin() + 5000, memory.begin() + 3));
  CHECK(std::equal(expected.begin() + 5000, expected.end(), memory.begin() + 6000));
}

TEST_CASE("A file that shrinks under us gives EIO, not old memory") {
  const WaitKind kind = generate_engine();
  TemporaryImage image(kMiB);
  DiskRig rig(image_options(image), kind);
  REQUIRE(ftruncate(image.fd(), 4096) == 0);
  std::vector<uint8_t> bytes(8192);
  CHECK(rig.read(0, bytes) == EIO);
  CHECK(rig.read(8192, bytes) == EIO);
}

TEST_CASE("Flushes follow the cache mode") {
  using enum FileOp::Kind;
  TemporaryImage image(kMiB);
  DiskOptions options = image_options(image);
  options.write_through = GENERATE(false, true);
  options.no_flush = GENERATE(false, true);
  std::vector<FileOp::Kind> trace;
  DiskRig rig(flaky_disk(options, kMiB, trace), WaitKind::kAuto);
  auto bytes = random_bytes(512, 14);
  CHECK(rig.write(0, bytes) == 0);
  CHECK(rig.run({DiskOp::kFlush, 0, uint64_t{0}}) == 0);
  std::vector<FileOp::Kind> expected = {kWrite};
  if (options.write_through && !options.no_flush) expected.push_back(kSync);
  if (!options.no_flush) expected.push_back(kSync);
  CHECK(trace == expected);
  trace.clear();
  rig.disk->set_write_through(false);
  CHECK(rig.write(0, bytes) == 0);
  CHECK(trace == std::vector{kWrite});
}

TEST_CASE("Requests of no bytes succeed") {
  TemporaryImage image(kMiB);
  DiskRig rig(image_options(image), WaitKind::kAuto);
  CHECK(rig.run({DiskOp::kRead, kMiB, std::vector<iovec>()}) == 0);
  CHECK(rig.run({DiskOp::kWrite, 0, std::vector<iovec>()}) == 0);
  CHECK(rig.run({DiskOp::kWriteZeroes, 0, uint64_t{0}}) == 0);
}

TEST_CASE("detach() waits for what is in flight") {
  const WaitKind kind = generate_engine();
  TemporaryImage image(4 * kMiB);
  auto bytes = random_bytes(kMiB, 15);
  std::deque<TestRequest> requests;
  {
    DiskRig rig(image_options(image), kind);
    for (unsigned i = 0; i < 4; ++i) {
      requests.emplace_back(DiskOp::kWrite, i * kMiB,
                            std::vector<iovec>{{bytes.data(), bytes.size()}});
      rig.disk->submit(requests.back());
    }
    requests.emplace_back(DiskOp::kWrite, 4 * kMiB,
                          std::vector<iovec>{{bytes.data(), bytes.size()}});
    rig.disk->submit(requests.back());
    rig.disk->flush_batch();
    CHECK(rig.disk->in_flight() == 5);
  }
  for (unsigned i = 0; i < 4; ++i) CHECK(requests[i].error == 0);
  CHECK(requests[4].error == EINVAL);
  CHECK((image.read(3 * kMiB, kMiB) == bytes));
}

TEST_CASE("Many requests at once end as a model says") {
  const WaitKind kind = generate_engine();
  const bool direct = GENERATE(false, true);
  INFO(engine_name(kind) << " direct=" << direct);
  constexpr uint64_t kSlot = 16384;
  constexpr unsigned kSlots = 64;
  TemporaryImage image(kSlots * kSlot);
  auto model = random_bytes(kSlots * kSlot, 16);
  image.write(0, model);
  DiskOptions options = image_options(image);
  options.direct = direct;
  DiskRig rig(options, kind);
  std::mt19937 random(17);
  for (unsigned round = 0; round < 20; ++round) {
    // One request per slot in each round, so that their order does not matter.
    std::deque<TestRequest> requests;
    std::deque<std::vector<uint8_t>> buffers;
    std::map<unsigned, std::vector<uint8_t>*> reads;
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      const uint64_t at = slot * kSlot;
      const unsigned what = random() % 4;
      buffers.push_back(random_bytes(kSlot, random()));
      std::vector<iovec> iov = {{buffers.back().data(), kSlot}};
      if (what == 0) {
        requests.emplace_back(DiskOp::kRead, at, iov);
        reads[slot] = &buffers.back();
      } else if (what == 1) {
        requests.emplace_back(DiskOp::kWriteZeroes, at, kSlot);
        std::fill_n(model.begin() + static_cast<ptrdiff_t>(at), kSlot, 0);
      } else {
        requests.emplace_back(DiskOp::kWrite, at, iov);
        std::copy(buffers.back().begin(), buffers.back().end(),
                  model.begin() + static_cast<ptrdiff_t>(at));
      }
      rig.disk->submit(requests.back());
    }
    rig.disk->flush_batch();
    while (rig.disk->in_flight() > 0) rig.loop->run_once();
    for (const TestRequest& request : requests)
      if (request.error != 0 || request.times != 1) FAIL(request.error);
    for (const auto& [slot, bytes] : reads)
      if (!std::equal(bytes->begin(), bytes->end(),
                      model.begin() + static_cast<ptrdiff_t>(slot * kSlot)))
        FAIL("slot " << slot);
  }
  CHECK((image.read(0, model.size()) == model));
}

TEST_CASE("Registered memory and files read and write what plain ones do") {
  TemporaryImage image(1 << 20);
  const auto contents = random_bytes(1 << 20, 5);
  image.write(0, contents);
  std::vector<uint8_t> memory(256 << 10), outside(4096);
  DiskRig rig(image_options(image), WaitKind::kAuto);
  rig.loop->register_memory(memory.data(), memory.size());
  if (rig.loop->has_uring()) {
    CHECK(rig.loop->memory_index(memory.data(), memory.size()) == 0);
    CHECK(rig.loop->memory_index(memory.data() + 1, memory.size()) == -1);
    CHECK(rig.loop->memory_index(outside.data(), 1) == -1);
  }
  CHECK(rig.run(TestRequest(DiskOp::kRead, 4096, {{memory.data() + 512, 65536}})) == 0);
  CHECK(std::equal(contents.begin() + 4096, contents.begin() + 4096 + 65536, memory.begin() + 512));
  CHECK(rig.run(TestRequest(DiskOp::kWrite, 512 << 10, {{memory.data() + 512, 65536}})) == 0);
  CHECK((image.read(512 << 10, 65536) ==
         std::vector(contents.begin() + 4096, contents.begin() + 4096 + 65536)));
  CHECK(rig.run(TestRequest(DiskOp::kRead, 0, {{memory.data(), 512}, {outside.data(), 4096}})) ==
        0);
  CHECK(std::equal(outside.begin(), outside.end(), contents.begin() + 512));
}
