#include "block/overlay_disk.h"

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace hv {

UnitMap::UnitMap(uint64_t units) : pages_((units + kPageUnits - 1) / kPageUnits) {}

void UnitMap::mark(uint64_t first, uint64_t count) {
  for (uint64_t unit = first, end = first + count; unit < end;) {
    auto& page = pages_[unit / kPageUnits];
    if (!page) page = std::make_unique<uint64_t[]>(kPageUnits / 64);
    const uint64_t bits = std::min(64 - unit % 64, end - unit);
    const uint64_t mask = bits == 64 ? ~0ull : ((1ull << bits) - 1) << (unit % 64);
    page[unit % kPageUnits / 64] |= mask;
    unit += bits;
  }
}

bool UnitMap::marked(uint64_t unit) const {
  const auto& page = pages_[unit / kPageUnits];
  return page && (page[unit % kPageUnits / 64] >> (unit % 64) & 1);
}

uint64_t UnitMap::run(uint64_t first, uint64_t limit) const {
  const bool value = marked(first);
  uint64_t count = 1;
  while (count < limit && marked(first + count) == value) ++count;
  return count;
}

// The part of a request that goes to one of the two disks.
class OverlayDisk::Part final : public DiskRequest {
 public:
  explicit Part(Op& owner) : owner_(owner) {}
  void done(int error) override;

  std::vector<iovec> pieces;

 private:
  Op& owner_;
};

// A request split into parts; deletes itself when the last is done.
class OverlayDisk::Op {
 public:
  Op(OverlayDisk& disk, DiskRequest& request) : disk_(disk), request_(request) {}

  void begin();
  void part_done(int error);

 private:
  void add_part(Disk& disk, DiskOp op, uint64_t offset, uint64_t length);
  void start();

  OverlayDisk& disk_;
  DiskRequest& request_;
  struct Target {
    Disk* disk;
    std::unique_ptr<Part> part;
  };
  std::vector<Target> parts_;
  size_t pending_ = 0;
  int error_ = 0;
};

void OverlayDisk::Part::done(int error) {
  owner_.part_done(error);
}

void OverlayDisk::Op::add_part(Disk& disk, DiskOp op, uint64_t offset, uint64_t length) {
  auto part = std::make_unique<Part>(*this);
  part->op = op;
  part->may_unmap = true;
  part->offset = offset;
  part->length = length;
  uint64_t skip = offset - request_.offset;
  if (op == DiskOp::kRead || op == DiskOp::kWrite) {
    for (const iovec& piece : request_.iov) {
      if (skip >= piece.iov_len) {
        skip -= piece.iov_len;
        continue;
      }
      if (length == 0) break;
      const size_t size = std::min<uint64_t>(piece.iov_len - skip, length);
      part->pieces.push_back({static_cast<uint8_t*>(piece.iov_base) + skip, size});
      skip = 0;
      length -= size;
    }
    part->iov = part->pieces;
  }
  parts_.push_back({&disk, std::move(part)});
}

void OverlayDisk::Op::begin() {
  const uint64_t unit = disk_.block_size();
  const bool inside = request_.offset <= disk_.size() &&
                      request_.length <= disk_.size() - request_.offset &&
                      request_.offset % unit == 0 && request_.length % unit == 0;
  if (!inside) {
    // The base refuses it as it should be refused, without touching the file.
    add_part(*disk_.base_, DiskOp::kRead, request_.offset, request_.length);
    return start();
  }
  switch (request_.op) {
    case DiskOp::kRead:
      for (uint64_t at = request_.offset, end = at + request_.length; at < end;) {
        const uint64_t size = disk_.written_.run(at / unit, (end - at) / unit) * unit;
        add_part(disk_.written_.marked(at / unit) ? *disk_.top_ : *disk_.base_, DiskOp::kRead, at,
                 size);
        at += size;
      }
      if (parts_.empty()) add_part(*disk_.top_, DiskOp::kFlush, 0, 0);
      break;
    case DiskOp::kWrite:
      add_part(*disk_.top_, DiskOp::kWrite, request_.offset, request_.length);
      break;
    case DiskOp::kDiscard:
      if (disk_.discard_)
        add_part(*disk_.top_, DiskOp::kWriteZeroes, request_.offset, request_.length);
      else
        add_part(*disk_.top_, DiskOp::kFlush, 0, 0);
      break;
    case DiskOp::kWriteZeroes:
      add_part(*disk_.top_, DiskOp::kWriteZeroes, request_.offset, request_.length);
      break;
    case DiskOp::kFlush:
      add_part(*disk_.top_, DiskOp::kFlush, 0, 0);
      break;
  }
  start();
}

// No part is done before this returns: a disk never completes inside submit().
void OverlayDisk::Op::start() {
  pending_ = parts_.size();
  for (const Target& target : parts_) target.disk->submit(*target.part);
}

void OverlayDisk::Op::part_done(int error) {
  if (error != 0 && error_ == 0) error_ = error;
  if (--pending_ > 0) return;
  const bool writes = request_.op == DiskOp::kWrite || request_.op == DiskOp::kWriteZeroes ||
                      (request_.op == DiskOp::kDiscard && disk_.discard_);
  const uint64_t unit = disk_.block_size();
  if (writes && error_ == 0) disk_.written_.mark(request_.offset / unit, request_.length / unit);
  OverlayDisk& disk = disk_;
  DiskRequest& request = request_;
  const int result = error_;
  delete this;
  --disk.in_flight_;
  request.done(result);
}

OverlayDisk::OverlayDisk(std::unique_ptr<Disk> base, std::unique_ptr<Disk> top, bool discard)
    : base_(std::move(base)),
      top_(std::move(top)),
      discard_(discard),
      written_(base_->size() / base_->block_size()) {
  assert(base_->size() == top_->size());
}

OverlayDisk::~OverlayDisk() = default;

void OverlayDisk::attach(EventLoop& loop) {
  base_->attach(loop);
  top_->attach(loop);
}

void OverlayDisk::detach() {
  base_->detach();
  top_->detach();
}

void OverlayDisk::submit(DiskRequest& request) {
  ++in_flight_;
  (new Op(*this, request))->begin();
}

void OverlayDisk::flush_batch() {
  base_->flush_batch();
  top_->flush_batch();
}

}  // namespace hv
