#include <catch2/catch.hpp>

#include "app/options.h"

namespace hv {
namespace {

Result<Options> parse(const std::vector<std::string>& arguments) {
  return parse_options("hartvisor", arguments);
}

// "driver drive serial" of each device, in order.
std::vector<std::string> devices(const Options& options) {
  std::vector<std::string> list;
  for (const KeyValues& device : options.machine.devices)
    list.push_back(fmt::format("{} {} {}", device.get("driver").value_or("?"),
                               device.get("drive").value_or("-"),
                               device.get("serial").value_or("-")));
  return list;
}
using List = std::vector<std::string>;

std::string error_of(const std::vector<std::string>& arguments) {
  const auto options = parse(arguments);
  return options ? "accepted" : options.error().message;
}

}  // namespace

TEST_CASE("Drives: one that nothing names connects itself") {
  const auto options =
      parse({"-drive", "file=a.img,format=raw", "-drive", "file=b.img,if=virtio,serial=B", "-drive",
             "file=c.img,if=none,id=c"});
  REQUIRE(options);
  CHECK(devices(*options) == List{"virtio-blk-device virtio0 -", "virtio-blk-device virtio1 B"});
  REQUIRE(options->drives.size() == 3);
  CHECK(options->drives[0].disk.filename == "a.img");
  CHECK(options->drives[2].id == "c");
}

TEST_CASE("Drives: without if=, a -device that names the drive has it") {
  const auto options = parse(
      {"-drive", "file=rootfs.ext2,format=raw,id=hd0", "-device", "virtio-blk-device,drive=hd0"});
  REQUIRE(options);
  CHECK(devices(*options) == List{"virtio-blk-device hd0 -"});
  CHECK(error_of({"-drive", "file=a,if=virtio,id=hd0", "-device", "virtio-blk-device,drive=hd0"})
            .find("if=none") != std::string::npos);
}

TEST_CASE("Drives: index orders those of one interface") {
  const auto options =
      parse({"-drive", "file=a,if=virtio,index=1", "-drive", "file=b,if=virtio,index=0"});
  REQUIRE(options);
  CHECK(devices(*options) == List{"virtio-blk-device virtio0 -", "virtio-blk-device virtio1 -"});
  CHECK(options->drives[1].disk.filename == "b");
  CHECK(error_of({"-drive", "file=a,index=1", "-drive", "file=b,index=1"}).find("index=1") !=
        std::string::npos);
}

TEST_CASE("Drives: -snapshot holds for every -drive that does not say otherwise") {
  const auto options =
      parse({"-drive", "file=a,if=virtio", "-drive", "file=b,snapshot=off", "-snapshot"});
  REQUIRE(options);
  CHECK(options->drives[0].disk.snapshot);
  CHECK_FALSE(options->drives[1].disk.snapshot);
}

TEST_CASE("Drives: bad keys") {
  CHECK(error_of({"-drive", "if=virtio"}).find("file=") != std::string::npos);
  CHECK(error_of({"-drive", "file=a,if=ide"}).find("if=ide") != std::string::npos);
  CHECK(error_of({"-drive", "file=a,bar=1"}).find("bar") != std::string::npos);
  CHECK(error_of({"-drive", "file=a,cache=fast"}).find("cache=fast") != std::string::npos);
  CHECK(error_of({"-drive", "file=a,if=none,id=x,serial=1"}).find("serial=") != std::string::npos);
}

TEST_CASE("Block nodes: in one piece, by reference, and as JSON") {
  const auto one =
      parse({"-blockdev", "driver=raw,node-name=d,read-only=on,file.driver=file,file.filename=f"});
  REQUIRE(one);
  CHECK(one->drives.back().id == "d");
  CHECK(one->drives.back().disk.filename == "f");
  CHECK(one->drives.back().disk.read_only);

  const auto two = parse(
      {"-blockdev",
       R"({"driver":"file","filename":"f","aio":"threads","node-name":"s","cache":{"direct":true}})",
       "-blockdev", R"({"driver":"raw","node-name":"d","file":"s"})"});
  REQUIRE(two);
  CHECK(two->drives.back().disk.filename == "f");
  CHECK_FALSE(two->drives.back().disk.use_uring);
  CHECK(two->drives.back().disk.direct);

  CHECK(error_of({"-blockdev", "driver=file,filename=f"}).find("node-name") != std::string::npos);
  CHECK(error_of({"-blockdev", "driver=raw,node-name=d,file=s"}).find("'accepted'") ==
        std::string::npos);
  CHECK(error_of({"-blockdev", "driver=qcow2,node-name=d,file.filename=f"}) != "accepted");
}

}  // namespace hv
