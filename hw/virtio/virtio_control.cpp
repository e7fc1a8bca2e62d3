#include "hw/virtio/virtio_control.h"

#include <algorithm>
#include <bit>

#include "io/log.h"

namespace hv {

static constexpr uint8_t kDriverBits =
    kVirtioAcknowledge | kVirtioDriver | kVirtioFeaturesOk | kVirtioDriverOk | kVirtioFailed;

VirtioControl::VirtioControl(std::unique_ptr<VirtioDevice> device, IrqLine line) : line_(line) {
  auto others = device->take_other_parts();
  queues_.resize(device->queue_count());
  const auto add = [this](std::unique_ptr<VirtioDevice> part) {
    parts_.push_back(std::make_unique<Part>(*this));
    parts_.back()->device = std::move(part);
  };
  add(std::move(device));
  for (auto& other : others) add(std::move(other));
  for (auto& part : parts_) {
    EventLoop& loop = part->device->loop();
    loop.run_on_loop([&] {
      loop.attach(part->changed, [this, part = part.get()] { sync(*part); });
      part->device->attach(*part);
    });
  }
}

VirtioControl::~VirtioControl() {
  reset();
  for (auto& part : parts_) {
    EventLoop& loop = part->device->loop();
    loop.run_on_loop([&] {
      part->device->detach();
      loop.detach(part->changed);
    });
  }
}

template <class Done>
void VirtioControl::wait(Done done) {
  std::vector<EventLoop*> own;
  for (auto& part : parts_)
    if (part->device->loop().is_here()) own.push_back(&part->device->loop());
  if (own.empty()) {
    MutexLock lock(mutex_);
    while (!done()) loop_moved_.wait(mutex_);
    return;
  }
  // With other loops elsewhere, what they do is seen when the time is over.
  const int64_t timeout_ns = parts_.size() == 1 ? -1 : 1'000'000;
  for (;;) {
    for (EventLoop* loop : own) {
      {
        MutexLock lock(mutex_);
        if (done()) return;
      }
      loop->run_once(timeout_ns);
    }
  }
}

void VirtioControl::wake_parts() {
  for (auto& part : parts_) part->changed.set();
}

bool VirtioControl::draining_locked() const {
  return std::ranges::any_of(
      parts_, [this](const auto& part) HV_REQUIRES(mutex_) { return draining_locked(*part); });
}

bool VirtioControl::stopped_locked() const {
  return std::ranges::all_of(parts_, [](const auto& part) { return part->life == 0; });
}

uint8_t VirtioControl::status() {
  MutexLock lock(mutex_);
  return draining_locked() ? status_ | kVirtioNeedsReset : status_;
}

void VirtioControl::clear_locked() {
  ++life_;
  status_ = 0;
  driver_features_ = 0;
  interrupts_ = 0;
  update_line();
  for (Queue& queue : queues_) queue = Queue();
  device().reset_config();
}

void VirtioControl::write_status(uint8_t value) {
  {
    MutexLock lock(mutex_);
    if (value == 0) {
      clear_locked();
      if (stopped_locked()) return;
    } else {
      uint8_t added = value & kDriverBits & ~status_;
      if (added & kVirtioFeaturesOk) {
        const bool acceptable =
            !(driver_features_ & ~device().features()) && (driver_features_ & kVirtioVersion1);
        if (!acceptable) {
          added &= ~kVirtioFeaturesOk;
          log(kLogGuestErrors, "{}: the driver's features {:#x} are not among {:#x}, or not v1",
              device().type_name(), driver_features_, device().features());
        }
      }
      if ((added & kVirtioDriverOk) && !((status_ | added) & kVirtioFeaturesOk)) {
        added &= ~kVirtioDriverOk;
        log(kLogGuestErrors, "{}: DRIVER_OK without FEATURES_OK", device().type_name());
      }
      status_ |= added;
      if (!(added & kVirtioDriverOk)) return;
    }
  }
  wake_parts();
  if (value == 0) wait([this]() HV_REQUIRES(mutex_) { return !draining_locked(); });
}

uint32_t VirtioControl::device_features(uint32_t select) const {
  return select < 2 ? static_cast<uint32_t>(device().features() >> (32 * select)) : 0;
}

void VirtioControl::write_driver_features(uint32_t select, uint32_t value) {
  MutexLock lock(mutex_);
  if (status_ & kVirtioFeaturesOk) {
    log(kLogGuestErrors, "{}: features written after FEATURES_OK", device().type_name());
    return;
  }
  if (select >= 2) return;
  const unsigned shift = 32 * select;
  driver_features_ = (driver_features_ & ~(0xffff'ffffull << shift)) | (uint64_t{value} << shift);
}

uint16_t VirtioControl::queue_max_size(uint32_t queue) const {
  return queue < device().queue_count() ? device().queue_max_size(queue) : 0;
}

bool VirtioControl::may_set_up_locked(uint32_t queue, const char* what) {
  if (queue < queues_.size() && !queues_[queue].setup.ready && !queues_[queue].in_use) return true;
  log(kLogGuestErrors, "{}: {} written for queue {}, which {}", device().type_name(), what, queue,
      queue < queues_.size() ? "is in use" : "does not exist");
  return false;
}

void VirtioControl::write_queue_size(uint32_t queue, uint32_t size) {
  MutexLock lock(mutex_);
  if (!may_set_up_locked(queue, "QueueNum")) return;
  if (!std::has_single_bit(size) || size > device().queue_max_size(queue)) {
    log(kLogGuestErrors, "{}: queue size {} is not a power of two up to {}", device().type_name(),
        size, device().queue_max_size(queue));
    return;
  }
  queues_[queue].setup.size = static_cast<uint16_t>(size);
}

void VirtioControl::write_queue_address(uint32_t queue, Ring ring, bool high_half, uint32_t value) {
  MutexLock lock(mutex_);
  if (!may_set_up_locked(queue, "a ring address")) return;
  VirtQueueSetup& setup = queues_[queue].setup;
  uint64_t& address = ring == Ring::kDesc     ? setup.desc
                      : ring == Ring::kDriver ? setup.driver
                                              : setup.device;
  const unsigned shift = high_half ? 32 : 0;
  address = (address & ~(0xffff'ffffull << shift)) | (uint64_t{value} << shift);
}

bool VirtioControl::queue_ready(uint32_t queue) {
  MutexLock lock(mutex_);
  return queue < queues_.size() && (queues_[queue].setup.ready || queues_[queue].in_use);
}

void VirtioControl::write_queue_ready(uint32_t queue, bool ready) {
  {
    MutexLock lock(mutex_);
    if (ready) {
      if (!may_set_up_locked(queue, "QueueReady")) return;
      if (status_ & kVirtioDriverOk) {
        log(kLogGuestErrors, "{}: queue {} made ready after DRIVER_OK", device().type_name(),
            queue);
        return;
      }
      queues_[queue].setup.ready = true;
      return;
    }
    if (queue >= queues_.size()) return;
    queues_[queue].setup.ready = false;
    if (!queues_[queue].in_use) return;
  }
  owner(queue).changed.set();
}

void VirtioControl::notify(uint32_t queue) {
  if (queue < device().queue_count()) notifier(queue).set();
}

void VirtioControl::acknowledge(uint8_t bits) {
  interrupts_ &= ~bits;
  update_line();
}

void VirtioControl::read_config(uint32_t offset, std::span<uint8_t> to) {
  MutexLock lock(mutex_);
  device().read_config(offset, to);
}

void VirtioControl::write_config(uint32_t offset, std::span<const uint8_t> from) {
  MutexLock lock(mutex_);
  device().write_config(offset, from);
}

// The line follows interrupts_. Whoever changed that sets the line and looks again: of an
// acknowledge and an interrupt that cross, the one that sets the line last sees both changes.
void VirtioControl::update_line() {
  bool level = false;
  do {
    level = interrupts_ != 0;
    line_.set(level);
  } while ((interrupts_ != 0) != level);
}

// An interrupt that crosses a reset is taken back when the part has stopped (sync()).
void VirtioControl::interrupt(const Part& part, uint8_t bit) {
  if (part.life != life_) return;
  interrupts_ |= bit;
  update_line();
}

void VirtioControl::Part::queue_interrupt(unsigned) {
  control.interrupt(*this, kVirtioQueueInterrupt);
}

void VirtioControl::Part::needs_reset() {
  {
    MutexLock lock(control.mutex_);
    if (life != control.life_) return;
    control.status_ |= kVirtioNeedsReset;
  }
  control.interrupt(*this, kVirtioConfigInterrupt);
}

// The generation first: a driver that reads it, then the space, then it again sees either a space
// that has not changed yet or two generations.
void VirtioControl::Part::config_changed() {
  ++control.config_generation_;
  control.interrupt(*this, kVirtioConfigInterrupt);
}

void VirtioControl::Part::idle() {
  changed.set();
}

// Level-driven: looks at what the registers want now, goes one step, and is called again when
// something moves (a register, or the device becoming idle).
void VirtioControl::sync(Part& part) {
  VirtioDevice& device = *part.device;
  const auto is_own = [&](unsigned queue) { return &owner(queue) == &part; };
  bool running = false, ends = false, pauses = false, drops = false, starts = false;
  bool goes_on = false;
  uint64_t features = 0;
  std::vector<VirtQueueSetup> setups;
  {
    MutexLock lock(mutex_);
    running = part.life != 0;
    ends = draining_locked(part);
    pauses = pause_wanted_;
    for (unsigned i = 0; i < queues_.size() && running && !ends; ++i)
      drops |= is_own(i) && queues_[i].in_use && !queues_[i].setup.ready;
  }
  if (running && (ends || pauses || drops)) {
    device.hold(ends);
    if (!device.idle()) return;
  }
  if (ends) device.stop();
  {
    MutexLock lock(mutex_);
    if (ends) {
      part.life = 0;
      if (stopped_locked()) {
        interrupts_ = 0;
        update_line();
      }
    }
    if (drops && part.life == life_) {
      for (unsigned i = 0; i < queues_.size(); ++i) {
        if (!is_own(i) || !queues_[i].in_use || queues_[i].setup.ready) continue;
        device.drop_queue(i);
        queues_[i].in_use = false;
      }
    }
    // Not while another part is still in an old life.
    starts = part.life == 0 && !pause_wanted_ && (status_ & kVirtioDriverOk) && !draining_locked();
    if (starts) {
      part.life = life_;
      features = driver_features_;
      for (unsigned i = 0; i < queues_.size(); ++i) {
        if (is_own(i)) queues_[i].in_use = queues_[i].setup.ready;
        setups.push_back(is_own(i) ? queues_[i].setup : VirtQueueSetup());
      }
    }
    // As things are now: a reset since the first look must not see one more chain of the old life.
    goes_on = part.life == life_ && !pause_wanted_;
    part.quiet = pauses && pause_wanted_;
    loop_moved_.notify_all();
  }
  if (ends && parts_.size() > 1) wake_parts();
  if (starts)
    device.start(features, setups);
  else if (device.held() && goes_on)
    device.release();
}

void VirtioControl::reset() {
  {
    MutexLock lock(mutex_);
    clear_locked();
    if (stopped_locked()) return;
  }
  wake_parts();
  wait([this]() HV_REQUIRES(mutex_) { return stopped_locked(); });
}

void VirtioControl::quiesce() {
  {
    MutexLock lock(mutex_);
    pause_wanted_ = true;
    for (auto& part : parts_) part->quiet = false;
  }
  wake_parts();
  wait([this]() HV_REQUIRES(mutex_) {
    return std::ranges::all_of(parts_, [](const auto& part) { return part->quiet; });
  });
}

void VirtioControl::resume() {
  {
    MutexLock lock(mutex_);
    pause_wanted_ = false;
  }
  wake_parts();
}

}  // namespace hv
