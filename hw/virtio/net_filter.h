// Which frames a card takes in: modes, addresses and VLANs that its driver set (virtio 1.2, section
// 5.1.6.5).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hv {

using MacAddress = std::array<uint8_t, 6>;

// "52:54:00:12:34:56"; nullopt for anything else.
std::optional<MacAddress> parse_mac(std::string_view text);

// Loop thread. After power-on it is promiscuous, as QEMU's, and with `vlans` off takes every VLAN.
class NetFilter {
 public:
  // More addresses of one kind than that make it take all of that kind.
  static constexpr size_t kMaxAddresses = 64;
  // What passes() looks at: both addresses, the type, and a VLAN tag.
  static constexpr size_t kLookedAt = 18;

  struct Table {
    std::vector<MacAddress> addresses;
    bool overflow = false;
  };

  bool promiscuous = true;
  bool all_multicast = false, all_unicast = false;
  bool no_multicast = false, no_unicast = false, no_broadcast = false;
  Table unicast, multicast;
  bool filter_vlans = false;
  std::bitset<4096> vlans;

  bool passes(std::span<const uint8_t> head, const MacAddress& own) const;
};

}  // namespace hv
