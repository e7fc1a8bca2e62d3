// throttling.*: requests wait until their budget lets them through.
#pragma once

#include <deque>
#include <memory>

#include "block/filter_disk.h"
#include "block/throttle.h"

namespace hv {

// Reads, writes, discards and writes of zeroes count; a flush waits for nothing, for it covers
// completed writes only. Threads as Disk; the group is shared between threads.
class ThrottledDisk final : public FilterDisk {
 public:
  ThrottledDisk(std::unique_ptr<Disk> below, std::shared_ptr<ThrottleGroup> group);
  ~ThrottledDisk() override;

  void attach(EventLoop& loop) override;
  void detach() override;
  void submit(DiskRequest& request) override;
  void hurry() override;
  std::unique_ptr<Disk> share() override;
  unsigned in_flight() const override;

 private:
  struct Waiting {
    DiskRequest* request;
    int64_t start_ns;
  };
  void start_due(int64_t now_ns);
  void arm();

  const std::shared_ptr<ThrottleGroup> group_;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<Timer> timer_;
  // Each in the order of start_ns.
  std::deque<Waiting> reads_, writes_;
};

}  // namespace hv
