#include "net/loopback_endpoint.h"

#include "net/filter_dump.h"
#include "net/null_endpoint.h"
#include "net_test.h"

#include <fstream>

namespace hv {

TEST_CASE("Loopback gives frames back in order, with their headers, and stops when it is full") {
  Cable cable;
  cable.plug("loopback,id=n,queues=2");
  CHECK(cable.endpoint->traits().pairs == 2);
  cable.client.room = 3;
  size_t sent = 0;
  while (cable.send(test_frame(60, static_cast<uint8_t>(sent)), {.gso_size = 9}, 1)) ++sent;
  CHECK(sent == 3 + LoopbackEndpoint::kQueue);
  CHECK(cable.client.frames.size() == 3);
  cable.client.room = SIZE_MAX;
  cable.endpoint->receive_ready(1);
  REQUIRE(cable.client.frames.size() == sent);
  for (size_t i = 0; i < sent; ++i) {
    CHECK(cable.client.frames[i].pair == 1);
    CHECK(cable.client.frames[i].header.gso_size == 9);
    CHECK(cable.client.frames[i].bytes == test_frame(60, static_cast<uint8_t>(i)));
  }
  cable.until([&] { return cable.client.ready == 1; });
}

TEST_CASE("Null takes all and gives nothing") {
  Cable cable;
  cable.plug("null,id=n");
  for (int i = 0; i < 1000; ++i) CHECK(cable.send(test_frame(60)));
  cable.settle();
  CHECK(cable.client.frames.empty());
}

namespace {

struct PcapRecord {
  uint32_t kept, length;
  Bytes bytes;
};

// By the file format's description, not by our own structures.
std::vector<PcapRecord> read_pcap(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all((std::istreambuf_iterator<char>(file)), {});
  const auto u32 = [&](size_t at) {
    return static_cast<uint32_t>(all[at] | all[at + 1] << 8 | all[at + 2] << 16 |
                                 uint32_t{all[at + 3]} << 24);
  };
  REQUIRE(all.size() >= 24);
  CHECK(u32(0) == 0xa1b2c3d4);
  CHECK(u32(4) == 0x00040002);
  CHECK(u32(20) == 1);
  std::vector<PcapRecord> records;
  for (size_t at = 24; at < all.size();) {
    REQUIRE(at + 16 <= all.size());
    PcapRecord record{u32(at + 8), u32(at + 12), {}};
    at += 16;
    REQUIRE(at + record.kept <= all.size());
    record.bytes.assign(all.begin() + static_cast<ptrdiff_t>(at),
                        all.begin() + static_cast<ptrdiff_t>(at + record.kept));
    at += record.kept;
    records.push_back(record);
  }
  return records;
}

}  // namespace

TEST_CASE("filter-dump writes both ways, cut to maxlen, each frame once") {
  const std::string path = scratch_path("dump");
  for (const auto& [from, to] : {std::pair{true, true}, {true, false}, {false, true}}) {
    Cable cable;
    auto filter =
        FilterDump::create({.file = path, .max_length = 50, .from_guest = from, .to_guest = to},
                           std::make_unique<LoopbackEndpoint>());
    REQUIRE(filter);
    cable.plug(std::move(*filter));
    cable.client.room = 0;
    size_t sent = 0;
    while (cable.send(test_frame(40 + sent))) ++sent;
    CHECK_FALSE(cable.send(test_frame(40 + sent)));  // refused again
    cable.client.room = SIZE_MAX;
    cable.endpoint->receive_ready(0);
    REQUIRE(cable.send(test_frame(40 + sent)));
    ++sent;
    cable.settle();
    cable.unplug();
    const auto records = read_pcap(path);
    CHECK(records.size() == sent * (int{from} + int{to}));
    CHECK(records[0].bytes == test_frame(40));
    CHECK(records[20].length == 60);
    CHECK(records[20].bytes.size() == 50);
  }
  unlink(path.c_str());
  CHECK_FALSE(FilterDump::create({.file = "/nonexistent/x"}, std::make_unique<NullEndpoint>()));
}

TEST_CASE("filter-dump writes frames of more pieces than one system call takes") {
  const std::string path = scratch_path("dump-pieces");
  const Bytes frame = test_frame(1024);
  {
    Cable cable;
    auto filter = FilterDump::create({.file = path}, std::make_unique<NullEndpoint>());
    REQUIRE(filter);
    cable.plug(std::move(*filter));
    std::vector<iovec> pieces;
    for (const uint8_t& byte : frame) pieces.push_back({const_cast<uint8_t*>(&byte), 1});
    REQUIRE(cable.endpoint->transmit(0, {}, pieces));
    REQUIRE(cable.send(test_frame(60)));
  }
  const auto records = read_pcap(path);
  unlink(path.c_str());
  REQUIRE(records.size() == 2);
  CHECK(records[0].bytes == frame);
  CHECK(records[1].bytes == test_frame(60));
}

}  // namespace hv
