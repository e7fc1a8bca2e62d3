#include "io/iov.h"

namespace hv {

namespace {

// Calls copy(at, done, length) for each part of [offset, offset + size) that the pieces have.
template <class Copy>
size_t for_each_part(std::span<const iovec> pieces, uint64_t offset, size_t size, Copy copy) {
  size_t done = 0;
  for (const iovec& piece : pieces) {
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    const size_t part = std::min<size_t>(piece.iov_len - offset, size - done);
    copy(static_cast<uint8_t*>(piece.iov_base) + offset, done, part);
    done += part;
    offset = 0;
    if (done == size) break;
  }
  return done;
}

}  // namespace

size_t copy_from_pieces(std::span<const iovec> pieces, uint64_t offset, void* to, size_t size) {
  return for_each_part(pieces, offset, size, [to](uint8_t* at, size_t done, size_t length) {
    copy_from_guest(static_cast<uint8_t*>(to) + done, at, length);
  });
}

size_t copy_to_pieces(std::span<const iovec> pieces, uint64_t offset, const void* from,
                      size_t size) {
  return for_each_part(pieces, offset, size, [from](uint8_t* at, size_t done, size_t length) {
    copy_to_guest(at, static_cast<const uint8_t*>(from) + done, length);
  });
}

bool take_front(std::vector<iovec>& pieces, void* to, size_t size) {
  if (copy_from_pieces(pieces, 0, to, size) != size) return false;
  size_t emptied = 0;
  for (iovec& piece : pieces) {
    const size_t part = std::min(piece.iov_len, size);
    piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + part;
    piece.iov_len -= part;
    size -= part;
    if (piece.iov_len == 0) ++emptied;
    if (size == 0) break;
  }
  pieces.erase(pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(emptied));
  return true;
}

uint8_t* take_last(std::vector<iovec>& pieces) {
  if (pieces.empty()) return nullptr;
  iovec& last = pieces.back();
  --last.iov_len;
  uint8_t* byte = static_cast<uint8_t*>(last.iov_base) + last.iov_len;
  if (last.iov_len == 0) pieces.pop_back();
  return byte;
}

}  // namespace hv
