// Frames in pieces and in one. Any thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "io/guest_memory.h"

namespace hv {

inline size_t frame_length(std::span<const iovec> pieces) {
  size_t length = 0;
  for (const iovec& piece : pieces) length += piece.iov_len;
  return length;
}

// Copies at most `size` bytes out of pieces that may lie in guest RAM; returns how many.
inline size_t copy_frame(std::span<const iovec> pieces, uint8_t* to, size_t size) {
  size_t done = 0;
  for (const iovec& piece : pieces) {
    const size_t part = piece.iov_len < size - done ? piece.iov_len : size - done;
    copy_from_guest(to + done, piece.iov_base, part);
    done += part;
    if (done == size) break;
  }
  return done;
}

inline std::vector<uint8_t> gather_frame(std::span<const iovec> pieces) {
  std::vector<uint8_t> bytes(frame_length(pieces));
  copy_frame(pieces, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace hv
