// The Internet checksum (RFC 1071), and offloaded ones completed. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/endpoint.h"

namespace hv {

// The ones' complement sum of 16-bit words as they lie in memory, not yet inverted; `start` is a
// sum to go on from, which covers an even number of bytes. Store it inverted, as it is.
uint16_t ones_complement_sum(std::span<const uint8_t> bytes, uint32_t start = 0);

// Fills in the checksum that kNeedsCsum leaves to the receiver. False when the header points
// outside the frame.
bool complete_checksum(const VnetHeader& header, std::span<uint8_t> frame);

}  // namespace hv
