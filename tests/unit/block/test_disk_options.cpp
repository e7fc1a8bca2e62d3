#include <catch2/catch.hpp>

#include <map>

#include "block/disk.h"
#include "block/throttle.h"

using namespace hv;

namespace {

DiskOptions taken(const std::string& text, const char* option = "-drive",
                  const DiskLookup& find = {}) {
  auto values = KeyValues::parse(option, text);
  REQUIRE(values);
  auto options = take_disk_options(*values, find);
  INFO((options ? "" : options.error().message));
  REQUIRE(options);
  return *options;
}

std::string refused(const std::string& text, const char* option = "-drive",
                    const DiskLookup& find = {}) {
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
  DiskLookup find;
  find.node = [&](const std::string& name) { return name == "p" ? &node : nullptr; };
  const auto format = taken("driver=raw,file=p,node-name=f,discard=unmap", "-blockdev", find);
  CHECK(format.filename == "b");
  CHECK(format.direct);
  CHECK(format.read_only);
  CHECK(format.discard_unmap);
  CHECK_THAT(refused("driver=raw,file=q,node-name=f", "-blockdev", find), Catch::Contains("q"));
}

TEST_CASE("null-co, detect-zeroes and throttling are read from both options") {
  const auto null =
      taken("driver=null-co,node-name=n,size=1M,latency-ns=5000,read-zeroes=on", "-blockdev");
  REQUIRE(null.null);
  CHECK(null.null->size == 1 << 20);
  CHECK(null.null->latency_ns == 5000);
  CHECK(null.null->read_zeroes);
  CHECK(taken("file=null-co://,format=raw").null);
  CHECK(taken("driver=raw,node-name=n,file.driver=null-co,file.size=4k", "-blockdev").null->size ==
        4096);
  using enum DiskOptions::DetectZeroes;
  CHECK(taken("file=a").detect_zeroes == kOff);
  CHECK(taken("file=a,detect-zeroes=on").detect_zeroes == kOn);
  CHECK(taken("file=a,detect-zeroes=unmap,discard=unmap").detect_zeroes == kUnmap);
  CHECK(!taken("file=a").throttle);
  CHECK(taken("file=a,throttling.iops-total=100").throttle);
  CHECK(taken("file=a,bps=1000,iops_rd=5,iops_rd_max=7").throttle);
}

TEST_CASE("Drives of one throttling.group have one budget") {
  std::map<std::string, std::shared_ptr<ThrottleGroup>> groups;
  DiskLookup lookup;
  lookup.throttle_group = [&](const std::string& name, const ThrottleConfig* config) {
    if (!groups[name] && config) groups[name] = std::make_shared<ThrottleGroup>(*config);
    return groups[name];
  };
  const auto a = taken("file=a,throttling.iops-total=9,throttling.group=g", "-drive", lookup);
  const auto b = taken("file=b,throttling.group=g", "-drive", lookup);
  CHECK(a.throttle == b.throttle);
  CHECK_THAT(refused("driver=throttle,file=x,throttle-group=none", "-blockdev", lookup),
             Catch::Contains("file=NODE"));
}

TEST_CASE("What is not there is refused by name") {
  using Catch::Contains;
  CHECK_THAT(refused("file=a,cache=sometimes"), Contains("sometimes"));
  CHECK_THAT(refused("file=a,aio=native"), Contains("native") && Contains("io_uring"));
  CHECK_THAT(refused("file=a,aio=x"), Contains("aio=x"));
  CHECK_THAT(refused("file=a,discard=x"), Contains("discard=x"));
  CHECK_THAT(refused("file=a,format=qcow2"), Contains("qcow2"));
  CHECK_THAT(refused("file=a,detect-zeroes=unmap"), Contains("detect-zeroes"));
  CHECK_THAT(refused("file=a,detect-zeroes=maybe"), Contains("detect-zeroes=maybe"));
  CHECK(refused("file=a,detect-zeroes=off") == "");
  CHECK_THAT(refused("driver=null-co,size=5", "-blockdev"), Contains("multiple of 512"));
  CHECK_THAT(refused("file=a,throttling.iops-total=1,throttling.iops-read=1"),
             Contains("excludes"));
  CHECK_THAT(refused("file=a,throttling.bps-read-max=1"), Contains("needs throttling.bps-read"));
  CHECK_THAT(refused("file=a,throttling.bps-read=10,throttling.bps-read-max=1"), Contains("below"));
  CHECK_THAT(refused("file=a,throttling.bps-read=10,throttling.bps-read-max-length=2"),
             Contains("max-length"));
  CHECK_THAT(refused("file=a,throttling.iops-total=-5"), Contains("iops-total"));
  CHECK_THAT(refused("file=a,readonly=maybe"), Contains("readonly"));
  CHECK_THAT(refused("driver=nbd,host=h", "-blockdev"), Contains("nbd"));
  CHECK_THAT(refused("filename=a", "-blockdev"), Contains("driver"));
}
