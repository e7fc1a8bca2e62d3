// virtio-9p: a directory of the host over 9P2000.L (virtio 1.2, section 5.16 names the device;
// its queue and configuration are as QEMU and Linux have them).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs9p/server.h"
#include "hw/device_type.h"
#include "hw/virtio/virtio_device.h"

namespace hv {

// Hands each chain to the server as a frame: what is readable is the request, what is writable gets
// the answer. Replies that come while the queue is swept are shown together, later ones together
// with what else completes in that round of the loop. The client's memory holds what is under way;
// ours is bounded by the queue's size times the message size.
class Virtio9pDevice final : public VirtioDevice, private P9Client {
 public:
  static constexpr uint16_t kQueueSize = 128;
  static constexpr size_t kMaxTag = 31;
  struct Config {
    std::string fsdev;
    std::string mount_tag;
    std::string iothread;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"fsdev", &Config::fsdev, "id of the -fsdev behind this device"},
      Prop{"mount_tag", &Config::mount_tag, "name by which the guest mounts it, 31 bytes at most"},
      Prop{"iothread", &Config::iothread, "id of the -object iothread that serves it"},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{
      "virtio-9p-device", {"virtio-9p"}, "Storage", "directory of the host over 9P"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~Virtio9pDevice() override;

  std::string_view type_name() const override { return kType.name; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override;

 protected:
  bool handle_queue(unsigned index) override;
  void on_stop() override;
  void on_attach() override;
  void on_detach() override;

 private:
  class Frame;
  Virtio9pDevice(const VirtioContext& context, const Config& config, EventLoop& loop,
                 std::unique_ptr<LocalFs> fs);
  void replied(Frame& frame, uint32_t length);
  // P9Client
  void begin_request() override;
  void end_request() override;

  const Config config_;
  P9Server server_;
  std::vector<std::unique_ptr<Frame>> frames_;
  std::vector<Frame*> free_;
  std::unique_ptr<BottomHalf> publish_soon_;
  bool sweeping_ = false;  // handle_queue() publishes
  unsigned under_way_ = 0;
};

}  // namespace hv
