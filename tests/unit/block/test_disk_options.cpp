#include <catch2/catch.hpp>

#include "block/disk.h"

using namespace hv;

namespace {

DiskOptions taken(const std::string& text, const char* option = "-drive",
                  const FindDiskNode& find = {}) {
  auto values = KeyValues::parse(option, text);
  REQUIRE(values);
  auto options = take_disk_options(*values, find);
  INFO((options ? "" : options.error().message));
  REQUIRE(options);
  return *options;
}

std::string refused(const std::string& text, const char* option = "-drive",
                    const FindDiskNode& find = {}) {
  auto values = KeyValues::parse(option, text);
  REQUIRE(values);
  auto options = take_disk_options(*values, find);
  return options ? "" : options.error().message;
}

}  // namespace

TEST_CASE("cache= means what QEMU's manual says") {
  struct Case {
    const char* text;
    bool write_through, direct, no_flush;
  };
  // The table under "cache=" in the manual: cache.writeback, cache.direct, cache.no-flush.
  for (const Case& each :
       {Case{"file=a", false, false, false}, Case{"file=a,cache=writeback", false, false, false},
        Case{"file=a,cache=none", false, true, false},
        Case{"file=a,cache=writethrough", true, false, false},
        Case{"file=a,cache=directsync", true, true, false},
        Case{"file=a,cache=unsafe", false, false, true},
        Case{"file=a,cache=none,cache.direct=off", false, false, false},
        Case{"file=a,cache.writeback=off", true, false, false},
        Case{"file=a,cache.no-flush=on", false, false, true}}) {
    INFO(each.text);
    const DiskOptions options = taken(each.text);
    CHECK(options.write_through == each.write_through);
    CHECK(options.direct == each.direct);
    CHECK(options.no_flush == each.no_flush);
  }
}

TEST_CASE("-drive keys become options and the drive's own stay") {
  auto values = KeyValues::parse(
      "-drive",
      "file=d.img,format=raw,if=none,id=hd0,readonly=on,snapshot=on,aio=threads,discard=unmap,"
      "index=1,media=disk,node-name=n");
  REQUIRE(values);
  auto options = take_disk_options(*values);
  REQUIRE(options);
  CHECK(options->filename == "d.img");
  CHECK(options->format == "raw");
  CHECK(options->read_only);
  CHECK(options->snapshot);
  CHECK_FALSE(options->use_uring);
  CHECK(options->discard_unmap);
  CHECK(options->lock_later);
  CHECK(values->get("id") == "hd0");
  CHECK(values->get("if") == "none");
  CHECK(values->get("index") == "1");
  CHECK(values->get("media") == "disk");
  CHECK(values->get("node-name") == "n");
  CHECK(values->items().size() == 5);
}

TEST_CASE("-drive without format= leaves the probe to open_disk") {
  CHECK(taken("file=d.img").format == "");
  CHECK(taken("file=d.img,driver=raw").format == "raw");
  CHECK(taken("file.filename=d.img,file.locking=off").filename == "d.img");
  CHECK_FALSE(taken("file.filename=d.img,file.locking=off").locking);
}

TEST_CASE("-blockdev nests files in formats, by keys or by node") {
  const auto flat = taken(
      "driver=raw,file.driver=file,file.filename=a,file.aio=threads,node-name=n", "-blockdev");
  CHECK(flat.filename == "a");
  CHECK(flat.format == "raw");
  CHECK_FALSE(flat.use_uring);

  const auto node =
      taken("driver=file,filename=b,node-name=p,cache.direct=on,read-only=on", "-blockdev");
  CHECK(node.filename == "b");
  CHECK(node.format == "raw");
  CHECK(node.direct);
  const FindDiskNode find = [&](const std::string& name) { return name == "p" ? &node : nullptr; };
  const auto format = taken("driver=raw,file=p,node-name=f,discard=unmap", "-blockdev", find);
  CHECK(format.filename == "b");
  CHECK(format.direct);
  CHECK(format.read_only);
  CHECK(format.discard_unmap);
  CHECK_THAT(refused("driver=raw,file=q,node-name=f", "-blockdev", find), Catch::Contains("q"));
}

TEST_CASE("What is not there is refused by name") {
  using Catch::Contains;
  CHECK_THAT(refused("file=a,cache=sometimes"), Contains("sometimes"));
  CHECK_THAT(refused("file=a,aio=native"), Contains("native") && Contains("io_uring"));
  CHECK_THAT(refused("file=a,aio=x"), Contains("aio=x"));
  CHECK_THAT(refused("file=a,discard=x"), Contains("discard=x"));
  CHECK_THAT(refused("file=a,format=qcow2"), Contains("qcow2"));
  CHECK_THAT(refused("file=a,detect-zeroes=unmap"), Contains("detect-zeroes"));
  CHECK(refused("file=a,detect-zeroes=off") == "");
  CHECK_THAT(refused("file=a,readonly=maybe"), Contains("readonly"));
  CHECK_THAT(refused("driver=nbd,host=h", "-blockdev"), Contains("nbd"));
  CHECK_THAT(refused("filename=a", "-blockdev"), Contains("driver"));
}
