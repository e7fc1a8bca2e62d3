// TCP segments longer than the guest's link, for a stack without one: what libslirp sends as one
// segment of tens of KiB reaches the guest as one frame with a segmentation header. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/endpoint.h"

namespace hv {

// The MTU of the link that the guest thinks it has.
inline constexpr size_t kLinkMtu = 1500;

// Where the parts of a frame lie, if it is TCP or UDP over IPv4 (not a fragment) or over IPv6
// without extension headers.
struct TransportLayout {
  bool ipv6;
  bool tcp;
  size_t transport;  // offset of the TCP or UDP header
  size_t payload;    // offset of what is behind it
};
// nullopt for anything else or a frame that is cut short.
std::optional<TransportLayout> find_transport(std::span<const uint8_t> frame);

// Takes the urgent pointer out of a TCP segment, the data stays: libslirp before 4.9.2 trusts it
// (CVE-2026-9539). False for a fragment of a TCP segment, which could hide one: to be dropped.
bool strip_urgent(std::span<uint8_t> frame);

// In a SYN whose sender can take segments of its link's full MTU, offers segments of up to
// `segment` bytes instead. The checksum is kept right. Other frames, and SYNs of connections over a
// narrower link, stay as they are.
void raise_mss(std::span<uint8_t> frame, uint16_t segment);

// For a frame with a right checksum that is longer than the link's MTU: the header that makes the
// guest take it as many, and the checksum field made what that header promises. False when it is
// not TCP.
bool describe_long_segment(std::span<uint8_t> head, size_t frame_length, VnetHeader& header);

// Cuts an IPv4 packet that is longer than the link's MTU into fragments (RFC 791, section 3.2),
// each a frame. None when it must not be cut, or is not IPv4.
std::vector<std::vector<uint8_t>> fragment_ipv4(std::span<const uint8_t> frame);

}  // namespace hv
