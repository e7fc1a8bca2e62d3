#include "hw/virtio/net_filter.h"

#include <algorithm>
#include <charconv>

namespace hv {

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    const std::string_view part = text.substr(3 * i, 2);
    const auto [end, error] = std::from_chars(part.data(), part.data() + 2, mac[i], 16);
    if (error != std::errc{} || end != part.data() + 2) return std::nullopt;
    if (i < 5 && text[3 * i + 2] != ':' && text[3 * i + 2] != '-') return std::nullopt;
  }
  return mac;
}

bool NetFilter::passes(std::span<const uint8_t> head, const MacAddress& own) const {
  if (promiscuous) return true;
  if (filter_vlans && head.size() >= kLookedAt && head[12] == 0x81 && head[13] == 0) {
    const unsigned id = (head[14] << 8 | head[15]) & 0xfff;
    if (!vlans[id]) return false;
  }
  MacAddress to;
  if (head.size() < to.size()) return false;
  std::copy_n(head.begin(), to.size(), to.begin());
  const auto listed = [&](const Table& table) {
    return table.overflow || std::ranges::find(table.addresses, to) != table.addresses.end();
  };
  if (std::ranges::all_of(to, [](uint8_t byte) { return byte == 0xff; })) return !no_broadcast;
  if (to[0] & 1) return !no_multicast && (all_multicast || listed(multicast));
  return !no_unicast && (all_unicast || to == own || listed(unicast));
}

}  // namespace hv
