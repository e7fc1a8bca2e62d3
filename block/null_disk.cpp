#include "block/null_disk.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>

#include "io/clock.h"
#include "io/guest_memory.h"

namespace hv {

namespace {

void clear_guest(std::span<const iovec> pieces) {
  static constexpr std::array<uint8_t, 4096> zeroes{};
  for (const iovec& piece : pieces) {
    auto* at = static_cast<uint8_t*>(piece.iov_base);
    for (size_t left = piece.iov_len; left > 0;) {
      const size_t part = std::min(left, zeroes.size());
      copy_to_guest(at, zeroes.data(), part);
      at += part;
      left -= part;
    }
  }
}

}  // namespace

NullDisk::NullDisk(const NullDiskOptions& null, bool read_only)
    : null_(null), read_only_(read_only) {}

NullDisk::~NullDisk() {
  assert(in_flight_ == 0 && !loop_);
}

std::unique_ptr<Disk> NullDisk::share() {
  return std::make_unique<NullDisk>(null_, read_only_);
}

void NullDisk::attach(EventLoop& loop) {
  assert(!loop_);
  loop_ = &loop;
}

void NullDisk::detach() {
  if (!loop_) return;
  loop_->assert_here();
  while (in_flight_ > 0) loop_->run_once();
  finish_soon_.reset();
  finish_later_.reset();
  loop_ = nullptr;
}

void NullDisk::submit(DiskRequest& request) {
  loop_->assert_here();
  if (!finish_soon_) {
    finish_soon_ = loop_->make_bottom_half([this] { finish_due(); });
    finish_later_ = loop_->make_timer([this] { finish_due(); });
  }
  const bool moves_data = request.op != DiskOp::kFlush;
  int error = 0;
  if (moves_data && (request.offset > null_.size || request.length > null_.size - request.offset))
    error = EINVAL;
  else if (moves_data && request.op != DiskOp::kRead && read_only_)
    error = EROFS;
  else if (request.op == DiskOp::kRead && null_.read_zeroes)
    clear_guest(request.iov);
  ++in_flight_;
  if (null_.latency_ns == 0) {
    waiting_.push_back({&request, error, 0});
    finish_soon_->schedule();
    return;
  }
  waiting_.push_back({&request, error, monotonic_now_ns() + null_.latency_ns});
  if (!finish_later_->armed()) finish_later_->arm_at(waiting_.front().due_ns);
}

void NullDisk::finish_due() {
  const int64_t now_ns = null_.latency_ns == 0 ? 0 : monotonic_now_ns();
  // Requests that done() submits are for the next round.
  for (size_t left = waiting_.size(); left > 0 && waiting_.front().due_ns <= now_ns; --left) {
    const Waiting next = waiting_.front();
    waiting_.pop_front();
    --in_flight_;
    next.request->done(next.error);
  }
  if (!waiting_.empty() && null_.latency_ns != 0) finish_later_->arm_at(waiting_.front().due_ns);
}

}  // namespace hv
