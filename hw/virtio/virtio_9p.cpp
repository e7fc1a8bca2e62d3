#include "hw/virtio/virtio_9p.h"

#include <algorithm>

namespace hv {

static constexpr uint32_t kDeviceId9p = 9;
static constexpr uint64_t kMountTag = 1 << 0;

// A chain on its way through the server.
class Virtio9pDevice::Frame final : public P9Frame {
 public:
  explicit Frame(Virtio9pDevice& device) : device_(device) {}
  void replied(uint32_t length) override { device_.replied(*this, length); }

  DescriptorChain chain;

 private:
  Virtio9pDevice& device_;
};

Result<std::unique_ptr<VirtioDevice>> Virtio9pDevice::create(const VirtioContext& context,
                                                             const Config& config) {
  if (config.fsdev.empty())
    return fail("-device {}: fsdev=ID is missing: it names the -fsdev", kType.name);
  if (config.mount_tag.empty() || config.mount_tag.size() > kMaxTag)
    return fail("-device {}: mount_tag={}: 1 to {} bytes are needed", kType.name, config.mount_tag,
                kMaxTag);
  HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(config.iothread));
  HV_TRY_ASSIGN(auto fs, context.backends.claim_fsdev(config.fsdev));
  return std::unique_ptr<VirtioDevice>(new Virtio9pDevice(context, config, *loop, std::move(fs)));
}

Virtio9pDevice::Virtio9pDevice(const VirtioContext& context, const Config& config, EventLoop& loop,
                               std::unique_ptr<LocalFs> fs)
    : VirtioDevice(
          {.device_id = kDeviceId9p,
           .features = kVirtioVersion1 | kMountTag | (config.event_idx ? kVirtioRingEventIdx : 0) |
                       (config.indirect_desc ? kVirtioRingIndirectDesc : 0),
           .queue_count = 1,
           .queue_size = kQueueSize},
          context.memory, loop),
      config_(config),
      server_(std::move(fs), *this) {}

Virtio9pDevice::~Virtio9pDevice() = default;

// le16 tag_len, then the tag.
void Virtio9pDevice::read_config(uint32_t offset, std::span<uint8_t> to) {
  const std::string& tag = config_.mount_tag;
  for (uint8_t& byte : to) {
    if (offset == 0)
      byte = static_cast<uint8_t>(tag.size());
    else
      byte = offset >= 2 && offset - 2 < tag.size() ? static_cast<uint8_t>(tag[offset - 2]) : 0;
    ++offset;
  }
}

void Virtio9pDevice::on_attach() {
  server_.attach(loop());
  publish_soon_ = loop().make_bottom_half([this] { publish(0); });
}

void Virtio9pDevice::on_detach() {
  publish_soon_.reset();
  server_.detach();
}

// A driver that starts anew has no fids.
void Virtio9pDevice::on_stop() {
  server_.reset();
  free_.clear();
  for (auto& frame : frames_) free_.push_back(frame.get());
}

bool Virtio9pDevice::handle_queue(unsigned index) {
  VirtQueue& vq = queue(index);
  sweeping_ = true;
  for (unsigned taken = 0; taken < vq.size() && live(); ++taken) {
    if (free_.empty()) {
      frames_.push_back(std::make_unique<Frame>(*this));
      free_.push_back(frames_.back().get());
    }
    Frame& frame = *free_.back();
    if (!vq.pop(frame.chain)) break;
    free_.pop_back();
    frame.request = frame.chain.readable;
    frame.reply = frame.chain.writable;
    if (!server_.submit(frame))
      break_device("a frame without header, or without room for an answer");
  }
  sweeping_ = false;
  publish(index);
  return true;
}

void Virtio9pDevice::replied(Frame& frame, uint32_t length) {
  free_.push_back(&frame);
  if (!live()) return;
  queue(0).push(frame.chain.head, length);
  if (sweeping_) return;
  // The last of a burst is shown at once.
  if (under_way_ <= 1)
    publish(0);
  else
    publish_soon_->schedule();
}

void Virtio9pDevice::begin_request() {
  ++under_way_;
  VirtioDevice::begin_request();
}

void Virtio9pDevice::end_request() {
  --under_way_;
  VirtioDevice::end_request();
}

}  // namespace hv
