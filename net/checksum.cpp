#include "net/checksum.h"

#include <cstring>

namespace hv {

uint16_t ones_complement_sum(std::span<const uint8_t> bytes, uint32_t start) {
  // Sums of 32-bit words in 64-bit lanes cannot overflow here and are congruent modulo 2^16 - 1.
  uint64_t lanes[4] = {start, 0, 0, 0};
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 16; left -= 16, at += 16) {
    uint32_t words[4];
    std::memcpy(words, at, sizeof words);
    for (int i = 0; i < 4; ++i) lanes[i] += words[i];
  }
  uint64_t sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; left >= 2; left -= 2, at += 2) {
    uint16_t word;
    std::memcpy(&word, at, sizeof word);
    sum += word;
  }
  if (left > 0) {
    const uint8_t last[2] = {*at, 0};
    uint16_t word;
    std::memcpy(&word, last, sizeof word);
    sum += word;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

bool complete_checksum(const VnetHeader& header, std::span<uint8_t> frame) {
  const size_t field = size_t{header.csum_start} + header.csum_offset;
  if (field + 2 > frame.size()) return false;
  // The field holds the pseudo header's sum and is part of what is summed.
  uint16_t sum = static_cast<uint16_t>(~ones_complement_sum(frame.subspan(header.csum_start)));
  if (sum == 0) sum = 0xffff;  // for UDP 0 means none; for TCP both are the same
  std::memcpy(&frame[field], &sum, sizeof sum);
  return true;
}

}  // namespace hv
