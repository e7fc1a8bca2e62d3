#include "hw/virtio/net_filter.h"

#include <catch2/catch.hpp>

namespace hv {

namespace {

constexpr MacAddress kOwn{0x52, 0x54, 0, 0x12, 0x34, 0x56}, kOther{0x52, 0x54, 0, 9, 9, 9},
    kGroup{0x33, 0x33, 0, 0, 0, 1}, kAll{255, 255, 255, 255, 255, 255};

bool takes(const NetFilter& filter, const MacAddress& to, int vlan = -1) {
  std::vector<uint8_t> head(18);
  std::copy(to.begin(), to.end(), head.begin());
  if (vlan >= 0) {
    head[12] = 0x81;
    head[14] = static_cast<uint8_t>(0xe0 | vlan >> 8);  // with a priority
    head[15] = static_cast<uint8_t>(vlan);
  }
  return filter.passes(head, kOwn);
}

}  // namespace

TEST_CASE("Net filter: MAC addresses in text") {
  CHECK(parse_mac("52:54:00:12:34:56") == kOwn);
  CHECK(parse_mac("52-54-00-12-34-56") == kOwn);
  for (const char* bad : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
                          "52:54:00:12:34:5g", "5 :54:00:12:34:56", "525:4:00:12:34:56"})
    CHECK_FALSE(parse_mac(bad));
}

TEST_CASE("Net filter: modes and tables") {
  NetFilter filter;
  for (const auto& to : {kOwn, kOther, kGroup, kAll}) CHECK(takes(filter, to));
  filter.promiscuous = false;
  CHECK(takes(filter, kOwn));
  CHECK(takes(filter, kAll));
  CHECK_FALSE(takes(filter, kOther));
  CHECK_FALSE(takes(filter, kGroup));
  filter.unicast.addresses = {kOther};
  filter.multicast.addresses = {kGroup};
  CHECK(takes(filter, kOther));
  CHECK(takes(filter, kGroup));
  filter.no_unicast = filter.no_multicast = filter.no_broadcast = true;
  for (const auto& to : {kOwn, kOther, kGroup, kAll}) CHECK_FALSE(takes(filter, to));
  NetFilter wide;
  wide.promiscuous = false;
  wide.all_unicast = true;
  CHECK(takes(wide, kOther));
  CHECK_FALSE(takes(wide, kGroup));
  wide.multicast.overflow = true;
  CHECK(takes(wide, kGroup));
}

TEST_CASE("Net filter: VLANs, and frames too short to have one") {
  NetFilter filter;
  filter.promiscuous = false;
  filter.filter_vlans = true;
  CHECK(takes(filter, kOwn));
  CHECK_FALSE(takes(filter, kOwn, 5));
  filter.vlans[5] = true;
  CHECK(takes(filter, kOwn, 5));
  CHECK_FALSE(takes(filter, kOwn, 0x105));
  filter.filter_vlans = false;
  CHECK(takes(filter, kOwn, 0x105));
  CHECK_FALSE(filter.passes({}, kOwn));
  const uint8_t head[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  CHECK(filter.passes(head, kOwn));
}

}  // namespace hv
