// virtio-rng: entropy for the guest (virtio 1.2, section 5.4).
#pragma once

#include <memory>
#include <string>

#include "hw/device_type.h"
#include "hw/virtio/virtio_device.h"
#include "io/unique_fd.h"

namespace hv {

// Fills the driver's buffers on the loop from getrandom() or from the file of an rng-random object.
// With max-bytes, at most that many bytes per period; chains that come too early stay in the queue
// until the next period begins.
class VirtioRngDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kUnlimited = INT64_MAX;
  struct Config {
    std::string rng;
    uint64_t max_bytes = kUnlimited;
    uint32_t period = 65536;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"rng", &Config::rng, "id of an rng object (default: the host's getrandom)"},
      Prop{"max-bytes", &Config::max_bytes, "bytes given per period at most", 1, kUnlimited},
      Prop{"period", &Config::period, "length of a period in milliseconds", 1, UINT32_MAX},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{
      "virtio-rng-device", {"virtio-rng"}, "Misc", "entropy from the host"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~VirtioRngDevice() override;

  std::string_view type_name() const override { return kType.name; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override {}

 protected:
  bool handle_queue(unsigned index) override;
  void on_stop() override;
  void on_attach() override;
  void on_detach() override;

 private:
  VirtioRngDevice(const VirtioContext& context, const Config& config, EventLoop& loop,
                  UniqueFd source);
  // Fills the chain's buffers with at most `limit` bytes; returns how many.
  uint32_t fill(uint64_t limit);

  const Config config_;
  const UniqueFd source_;  // none: getrandom()
  std::unique_ptr<Timer> period_end_;
  std::unique_ptr<Timer> retry_;
  uint64_t quota_;         // bytes left in this period
  DescriptorChain chain_;  // being answered
  bool waiting_ = false;   // chain_ is taken and the source had nothing for it
};

}  // namespace hv
