// A disk that changes or delays the requests of another one and leaves the rest to it.
#pragma once

#include <memory>
#include <utility>

#include "block/disk.h"

namespace hv {

// Forwards everything to the disk below. Threads as Disk.
class FilterDisk : public Disk {
 public:
  explicit FilterDisk(std::unique_ptr<Disk> below) : below_(std::move(below)) {}

  void attach(EventLoop& loop) override { below_->attach(loop); }
  void detach() override { below_->detach(); }
  void submit(DiskRequest& request) override { below_->submit(request); }
  void flush_batch() override { below_->flush_batch(); }
  void hurry() override { below_->hurry(); }
  uint64_t size() const override { return below_->size(); }
  bool read_only() const override { return below_->read_only(); }
  unsigned block_size() const override { return below_->block_size(); }
  unsigned in_flight() const override { return below_->in_flight(); }
  bool write_through() const override { return below_->write_through(); }
  void set_write_through(bool on) override { below_->set_write_through(on); }
  Result<> lock(bool share_rw) override { return below_->lock(share_rw); }

 protected:
  Disk& below() { return *below_; }

 private:
  std::unique_ptr<Disk> below_;
};

}  // namespace hv
