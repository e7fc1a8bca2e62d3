// virtio-blk: a disk (virtio 1.2, section 5.2).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "block/disk.h"
#include "hw/device_type.h"
#include "hw/virtio/virtio_device.h"
#include "io/system_control.h"

namespace hv {

// Turns chains into disk requests on the loop. All chains of a sweep over a queue go to the disk in
// one batch; completions that come in one round of the loop are shown to the driver together, with
// one interrupt. Reads and writes move between guest RAM and the disk without a copy.
//
// With iothread-vq-mapping there is one part per IO thread, each with a handle of its own on the
// disk. A request that fails under werror=stop or rerror=stop waits, not in flight, until the
// machine goes on, and is then sent again.
class VirtioBlkDevice final : public VirtioDevice {
 public:
  struct Config {
    std::string drive;
    std::string serial;
    std::string iothread;
    KeyValues iothread_vq_mapping;
    std::string write_cache = "auto";
    std::string werror = "auto";
    std::string rerror = "auto";
    uint16_t num_queues = 1;
    uint16_t queue_size = 256;
    uint32_t logical_block_size = 0;
    uint32_t physical_block_size = 0;
    bool discard = true;
    bool write_zeroes = true;
    bool config_wce = true;
    bool share_rw = false;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"drive", &Config::drive, "id of the -drive or -blockdev behind this device"},
      Prop{"serial", &Config::serial, "serial number shown to the guest, 20 bytes at most"},
      Prop{"iothread", &Config::iothread, "id of the -object iothread that serves it"},
      Prop{"iothread-vq-mapping", &Config::iothread_vq_mapping,
           "list of {iothread, vqs}: which IO threads serve which queues"},
      Prop{
          "werror", &Config::werror,
          "a failed write: report, ignore, stop the machine, enospc (stop if the host is full), or "
          "auto: enospc"},
      Prop{"rerror", &Config::rerror, "a failed read: report, ignore, stop, or auto: report"},
      Prop{"write-cache", &Config::write_cache, "on, off, or auto: as the drive's cache mode"},
      Prop{"num-queues", &Config::num_queues, "request queues", 1, 64},
      Prop{"queue-size", &Config::queue_size, "entries of a queue, a power of two", 4, 1024},
      Prop{"logical_block_size", &Config::logical_block_size,
           "bytes, a power of two from 512 to 32768; 0: what the drive needs", 0, 32768},
      Prop{"physical_block_size", &Config::physical_block_size,
           "bytes, a power of two from 512 to 2097152; 0: the logical block size", 0, 2097152},
      Prop{"discard", &Config::discard, "offer DISCARD"},
      Prop{"write-zeroes", &Config::write_zeroes, "offer WRITE_ZEROES"},
      Prop{"config-wce", &Config::config_wce, "let the guest switch the write cache"},
      Prop{"share-rw", &Config::share_rw, "other processes may write the image too"},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{
      "virtio-blk-device", {"virtio-blk"}, "Storage", "disk over virtio"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~VirtioBlkDevice() override;

  std::vector<std::unique_ptr<VirtioDevice>> take_other_parts() override;
  unsigned part_of(unsigned queue) const override { return shared_->part_of_queue[queue]; }

  std::string_view type_name() const override { return kType.name; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override;
  void write_config(uint32_t offset, std::span<const uint8_t> from) override;
  void reset_config() override;

 protected:
  bool handle_queue(unsigned index) override;
  bool moderated(unsigned) const override { return true; }
  void on_start(uint64_t features) override;
  void on_stop() override;
  void on_hold() override;
  void on_release() override;
  void on_attach() override;
  void on_detach() override;

 private:
  class Request;
  struct RequestQueue;
  // What the parts have in common.
  struct Shared {
    std::atomic<bool> write_cache;        // config space field `writeback`
    std::vector<unsigned> part_of_queue;  // constant
  };

  VirtioBlkDevice(const VirtioContext& context, const Config& config, EventLoop& loop,
                  std::unique_ptr<Disk> disk, std::shared_ptr<Shared> shared);
  DiskError::Action action_for(const Request& request, int error) const;
  void report_error(const Request& request, int error, DiskError::Action action);
  void begin(Request& request);
  void begin_transfer(Request& request, DiskOp op, uint64_t sector);
  void begin_range(Request& request, DiskOp op);
  void get_id(Request& request);
  void submit(Request& request);
  bool in_bounds(uint64_t sector, uint64_t length) const;
  void finished(Request& request, int error);
  void complete(Request& request, uint8_t status, uint32_t data_written);
  void publish_completions();
  bool write_cache_on() const;

  const Config config_;  // with what "auto" and 0 stand for filled in
  SystemControl* const control_;
  std::unique_ptr<Disk> disk_;
  const std::shared_ptr<Shared> shared_;
  std::vector<std::unique_ptr<VirtioDevice>> other_parts_;  // until the transport takes them
  uint64_t negotiated_ = 0;
  std::vector<RequestQueue> queues_;
  std::vector<Request*> stopped_;        // failed; sent again when the machine goes on
  int64_t reported_ns_ = INT64_MIN / 2;  // when an error was told last
  std::unique_ptr<BottomHalf> publish_soon_;
};

}  // namespace hv
