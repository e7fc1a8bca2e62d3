#include "hw/virtio/net_rx_queue.h"

#include <algorithm>
#include <cassert>

#include "io/iov.h"

namespace hv {

void NetRxQueue::start(VirtQueue& queue, bool mergeable) {
  queue_ = &queue;
  mergeable_ = mergeable;
}

void NetRxQueue::stop() {
  queue_ = nullptr;
  first_ = count_ = bytes_ = 0;
  space_.clear();
  reason_ = nullptr;
}

void NetRxQueue::grow() {
  std::vector<Chain> larger(std::max<size_t>(8, 2 * stock_.size()));
  for (size_t i = 0; i < count_; ++i) larger[i] = std::move(at(i));
  stock_ = std::move(larger);
  first_ = 0;
}

NetRxQueue::Room NetRxQueue::reserve(size_t length) {
  const size_t needed = sizeof(VnetHeader) + length;
  if (reason_) return Room::kBroken;
  while (bytes_ < needed) {
    if (!mergeable_ && count_ > 0) return Room::kNever;
    if (count_ >= queue_->size()) return Room::kNever;
    if (count_ == stock_.size()) grow();
    Chain& chain = at(count_);
    if (!queue_->pop(chain.descriptors)) {
      if (!queue_->broken()) return Room::kMore;
      reason_ = queue_->reason();
      return Room::kBroken;
    }
    chain.size = total_length(chain.descriptors.writable);
    if (chain.size < sizeof(VnetHeader)) {
      reason_ = "a receive buffer shorter than the header";
      return Room::kBroken;
    }
    ++count_;
    bytes_ += chain.size;
  }
  return Room::kEnough;
}

std::span<const iovec> NetRxQueue::space() {
  space_.clear();
  size_t skip = sizeof(VnetHeader);
  const size_t chains = mergeable_ ? count_ : std::min<size_t>(count_, 1);
  for (size_t i = 0; i < chains; ++i) {
    for (iovec piece : at(i).descriptors.writable) {
      const size_t part = std::min(skip, piece.iov_len);
      skip -= part;
      if (part == piece.iov_len) continue;
      piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + part;
      piece.iov_len -= part;
      if (space_.size() == VirtQueue::kMaxChain) return space_;
      space_.push_back(piece);
    }
  }
  return space_;
}

void NetRxQueue::commit(const VnetHeader& header, size_t length) {
  size_t left = sizeof header + length;
  VnetHeader written = header;
  written.buffers = 0;
  for (size_t sum = 0; sum < left; ++written.buffers) sum += at(written.buffers).size;
  copy_to_pieces(at(0).descriptors.writable, 0, &written, sizeof written);
  for (unsigned i = 0; i < written.buffers; ++i) {
    Chain& chain = at(0);
    const size_t part = std::min(left, chain.size);
    queue_->push(chain.descriptors.head, static_cast<uint32_t>(part));
    left -= part;
    bytes_ -= chain.size;
    first_ = (first_ + 1) % stock_.size();
    --count_;
  }
}

void NetRxQueue::put(const VnetHeader& header, std::span<const iovec> frame) {
  size_t chain = 0, piece = 0, at_byte = sizeof header;
  const auto settle = [&] {  // to a byte that exists
    for (;;) {
      const auto& pieces = at(chain).descriptors.writable;
      if (piece == pieces.size()) {
        ++chain;
        piece = 0;
      } else if (at_byte >= pieces[piece].iov_len) {
        at_byte -= pieces[piece++].iov_len;
      } else {
        return;
      }
    }
  };
  size_t length = 0;
  for (const iovec& source : frame) {
    for (size_t done = 0; done < source.iov_len;) {
      settle();
      const iovec& target = at(chain).descriptors.writable[piece];
      const size_t part = std::min(source.iov_len - done, target.iov_len - at_byte);
      copy_to_guest(static_cast<uint8_t*>(target.iov_base) + at_byte,
                    static_cast<const uint8_t*>(source.iov_base) + done, part);
      done += part;
      at_byte += part;
    }
    length += source.iov_len;
  }
  commit(header, length);
}

}  // namespace hv
