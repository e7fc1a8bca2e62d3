#include "block/raw_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include "io/guest_memory.h"

namespace hv {

// One step of a bounced transfer, and of writing zeroes by hand.
static constexpr size_t kBounceSize = 1 << 20;
static constexpr size_t kZeroSize = 64 << 10;
alignas(4096) static constinit std::array<uint8_t, kZeroSize> zeroes{};

struct alignas(4096) BounceBuffer {
  std::array<uint8_t, kBounceSize> bytes;
};

class RawDisk::Op final : public FileOp {
 public:
  explicit Op(RawDisk& disk) : disk_(disk) {}

  void begin(DiskRequest& request);
  void finished(int result) override;

 private:
  enum class Step { kTransfer, kFallocate, kWriteZeroes, kFlush };

  void issue() { disk_.engine_->start(*this); }
  void transfer();  // the next piece of a read, write or write of zeroes
  void transferred(uint64_t bytes);
  void fallocated(int error);
  void flush_or_finish();
  void copy_bounced(uint64_t bytes, bool to_guest);
  void end(int error);

  RawDisk& disk_;
  DiskRequest* request_ = nullptr;
  Step step_ = Step::kTransfer;
  bool bounced_ = false;
  uint64_t left_ = 0;          // bytes of the request to go
  std::vector<iovec> pieces_;  // what is left of the request's buffers, from first_ on
  size_t first_ = 0;
  std::vector<iovec> own_;  // bounce buffer or zeroes
  std::unique_ptr<BounceBuffer> bounce_;
};

RawDisk::RawDisk(ImageFile file, const DiskOptions& options, MakeEngine make_engine)
    : file_(std::move(file)), options_(options), make_engine_(std::move(make_engine)) {}

RawDisk::~RawDisk() {
  assert(in_flight_ == 0 && !engine_);
}

void RawDisk::attach(EventLoop& loop) {
  assert(!loop_);
  loop_ = &loop;
}

void RawDisk::detach() {
  if (!loop_) return;
  loop_->assert_here();
  while (in_flight_ > 0) loop_->run_once();
  engine_.reset();
  finish_soon_.reset();
  loop_ = nullptr;
}

Result<> RawDisk::lock(bool share_rw) {
  if (!options_.locking) return {};
  return lock_image(file_, options_.read_only, share_rw);
}

// The duplicate is the same open file description, so the lock is both's.
std::unique_ptr<Disk> RawDisk::share() {
  ImageFile file = {UniqueFd(fcntl(file_.fd.get(), F_DUPFD_CLOEXEC, 0)), file_.name, file_.size,
                    file_.block_size, file_.memory_align};
  if (!file.fd.valid()) return nullptr;
  return std::make_unique<RawDisk>(std::move(file), options_, make_engine_);
}

void RawDisk::flush_batch() {
  if (engine_) engine_->flush_batch();
}

int RawDisk::check(const DiskRequest& request) const {
  if (request.op == DiskOp::kFlush) return 0;
  if (request.op != DiskOp::kRead && options_.read_only) return EROFS;
  if (request.offset > file_.size || request.length > file_.size - request.offset) return EINVAL;
  if (request.offset % file_.block_size != 0 || request.length % file_.block_size != 0)
    return EINVAL;
  return 0;
}

bool RawDisk::needs_bounce(const DiskRequest& request) const {
  if (request.iov.size() > IOV_MAX) return true;
  if (file_.memory_align == 1) return false;
  return std::ranges::any_of(request.iov, [this](const iovec& piece) {
    return reinterpret_cast<uintptr_t>(piece.iov_base) % file_.memory_align != 0 ||
           piece.iov_len % file_.block_size != 0;
  });
}

void RawDisk::submit(DiskRequest& request) {
  loop_->assert_here();
  if (!engine_) {
    engine_ = make_engine_                               ? make_engine_(*loop_)
              : options_.use_uring && loop_->has_uring() ? make_uring_engine(*loop_)
                                                         : make_thread_engine(*loop_);
    finish_soon_ = loop_->make_bottom_half([this] { run_finished(); });
  }
  ++in_flight_;
  if (const int error = check(request)) return finish_later(request, error);
  const bool nothing_to_do = request.op == DiskOp::kFlush ? options_.no_flush || options_.read_only
                             : request.op == DiskOp::kDiscard
                                 ? !options_.discard_unmap || request.length == 0
                                 : request.length == 0;
  if (nothing_to_do) return finish_later(request, 0);
  if (free_ops_.empty()) {
    ops_.push_back(std::make_unique<Op>(*this));
    free_ops_.push_back(ops_.back().get());
  }
  Op& op = *free_ops_.back();
  free_ops_.pop_back();
  op.fd = file_.fd.get();
  op.begin(request);
}

void RawDisk::finish_later(DiskRequest& request, int error) {
  finished_.push_back({&request, error});
  finish_soon_->schedule();
}

void RawDisk::run_finished() {
  const auto finished = std::exchange(finished_, {});
  for (const Finished& each : finished) {
    --in_flight_;
    each.request->done(each.error);
  }
}

void RawDisk::Op::begin(DiskRequest& request) {
  request_ = &request;
  offset = request.offset;
  left_ = request.length;
  switch (request.op) {
    case DiskOp::kRead:
    case DiskOp::kWrite:
      kind = request.op == DiskOp::kRead ? Kind::kRead : Kind::kWrite;
      step_ = Step::kTransfer;
      bounced_ = disk_.needs_bounce(request);
      pieces_.assign(request.iov.begin(), request.iov.end());
      first_ = 0;
      return transfer();
    case DiskOp::kFlush:
      kind = Kind::kSync;
      step_ = Step::kFlush;
      return issue();
    case DiskOp::kDiscard:
      kind = Kind::kPunch;
      step_ = Step::kFallocate;
      length = left_;
      return issue();
    case DiskOp::kWriteZeroes:
      kind = request.may_unmap && disk_.options_.discard_unmap ? Kind::kPunch : Kind::kZero;
      step_ = Step::kFallocate;
      length = left_;
      return issue();
  }
}

void RawDisk::Op::transfer() {
  if (step_ == Step::kWriteZeroes) {
    own_.clear();
    for (uint64_t at = 0; at < left_ && own_.size() < 16; at += kZeroSize)
      own_.push_back(
          {zeroes.data(), static_cast<size_t>(std::min<uint64_t>(kZeroSize, left_ - at))});
    iov = own_;
  } else if (bounced_) {
    if (!bounce_) bounce_ = std::make_unique_for_overwrite<BounceBuffer>();
    const auto size = static_cast<size_t>(std::min<uint64_t>(kBounceSize, left_));
    if (kind == Kind::kWrite) copy_bounced(size, false);
    own_.assign(1, {bounce_->bytes.data(), size});
    iov = own_;
  } else {
    iov = std::span<const iovec>(pieces_).subspan(first_);
  }
  issue();
}

// Copies between the bounce buffer and the next `bytes` of the request's buffers.
void RawDisk::Op::copy_bounced(uint64_t bytes, bool to_guest) {
  uint8_t* own = bounce_->bytes.data();
  for (size_t i = first_; bytes > 0; ++i) {
    const size_t size = std::min<uint64_t>(pieces_[i].iov_len, bytes);
    if (to_guest)
      copy_to_guest(pieces_[i].iov_base, own, size);
    else
      copy_from_guest(own, pieces_[i].iov_base, size);
    own += size;
    bytes -= size;
  }
}

void RawDisk::Op::transferred(uint64_t bytes) {
  if (step_ == Step::kTransfer) {
    if (bounced_ && kind == Kind::kRead) copy_bounced(bytes, true);
    for (uint64_t skip = bytes; skip > 0;) {
      iovec& piece = pieces_[first_];
      const size_t size = std::min<uint64_t>(piece.iov_len, skip);
      piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + size;
      piece.iov_len -= size;
      skip -= size;
      if (piece.iov_len == 0) ++first_;
    }
  }
  offset += bytes;
  left_ -= bytes;
}

void RawDisk::Op::finished(int result) {
  if (result == -EINTR || result == -EAGAIN) return issue();
  switch (step_) {
    case Step::kTransfer:
    case Step::kWriteZeroes:
      if (result < 0) return end(-result);
      // A file that has become shorter, or a full device.
      if (result == 0) return end(kind == Kind::kRead ? EIO : ENOSPC);
      transferred(static_cast<uint64_t>(result));
      return left_ > 0 ? transfer() : flush_or_finish();
    case Step::kFallocate:
      return fallocated(-result);
    case Step::kFlush:
      return end(-result);
  }
}

void RawDisk::Op::fallocated(int error) {
  const bool unsupported = error == EOPNOTSUPP || error == ENOTTY || error == ENOSYS;
  if (error == 0) return flush_or_finish();
  // A discard is advice.
  if (request_->op == DiskOp::kDiscard) return end(unsupported ? 0 : error);
  if (!unsupported && error != EINVAL) return end(error);
  kind = Kind::kWrite;
  step_ = Step::kWriteZeroes;
  transfer();
}

void RawDisk::Op::flush_or_finish() {
  const bool flush =
      request_->op != DiskOp::kRead && disk_.options_.write_through && !disk_.options_.no_flush;
  if (!flush) return end(0);
  kind = Kind::kSync;
  step_ = Step::kFlush;
  issue();
}

// This Op may be in use again when done() returns.
void RawDisk::Op::end(int error) {
  DiskRequest& request = *std::exchange(request_, nullptr);
  disk_.free_ops_.push_back(this);
  --disk_.in_flight_;
  request.done(error);
}

}  // namespace hv
