#include "hw/virtio/virtio_balloon.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <utility>

#include "io/iov.h"
#include "io/log.h"

namespace hv {

namespace {

constexpr uint32_t kDeviceIdBalloon = 5;
constexpr uint16_t kQueueSize = 128;
constexpr uint64_t kFeatureStats = 1 << 1;
constexpr uint64_t kFeatureDeflateOnOom = 1 << 2;
constexpr uint64_t kFeaturePagePoison = 1 << 4;
constexpr uint64_t kFeatureReporting = 1 << 5;
// Without free-page hints their queue does not exist, and Linux numbers what there is.
enum Queue : unsigned { kInflate, kDeflate, kStats, kReports };
constexpr unsigned kPageShift = 12;  // of a page number, whatever the guest's page size

// Section 5.5.4.
struct ConfigSpace {
  uint32_t num_pages, actual, free_page_hint, poison;
};
constexpr uint32_t kActualAt = 4, kPoisonAt = 12;

struct __attribute__((packed)) Stat {
  uint16_t tag;
  uint64_t value;
};
static_assert(sizeof(Stat) == 10);

uint64_t offered(const VirtioBalloonDevice::Config& config) {
  return kVirtioVersion1 | kFeatureStats | (config.deflate_on_oom ? kFeatureDeflateOnOom : 0) |
         (config.page_poison ? kFeaturePagePoison : 0) |
         (config.free_page_reporting ? kFeatureReporting : 0) |
         (config.event_idx ? kVirtioRingEventIdx : 0) |
         (config.indirect_desc ? kVirtioRingIndirectDesc : 0);
}

}  // namespace

Result<std::unique_ptr<VirtioDevice>> VirtioBalloonDevice::create(const VirtioContext& context,
                                                                  const Config& config) {
  HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(""));
  return std::unique_ptr<VirtioDevice>(new VirtioBalloonDevice(context, config, *loop));
}

VirtioBalloonDevice::VirtioBalloonDevice(const VirtioContext& context, const Config& config,
                                         EventLoop& loop)
    : VirtioDevice({.device_id = kDeviceIdBalloon,
                    .features = offered(config),
                    .queue_count = config.free_page_reporting ? 4u : 3u,
                    .queue_size = kQueueSize},
                   context.memory, loop),
      config_(config),
      control_(context.control),
      stats_interval_(config.stats_interval) {
  stats_.values.fill(kUnknown);
}

VirtioBalloonDevice::~VirtioBalloonDevice() = default;

void VirtioBalloonDevice::on_attach() {
  inflate_more_ = loop().make_bottom_half([this] { service(kInflate); });
  stats_timer_ = loop().make_timer([this] { ask_for_stats(); });
}

void VirtioBalloonDevice::on_detach() {
  inflate_more_.reset();
  stats_timer_.reset();
}

void VirtioBalloonDevice::on_stop() {
  inflate_busy_ = have_stats_chain_ = false;
  stats_timer_->cancel();
  const MutexLock lock(stats_mutex_);
  stats_.values.fill(kUnknown);
}

// --- the configuration space

void VirtioBalloonDevice::read_config(uint32_t offset, std::span<uint8_t> to) {
  const ConfigSpace space{target_pages_, actual_pages_, 0, poison_};
  if (offset >= sizeof space) return;
  std::memcpy(to.data(), reinterpret_cast<const uint8_t*>(&space) + offset,
              std::min<size_t>(to.size(), sizeof space - offset));
}

// Two fields are the driver's, and both are written whole.
void VirtioBalloonDevice::write_config(uint32_t offset, std::span<const uint8_t> from) {
  uint32_t value;
  if (from.size() != sizeof value) return;
  std::memcpy(&value, from.data(), sizeof value);
  if (offset == kPoisonAt) poison_ = value;
  if (offset != kActualAt) return;
  if (actual_pages_.exchange(value) != value && control_) control_->report_balloon(actual());
}

void VirtioBalloonDevice::set_target(uint64_t bytes) {
  target_pages_ =
      static_cast<uint32_t>((memory().size() - std::min(bytes, memory().size())) >> kPageShift);
  loop().post([this] { config_changed(); });
}

uint64_t VirtioBalloonDevice::actual() const {
  return memory().size() - std::min(memory().size(), uint64_t{actual_pages_} << kPageShift);
}

// --- the queues

bool VirtioBalloonDevice::handle_queue(unsigned index) {
  switch (index) {
    case kInflate:
      return inflate();
    case kDeflate:
      return deflate();
    case kStats:
      return take_stats();
    default:
      return take_reports();
  }
}

void VirtioBalloonDevice::discard_pages(std::span<const uint32_t> pages) {
  uint64_t first = 0, count = 0;  // pages next to each other, in either direction
  unsigned bad = 0;
  const auto flush = [&] {
    if (count > 0) memory().discard(first << kPageShift, count << kPageShift);
  };
  for (const uint64_t page : pages) {
    if (!memory().contains(page << kPageShift, 1u << kPageShift)) {
      ++bad;
    } else if (count > 0 && page == first + count) {
      ++count;
    } else if (count > 0 && page + 1 == first) {
      --first;
      ++count;
    } else {
      flush();
      first = page;
      count = 1;
    }
  }
  flush();
  if (bad > 0) log(kLogGuestErrors, "{}: {} pages outside RAM", type_name(), bad);
}

bool VirtioBalloonDevice::inflate() {
  VirtQueue& vq = queue(kInflate);
  if (!vq.running()) inflate_busy_ = false;
  std::array<uint32_t, kPagesPerTurn> pages;
  while (inflate_busy_ || vq.pop(inflating_)) {
    if (!std::exchange(inflate_busy_, true)) inflate_offset_ = 0;
    const size_t size =
        copy_from_pieces(inflating_.readable, inflate_offset_, pages.data(), sizeof pages);
    discard_pages(std::span(pages).first(size / sizeof(uint32_t)));
    inflate_offset_ += size;
    if (size < sizeof pages) {
      inflate_busy_ = false;
      vq.push(inflating_.head, 0);
    }
    // One piece of work, then others may run.
    publish(kInflate);
    inflate_more_->schedule();
    return false;
  }
  return true;
}

// Pages come back by being touched.
bool VirtioBalloonDevice::deflate() {
  VirtQueue& vq = queue(kDeflate);
  for (unsigned taken = 0; taken < vq.size() && vq.pop(chain_); ++taken) vq.push(chain_.head, 0);
  publish(kDeflate);
  return true;
}

// Section 5.5.6.4. A page of zeroes is not what the guest left where it fills free pages with
// something else.
bool VirtioBalloonDevice::take_reports() {
  VirtQueue& vq = queue(kReports);
  for (unsigned taken = 0; taken < vq.size() && vq.pop(chain_); ++taken) {
    if (poison_ == 0) {
      for (const iovec& piece : chain_.writable) {
        const auto at =
            static_cast<uint64_t>(static_cast<uint8_t*>(piece.iov_base) - memory().data());
        memory().discard(memory().base() + at, piece.iov_len);
      }
    }
    vq.push(chain_.head, 0);
  }
  publish(kReports);
  return true;
}

// --- statistics: the driver's buffer stays here until we want new ones (section 5.5.6.3)

bool VirtioBalloonDevice::take_stats() {
  VirtQueue& vq = queue(kStats);
  for (unsigned taken = 0; taken < vq.size() && vq.pop(chain_); ++taken) {
    if (have_stats_chain_) {
      log(kLogGuestErrors, "{}: a second buffer for statistics", type_name());
      vq.push(stats_chain_.head, 0);
    }
    std::swap(chain_, stats_chain_);
    have_stats_chain_ = true;
    std::array<Stat, 2 * kStatCount> given;
    const size_t size = copy_from_pieces(stats_chain_.readable, 0, given.data(), sizeof given);
    const MutexLock lock(stats_mutex_);
    stats_.values.fill(kUnknown);
    for (const Stat& stat : std::span(given).first(size / sizeof(Stat)))
      if (stat.tag < kStatCount) stats_.values[stat.tag] = stat.value;
    stats_.last_update = std::time(nullptr);
  }
  publish(kStats);
  arm_stats_timer();
  return true;
}

void VirtioBalloonDevice::arm_stats_timer() {
  const uint32_t seconds = stats_interval_;
  if (seconds == 0)
    stats_timer_->cancel();
  else if (have_stats_chain_ && !stats_timer_->armed())
    stats_timer_->arm_in(int64_t{seconds} * 1'000'000'000);
}

void VirtioBalloonDevice::ask_for_stats() {
  if (!have_stats_chain_ || !queue(kStats).running()) return;
  if (!taking()) return arm_stats_timer();
  have_stats_chain_ = false;
  queue(kStats).push(stats_chain_.head, 0);
  publish(kStats);
}

Balloon::Stats VirtioBalloonDevice::stats() {
  const MutexLock lock(stats_mutex_);
  return stats_;
}

void VirtioBalloonDevice::set_stats_interval(uint32_t seconds) {
  stats_interval_ = seconds;
  loop().run_on_loop([this] {
    stats_timer_->cancel();
    arm_stats_timer();
  });
}

}  // namespace hv
