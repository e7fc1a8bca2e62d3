// Numbers of objects of a share that spans file systems. /proc and /sys are file systems of their
// own on every Linux, and the roots of both have inode number 1.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <set>

#include "fs9p/qid_map.h"
#include "p9_rig.h"

using namespace hv;
using R = P9Rig;

namespace {

struct RootShare : P9Rig {
  explicit RootShare(MultiDevices policy)
      : P9Rig([&](FsOptions& options) {
          options.path = "/";
          options.read_only = true;
          options.security = SecurityModel::kNone;
          options.multi_devices = policy;
        }) {
    start();
  }
  // The path of the qid that a walk, then that a getattr answers with.
  std::pair<uint64_t, uint64_t> numbers(const std::string& name) {
    auto walked = walk(0, 1, {name});
    REQUIRE(walked->error() == 0);
    auto attributes = send(FrameBytes(kGetattr).u32(1).u64(0x7ff));
    REQUIRE(attributes->type() == 25);
    clunk(1);
    return {walked->u64(9 + 5), attributes->u64(15 + 5)};
  }
};

uint64_t host_inode(const std::string& path) {
  struct stat info{};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info.st_ino;
}

FsOptions with(MultiDevices policy) {
  FsOptions options;
  options.multi_devices = policy;
  return options;
}

}  // namespace

TEST_CASE("multidevs=remap tells objects of different devices apart") {
  REQUIRE(host_inode("/proc") == host_inode("/sys"));
  RootShare rig(MultiDevices::kRemap);
  const auto proc = rig.numbers("proc"), sys = rig.numbers("sys");
  CHECK(proc.first == proc.second);
  CHECK(sys.first == sys.second);
  CHECK(proc.first != sys.first);
  CHECK(rig.numbers("proc") == proc);
}

TEST_CASE("multidevs=warn gives numbers as the host has them") {
  RootShare rig(MultiDevices::kWarn);
  CHECK(rig.numbers("proc").second == host_inode("/proc"));
  CHECK(rig.numbers("sys").second == host_inode("/sys"));
}

TEST_CASE("multidevs=forbid refuses what is on another device, and nothing else") {
  RootShare rig(MultiDevices::kForbid);
  CHECK(rig.walk(0, 1, {"proc"})->error() == ENODEV);
  CHECK(rig.walk(0, 1, {"proc", "self"})->error() == ENODEV);
  CHECK(rig.send(FrameBytes(R::kGetattr).u32(0).u64(0x7ff))->u64(15 + 5) == host_inode("/"));
  // No fid was made.
  CHECK(rig.clunk(1) == EBADF);
}

TEST_CASE("qid paths: inodes of the share's own device keep their numbers") {
  const FsOptions options = with(MultiDevices::kRemap);
  QidMap map(options, 7);
  CHECK(map.path(7, 42) == 42);
  const uint64_t high = 0xffff'0000'0000'002a;
  const auto other = map.path(8, 42), large = map.path(7, high), both = map.path(8, high);
  REQUIRE((other && large && both));
  CHECK(std::set{uint64_t{42}, *other, *large, *both}.size() == 4);
  CHECK(map.path(8, 42) == other);
  CHECK(map.path(7, high) == large);
}

TEST_CASE("qid paths: what a guest can make the table hold is bounded") {
  const FsOptions options = with(MultiDevices::kRemap);
  QidMap map(options, 1);
  uint64_t refused = 0;
  for (dev_t device = 1; device <= 70'000; ++device)
    if (!map.path(device, 5)) ++refused;
  CHECK(refused == 70'000 - 65'536);
  CHECK(map.path(1, 5) == 5);
}
