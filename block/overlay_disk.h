// snapshot=on: a disk whose writes go to a temporary file and vanish with it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "block/disk.h"

namespace hv {

// Which units of a disk have been written. Sparse: 16 MiB of a disk without writes cost a pointer
// (with units of 512 bytes).
class UnitMap {
 public:
  explicit UnitMap(uint64_t units);
  void mark(uint64_t first, uint64_t count);
  bool marked(uint64_t unit) const;
  // How many units from `first` on, `limit` at most, are like the first one.
  uint64_t run(uint64_t first, uint64_t limit) const;

 private:
  static constexpr uint64_t kPageUnits = 32768;
  std::vector<std::unique_ptr<uint64_t[]>> pages_;
};

// Reads come from `top` where it was written and from `base` elsewhere. The map's unit is the
// smallest transfer, so that no write has to copy what lies beside it. A unit counts as written
// when its write has completed. Loop thread, as Disk.
class OverlayDisk final : public Disk {
 public:
  // Both have the same size; `top` starts as all zeroes.
  OverlayDisk(std::unique_ptr<Disk> base, std::unique_ptr<Disk> top, bool discard);
  ~OverlayDisk() override;

  void attach(EventLoop& loop) override;
  void detach() override;
  void submit(DiskRequest& request) override;
  void flush_batch() override;
  uint64_t size() const override { return base_->size(); }
  bool read_only() const override { return false; }
  unsigned block_size() const override { return base_->block_size(); }
  unsigned in_flight() const override { return in_flight_; }
  bool write_through() const override { return write_through_; }
  void set_write_through(bool on) override { write_through_ = on; }
  Result<> lock(bool share_rw) override { return base_->lock(share_rw); }

 private:
  class Part;
  class Op;

  std::unique_ptr<Disk> base_;
  std::unique_ptr<Disk> top_;
  const bool discard_;
  bool write_through_ = false;  // kept for the guest's setting; nothing here outlives the process
  UnitMap written_;
  unsigned in_flight_ = 0;
};

}  // namespace hv
