// Scatter lists of a chain: lengths, and headers taken off their ends. Any thread.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/guest_memory.h"

namespace hv {

inline uint64_t total_length(std::span<const iovec> pieces) {
  uint64_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  return total;
}

// Copies up to `size` bytes out of guest buffers, from `offset` on; returns how many there were.
size_t copy_from_pieces(std::span<const iovec> pieces, uint64_t offset, void* to, size_t size);
// Copies up to `size` bytes into guest buffers, from `offset` on; returns how many had room.
size_t copy_to_pieces(std::span<const iovec> pieces, uint64_t offset, const void* from,
                      size_t size);

// Copies the first `size` bytes out of the buffers and takes them off; false when there are fewer.
bool take_front(std::vector<iovec>& pieces, void* to, size_t size);
// Takes the last byte off; nullptr when there is none.
uint8_t* take_last(std::vector<iovec>& pieces);

}  // namespace hv
