// A raw image: guest sectors are file bytes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "block/disk.h"
#include "block/file_engine.h"
#include "block/image_file.h"
#include "main-loop/event_loop.h"

namespace hv {

// Requests become file operations of an engine (io_uring or threads), chosen on first use. Each
// request has an Op of its own that lives through resubmissions (short transfers, EINTR), the steps
// of a bounced transfer, the fall-back of write zeroes to writing zeroes, and the flush behind a
// write-through write. Ops are pooled, so steady state allocates nothing.
class RawDisk final : public Disk {
 public:
  using MakeEngine = std::function<std::unique_ptr<FileEngine>(EventLoop&)>;

  // Without `make_engine`: as the options and the loop allow.
  RawDisk(ImageFile file, const DiskOptions& options, MakeEngine make_engine = {});
  ~RawDisk() override;

  void attach(EventLoop& loop) override;
  void detach() override;
  void submit(DiskRequest& request) override;
  void flush_batch() override;
  std::unique_ptr<Disk> share() override;

  uint64_t size() const override { return file_.size; }
  bool read_only() const override { return options_.read_only; }
  unsigned block_size() const override { return file_.block_size; }
  unsigned in_flight() const override { return in_flight_; }
  bool write_through() const override { return options_.write_through; }
  void set_write_through(bool on) override { options_.write_through = on; }
  Result<> lock(bool share_rw) override;

 private:
  class Op;
  struct Finished {
    DiskRequest* request;
    int error;
  };

  int check(const DiskRequest& request) const;
  bool needs_bounce(const DiskRequest& request) const;
  void finish_later(DiskRequest& request, int error);
  void run_finished();

  ImageFile file_;
  DiskOptions options_;
  const MakeEngine make_engine_;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<FileEngine> engine_;
  std::unique_ptr<BottomHalf> finish_soon_;
  std::vector<Finished> finished_;  // done() is due, in the next round of the loop
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<Op*> free_ops_;
  unsigned in_flight_ = 0;
};

}  // namespace hv
