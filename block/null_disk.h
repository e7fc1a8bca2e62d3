// driver=null-co: a disk without an image, for measuring what the path to a disk costs.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "block/disk.h"

namespace hv {

// Reads give zeroes or whatever the buffers hold; writes vanish. Threads as Disk.
class NullDisk final : public Disk {
 public:
  NullDisk(const NullDiskOptions& null, bool read_only);
  ~NullDisk() override;

  void attach(EventLoop& loop) override;
  void detach() override;
  void submit(DiskRequest& request) override;
  void flush_batch() override {}
  std::unique_ptr<Disk> share() override;
  uint64_t size() const override { return null_.size; }
  bool read_only() const override { return read_only_; }
  unsigned block_size() const override { return 512; }
  unsigned in_flight() const override { return in_flight_; }
  bool write_through() const override { return write_through_; }
  void set_write_through(bool on) override { write_through_ = on; }
  Result<> lock(bool) override { return {}; }

 private:
  struct Waiting {
    DiskRequest* request;
    int error;
    int64_t due_ns;
  };
  void finish_due();

  const NullDiskOptions null_;
  const bool read_only_;
  bool write_through_ = false;
  unsigned in_flight_ = 0;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<BottomHalf> finish_soon_;
  std::unique_ptr<Timer> finish_later_;
  std::deque<Waiting> waiting_;  // in the order of due_ns
};

}  // namespace hv
