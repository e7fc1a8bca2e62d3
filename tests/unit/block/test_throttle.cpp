#include <catch2/catch.hpp>

#include "block/null_disk.h"
#include "block/throttled_disk.h"
#include "disk_rig.h"

using namespace hv;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

ThrottleConfig config_of(const std::string& text) {
  auto values = KeyValues::parse("-drive", text);
  REQUIRE(values);
  auto config = take_throttle_config(*values, "throttling.");
  INFO((config ? "" : config.error().message));
  REQUIRE(config);
  REQUIRE(values->empty());
  return *config;
}

// How many requests of `bytes` may start within `seconds` when as many as possible are there at
// once.
unsigned started_within(const std::string& text, int64_t seconds, bool write = false,
                        uint64_t bytes = 4096) {
  ThrottleGroup group(config_of(text));
  unsigned count = 0;
  while (group.reserve(write, bytes, 100 * kSecond) <= (100 + seconds) * kSecond) ++count;
  return count;
}

}  // namespace

TEST_CASE("Requests start at the stated rate, a tenth of a second's share at once") {
  // 10 go at once and one more begins with an empty bucket.
  CHECK(started_within("throttling.iops-total=100", 0) == 11);
  CHECK(started_within("throttling.iops-total=100", 1) == 111);
  CHECK(started_within("throttling.iops-total=100", 10) == 1011);
  CHECK(started_within("throttling.bps-total=409600", 10) == 1011);
  CHECK(started_within("throttling.iops-write=100", 1, true) == 111);
  CHECK(started_within("iops=100", 10) == 1011);
}

TEST_CASE("A limit on writes lets reads alone") {
  ThrottleGroup group(config_of("throttling.iops-write=1"));
  for (int i = 0; i < 100; ++i) CHECK(group.reserve(false, 4096, kSecond) == kSecond);
  group.reserve(true, 4096, kSecond);
  CHECK(group.reserve(true, 4096, kSecond) > kSecond);
}

TEST_CASE("Long requests count as several with iops-size") {
  CHECK(started_within("throttling.iops-total=100,throttling.iops-size=4096", 10, false, 8192) ==
        506);
  CHECK(started_within("throttling.iops-total=100,throttling.iops-size=4096", 10, false, 512) ==
        1011);
}

TEST_CASE("A burst goes first, then the average rate") {
  // max-length seconds of the maximum rate, then the average.
  const std::string burst =
      "throttling.iops-total=100,throttling.iops-total-max=1000,"
      "throttling.iops-total-max-length=2";
  // In the first second: the maximum rate and the tenth of it that goes at once.
  CHECK(started_within(burst, 1) == 1101);
  // Far later: the burst of 2 x 1000 and the average for 100 seconds.
  CHECK(started_within(burst, 100) == Approx(2000 + 100 * 100).margin(2));
}

TEST_CASE("Time without requests fills the budget up again") {
  ThrottleGroup group(config_of("throttling.iops-total=10"));
  for (int i = 0; i < 50; ++i) group.reserve(false, 512, kSecond);
  CHECK(group.reserve(false, 512, 2 * kSecond) > 2 * kSecond);
  CHECK(group.reserve(false, 512, 20 * kSecond) == 20 * kSecond);
}

TEST_CASE("A throttled disk lets what it may through, and all of it when hurried") {
  auto group = std::make_shared<ThrottleGroup>(config_of("throttling.iops-total=20"));
  DiskRig rig(
      std::make_unique<ThrottledDisk>(std::make_unique<NullDisk>(NullDiskOptions{}, false), group),
      GENERATE(WaitKind::kUring, WaitKind::kEpoll));
  uint8_t byte[512] = {};
  std::vector<std::unique_ptr<TestRequest>> requests;
  for (int i = 0; i < 100; ++i) {
    requests.push_back(std::make_unique<TestRequest>(i % 2 ? DiskOp::kWrite : DiskOp::kRead, 0,
                                                     std::vector<iovec>{{byte, sizeof byte}}));
    rig.disk->submit(*requests.back());
  }
  rig.disk->flush_batch();
  const auto done = [&] {
    return std::ranges::count_if(requests, [](const auto& each) { return each->times == 1; });
  };
  // Three at once, and a fourth after 50 ms; 100 would take five seconds.
  while (done() < 4) rig.loop->run_once();
  CHECK(done() < 100);
  CHECK(rig.disk->in_flight() == 100 - static_cast<unsigned>(done()));
  TestRequest flush(DiskOp::kFlush, 0, uint64_t{0});
  CHECK(rig.run(flush) == 0);
  CHECK(done() < 100);
  rig.disk->hurry();
  while (done() < 100) rig.loop->run_once();
  CHECK(rig.disk->in_flight() == 0);
}
