#include "block/detect_zeroes_disk.h"

#include <algorithm>
#include <array>

#include "io/guest_memory.h"

namespace hv {

namespace {

bool is_zero(const iovec& piece) {
  std::array<uint64_t, 64> words;
  const auto* at = static_cast<const uint8_t*>(piece.iov_base);
  for (size_t left = piece.iov_len; left > 0;) {
    const size_t part = std::min(left, sizeof words);
    words.fill(0);
    copy_from_guest(words.data(), at, part);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any) return false;
    at += part;
    left -= part;
  }
  return true;
}

}  // namespace

void DetectZeroesDisk::submit(DiskRequest& request) {
  if (request.op == DiskOp::kWrite && request.length > 0 &&
      std::ranges::all_of(request.iov, is_zero)) {
    request.op = DiskOp::kWriteZeroes;
    request.may_unmap = unmap_;
  }
  below().submit(request);
}

std::unique_ptr<Disk> DetectZeroesDisk::share() {
  auto other = below().share();
  return other ? std::make_unique<DetectZeroesDisk>(std::move(other), unmap_) : nullptr;
}

}  // namespace hv
