// virtio-balloon: memory that the guest does not need goes back to the host (virtio 1.2, section
// 5.5).
#pragma once

#include <atomic>
#include <memory>

#include "hw/balloon.h"
#include "hw/device_type.h"
#include "hw/virtio/virtio_device.h"
#include "io/system_control.h"
#include "io/thread_safety.h"

namespace hv {

// Pages of the balloon and free pages that the guest reports are discarded: they cost nothing until
// the guest touches them, and read as zero then. Queues run on the loop; a list of pages, however
// long, is worked off kPagesPerTurn at a time.
class VirtioBalloonDevice final : public VirtioDevice, public Balloon {
 public:
  static constexpr size_t kPagesPerTurn = 1024;
  struct Config {
    bool deflate_on_oom = false;
    bool free_page_reporting = false;
    bool page_poison = true;
    uint32_t stats_interval = 0;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"deflate-on-oom", &Config::deflate_on_oom,
           "the guest may take pages back when it runs out of memory"},
      Prop{"free-page-reporting", &Config::free_page_reporting,
           "the guest reports pages that are free, and they go back to the host"},
      Prop{"page-poison", &Config::page_poison, "offer VIRTIO_BALLOON_F_PAGE_POISON"},
      Prop{"guest-stats-polling-interval", &Config::stats_interval,
           "seconds between two questions for statistics; 0: never", 0, UINT32_MAX},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{
      "virtio-balloon-device", {"virtio-balloon"}, "Misc", "gives guest memory back to the host"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~VirtioBalloonDevice() override;

  std::string_view type_name() const override { return kType.name; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override;
  void write_config(uint32_t offset, std::span<const uint8_t> from) override;
  void reset_config() override { poison_ = 0; }

  void set_target(uint64_t bytes) override;
  uint64_t actual() const override;
  Stats stats() override HV_EXCLUDES(stats_mutex_);
  uint32_t stats_interval() const override { return stats_interval_; }
  void set_stats_interval(uint32_t seconds) override;

 protected:
  bool handle_queue(unsigned index) override;
  bool polled(unsigned) const override { return false; }
  void on_stop() override;
  void on_attach() override;
  void on_detach() override;

 private:
  VirtioBalloonDevice(const VirtioContext& context, const Config& config, EventLoop& loop);
  bool inflate();
  bool deflate();
  bool take_stats() HV_EXCLUDES(stats_mutex_);
  bool take_reports();
  void discard_pages(std::span<const uint32_t> pages);
  void ask_for_stats();
  void arm_stats_timer();

  const Config config_;
  SystemControl* const control_;
  std::atomic<uint32_t> target_pages_{0};  // num_pages: the size that the balloon shall have
  std::atomic<uint32_t> actual_pages_{0};  // the size that the driver says it has
  std::atomic<uint32_t> poison_{0};
  std::atomic<uint32_t> stats_interval_;

  // Loop thread.
  DescriptorChain inflating_;
  uint64_t inflate_offset_ = 0;  // of the chain: worked off
  bool inflate_busy_ = false;    // the chain is not given back yet
  std::unique_ptr<BottomHalf> inflate_more_;
  DescriptorChain chain_;
  DescriptorChain stats_chain_;  // ours until we want the next statistics
  bool have_stats_chain_ = false;
  std::unique_ptr<Timer> stats_timer_;

  Mutex stats_mutex_;
  Stats stats_ HV_GUARDED_BY(stats_mutex_);
};

}  // namespace hv
