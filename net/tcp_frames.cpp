#include "net/tcp_frames.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"

namespace hv {

namespace {

constexpr size_t kIp4Header = 20, kIp6Header = 40, kTcpHeader = 20, kUdpHeader = 8;
constexpr uint8_t kProtocolTcp = 6, kProtocolUdp = 17;
constexpr size_t kTcpChecksum = 16;  // in its header
constexpr uint8_t kTcpSyn = 2;

uint16_t load16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void store16(std::span<uint8_t> bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// RFC 1624: the checksum of a packet in which the word `before` has become `after`.
uint16_t updated_checksum(uint16_t checksum, uint16_t before, uint16_t after) {
  uint32_t sum = static_cast<uint16_t>(~checksum) + static_cast<uint16_t>(~before) + after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// What a sender on a link of kLinkMtu offers.
uint16_t full_mss(bool ipv6) {
  return static_cast<uint16_t>(kLinkMtu - kTcpHeader - (ipv6 ? kIp6Header : kIp4Header));
}

}  // namespace

std::optional<TransportLayout> find_transport(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernetHeader + kIp4Header) return std::nullopt;
  const uint16_t type = load16(frame, 12);
  const auto ip = frame.subspan(kEthernetHeader);
  TransportLayout layout{};
  uint8_t protocol = 0;
  size_t ip_header = 0;
  if (type == 0x0800) {
    ip_header = 4u * (ip[0] & 15);
    if (ip[0] >> 4 != 4 || ip_header < kIp4Header || load16(ip, 6) & 0x3fff) return std::nullopt;
    protocol = ip[9];
  } else if (type == 0x86dd) {
    if (ip.size() < kIp6Header) return std::nullopt;
    layout.ipv6 = true;
    ip_header = kIp6Header;
    protocol = ip[6];
  } else {
    return std::nullopt;
  }
  layout.transport = kEthernetHeader + ip_header;
  layout.tcp = protocol == kProtocolTcp;
  if (!layout.tcp && protocol != kProtocolUdp) return std::nullopt;
  if (frame.size() < layout.transport + (layout.tcp ? kTcpHeader : kUdpHeader)) return std::nullopt;
  const size_t header = layout.tcp ? 4u * (frame[layout.transport + 12] >> 4) : kUdpHeader;
  layout.payload = layout.transport + header;
  if ((layout.tcp && header < kTcpHeader) || layout.payload > frame.size()) return std::nullopt;
  return layout;
}

bool strip_urgent(std::span<uint8_t> frame) {
  constexpr uint8_t kTcpUrg = 0x20;
  const auto layout = find_transport(frame);
  if (!layout) {
    const bool ipv4 = frame.size() >= kEthernetHeader + kIp4Header && load16(frame, 12) == 0x0800;
    return !ipv4 || frame[kEthernetHeader + 9] != kProtocolTcp;
  }
  if (!layout->tcp) return true;
  const size_t flags = layout->transport + 12, pointer = layout->transport + 18;
  if (!(frame[flags + 1] & kTcpUrg)) return true;
  const size_t field = layout->transport + kTcpChecksum;
  uint16_t sum = load16(frame, field);
  const uint16_t before = load16(frame, flags);
  frame[flags + 1] &= static_cast<uint8_t>(~kTcpUrg);
  sum = updated_checksum(sum, before, load16(frame, flags));
  sum = updated_checksum(sum, load16(frame, pointer), 0);
  store16(frame, pointer, 0);
  store16(frame, field, sum);
  return true;
}

void raise_mss(std::span<uint8_t> frame, uint16_t segment) {
  const auto layout = find_transport(frame);
  if (!layout || !layout->tcp || !(frame[layout->transport + 13] & kTcpSyn)) return;
  size_t at = layout->transport + kTcpHeader;
  while (at < layout->payload) {
    const uint8_t kind = frame[at];
    if (kind == 0) return;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= layout->payload) return;
    const size_t length = frame[at + 1];
    if (length < 2 || at + length > layout->payload) return;
    if (kind == 2 && length == 4) {
      const uint16_t before = load16(frame, at + 2);
      if (before != full_mss(layout->ipv6)) return;
      store16(frame, at + 2, segment);
      const size_t field = layout->transport + kTcpChecksum;
      uint16_t sum = load16(frame, field);
      // The option may begin at an odd byte; then its bytes count in the other halves of words.
      if (at % 2 == 0)
        sum = updated_checksum(sum, before, segment);
      else
        sum = updated_checksum(sum, __builtin_bswap16(before), __builtin_bswap16(segment));
      store16(frame, field, sum);
      return;
    }
    at += length;
  }
}

bool describe_long_segment(std::span<uint8_t> head, size_t frame_length, VnetHeader& header) {
  const auto layout = find_transport(head);
  if (!layout || !layout->tcp) return false;
  const size_t addresses = kEthernetHeader + (layout->ipv6 ? 8 : 12);
  const auto pseudo = head.subspan(addresses, layout->ipv6 ? 32 : 8);
  const auto length = static_cast<uint32_t>(frame_length - layout->transport);
  const uint32_t rest = __builtin_bswap16(kProtocolTcp) +
                        __builtin_bswap16(static_cast<uint16_t>(length >> 16)) +
                        __builtin_bswap16(static_cast<uint16_t>(length));
  const uint16_t sum = ones_complement_sum(pseudo, rest);
  std::memcpy(&head[layout->transport + kTcpChecksum], &sum, sizeof sum);
  header = {.flags = VnetHeader::kNeedsCsum,
            .gso_type = layout->ipv6 ? VnetHeader::kGsoTcp6 : VnetHeader::kGsoTcp4,
            .header_length = static_cast<uint16_t>(layout->payload),
            .gso_size = full_mss(layout->ipv6),
            .csum_start = static_cast<uint16_t>(layout->transport),
            .csum_offset = kTcpChecksum};
  return true;
}

std::vector<std::vector<uint8_t>> fragment_ipv4(std::span<const uint8_t> frame) {
  constexpr uint16_t kDontFragment = 0x4000, kMoreFragments = 0x2000;
  std::vector<std::vector<uint8_t>> fragments;
  if (frame.size() < kEthernetHeader + kIp4Header || load16(frame, 12) != 0x0800) return fragments;
  const auto ip = frame.subspan(kEthernetHeader);
  const size_t header = 4u * (ip[0] & 15);
  const uint16_t flags = load16(ip, 6);
  if (header < kIp4Header || header > ip.size() || flags & kDontFragment) return fragments;
  const auto data = ip.subspan(header);
  const size_t most = (kLinkMtu - header) / 8 * 8;
  for (size_t at = 0; at < data.size(); at += most) {
    const auto part = data.subspan(at, std::min(most, data.size() - at));
    auto& fragment = fragments.emplace_back(frame.begin(), frame.begin() + kEthernetHeader);
    fragment.insert(fragment.end(), ip.begin(), ip.begin() + static_cast<ptrdiff_t>(header));
    fragment.insert(fragment.end(), part.begin(), part.end());
    const std::span<uint8_t> out = std::span(fragment).subspan(kEthernetHeader);
    const bool more = at + part.size() < data.size() || flags & kMoreFragments;
    store16(out, 2, static_cast<uint16_t>(header + part.size()));
    store16(out, 6, static_cast<uint16_t>((flags & 0x1fff) + at / 8) | (more ? kMoreFragments : 0));
    store16(out, 10, 0);
    const auto sum = static_cast<uint16_t>(~ones_complement_sum(out.first(header)));
    std::memcpy(&out[10], &sum, sizeof sum);
  }
  return fragments;
}

}  // namespace hv
