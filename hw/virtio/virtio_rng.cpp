#include "hw/virtio/virtio_rng.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace hv {

static constexpr uint32_t kDeviceIdRng = 4;
static constexpr uint16_t kQueueSize = 8;
// Bytes served by one chain at most; a driver asks again for more. Keeps a turn of the loop short.
static constexpr uint64_t kMaxRequest = 64 << 10;
// How long to wait before a source that had nothing is asked again.
static constexpr int64_t kRetryNs = 10'000'000;

// The host's random bytes; short when a source file has no more for now.
static size_t read_entropy(int fd, uint8_t* to, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n =
        fd >= 0 ? ::read(fd, to + got, size - got) : getrandom(to + got, size - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  return got;
}

Result<std::unique_ptr<VirtioDevice>> VirtioRngDevice::create(const VirtioContext& context,
                                                              const Config& config) {
  HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(""));
  UniqueFd source;
  if (!config.rng.empty()) {
    HV_TRY_ASSIGN(const std::string path, context.backends.rng_source(config.rng));
    if (!path.empty()) {
      source = UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
      if (!source.valid())
        return fail_errno(errno, "-device {}: rng={}: cannot open {}", kType.name, config.rng,
                          path);
    }
  }
  return std::unique_ptr<VirtioDevice>(
      new VirtioRngDevice(context, config, *loop, std::move(source)));
}

VirtioRngDevice::VirtioRngDevice(const VirtioContext& context, const Config& config,
                                 EventLoop& loop, UniqueFd source)
    : VirtioDevice({.device_id = kDeviceIdRng,
                    .features = kVirtioVersion1 | (config.event_idx ? kVirtioRingEventIdx : 0) |
                                (config.indirect_desc ? kVirtioRingIndirectDesc : 0),
                    .queue_count = 1,
                    .queue_size = kQueueSize},
                   context.memory, loop),
      config_(config),
      source_(std::move(source)),
      quota_(config.max_bytes) {}

VirtioRngDevice::~VirtioRngDevice() = default;

void VirtioRngDevice::on_attach() {
  period_end_ = loop().make_timer([this] {
    quota_ = config_.max_bytes;
    service(0);
  });
  retry_ = loop().make_timer([this] { service(0); });
}

void VirtioRngDevice::on_detach() {
  period_end_.reset();
  retry_.reset();
}

void VirtioRngDevice::on_stop() {
  period_end_->cancel();
  retry_->cancel();
  quota_ = config_.max_bytes;
  waiting_ = false;
}

bool VirtioRngDevice::handle_queue(unsigned index) {
  VirtQueue& vq = queue(index);
  bool took_all = true;
  for (unsigned taken = 0; taken < vq.size(); ++taken) {
    if (quota_ == 0) {
      took_all = false;
      break;
    }
    if (!waiting_ && !vq.pop(chain_)) break;
    waiting_ = false;
    if (chain_.writable.empty()) {
      break_device("a request without a writable buffer");
      break;
    }
    const uint32_t written = fill(std::min(quota_, kMaxRequest));
    if (written == 0) {
      // The driver must get at least one byte (section 5.4.6.2), so the chain waits.
      waiting_ = true;
      took_all = false;
      retry_->arm_in(kRetryNs);
      break;
    }
    vq.push(chain_.head, written);
    if (config_.max_bytes != kUnlimited) {
      quota_ -= written;
      if (!period_end_->armed()) period_end_->arm_in(int64_t{config_.period} * 1'000'000);
    }
  }
  publish(index);
  return took_all;
}

uint32_t VirtioRngDevice::fill(uint64_t limit) {
  uint32_t written = 0;
  std::array<uint8_t, 4096> bytes;
  for (const iovec& piece : chain_.writable) {
    auto* to = static_cast<uint8_t*>(piece.iov_base);
    for (size_t left = piece.iov_len; left > 0 && limit > 0;) {
      const size_t want = std::min({left, bytes.size(), static_cast<size_t>(limit)});
      const size_t got = read_entropy(source_.get(), bytes.data(), want);
      if (got == 0) return written;
      copy_to_guest(to, bytes.data(), got);
      to += got;
      left -= got;
      limit -= got;
      written += static_cast<uint32_t>(got);
    }
  }
  return written;
}

}  // namespace hv
