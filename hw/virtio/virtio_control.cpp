#include "hw/virtio/virtio_control.h"

#include <algorithm>
#include <bit>

#include "io/log.h"

namespace hv {

static constexpr uint8_t kDriverBits =
    kVirtioAcknowledge | kVirtioDriver | kVirtioFeaturesOk | kVirtioDriverOk | kVirtioFailed;

VirtioControl::VirtioControl(std::unique_ptr<VirtioDevice> device, IrqLine line)
    : device_(std::move(device)), line_(line), queues_(device_->queue_count()) {
  device_->loop().run_on_loop([this] {
    device_->loop().attach(changed_, [this] { sync(); });
    device_->attach(*this);
  });
}

VirtioControl::~VirtioControl() {
  reset();
  device_->loop().run_on_loop([this] {
    device_->detach();
    device_->loop().detach(changed_);
  });
}

template <class Done>
void VirtioControl::wait(Done done) {
  if (device_->loop().is_here()) {
    for (;;) {
      {
        MutexLock lock(mutex_);
        if (done()) return;
      }
      device_->loop().run_once();
    }
  }
  MutexLock lock(mutex_);
  while (!done()) loop_moved_.wait(mutex_);
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
  line_.set(false);
  for (Queue& queue : queues_) queue = Queue();
  device_->reset_config();
}

void VirtioControl::write_status(uint8_t value) {
  {
    MutexLock lock(mutex_);
    if (value == 0) {
      clear_locked();
      if (loop_life_ == 0) return;
    } else {
      uint8_t added = value & kDriverBits & ~status_;
      if (added & kVirtioFeaturesOk) {
        const bool acceptable =
            !(driver_features_ & ~device_->features()) && (driver_features_ & kVirtioVersion1);
        if (!acceptable) {
          added &= ~kVirtioFeaturesOk;
          log(kLogGuestErrors, "{}: the driver's features {:#x} are not among {:#x}, or not v1",
              device_->type_name(), driver_features_, device_->features());
        }
      }
      if ((added & kVirtioDriverOk) && !((status_ | added) & kVirtioFeaturesOk)) {
        added &= ~kVirtioDriverOk;
        log(kLogGuestErrors, "{}: DRIVER_OK without FEATURES_OK", device_->type_name());
      }
      status_ |= added;
      if (!(added & kVirtioDriverOk)) return;
    }
  }
  changed_.set();
  if (value == 0) wait([this]() HV_REQUIRES(mutex_) { return !draining_locked(); });
}

uint32_t VirtioControl::device_features(uint32_t select) const {
  return select < 2 ? static_cast<uint32_t>(device_->features() >> (32 * select)) : 0;
}

void VirtioControl::write_driver_features(uint32_t select, uint32_t value) {
  MutexLock lock(mutex_);
  if (status_ & kVirtioFeaturesOk) {
    log(kLogGuestErrors, "{}: features written after FEATURES_OK", device_->type_name());
    return;
  }
  if (select >= 2) return;
  const unsigned shift = 32 * select;
  driver_features_ = (driver_features_ & ~(0xffff'ffffull << shift)) | (uint64_t{value} << shift);
}

uint16_t VirtioControl::queue_max_size(uint32_t queue) const {
  return queue < device_->queue_count() ? device_->queue_max_size() : 0;
}

bool VirtioControl::may_set_up_locked(uint32_t queue, const char* what) {
  if (queue < queues_.size() && !queues_[queue].setup.ready && !queues_[queue].in_use) return true;
  log(kLogGuestErrors, "{}: {} written for queue {}, which {}", device_->type_name(), what, queue,
      queue < queues_.size() ? "is in use" : "does not exist");
  return false;
}

void VirtioControl::write_queue_size(uint32_t queue, uint32_t size) {
  MutexLock lock(mutex_);
  if (!may_set_up_locked(queue, "QueueNum")) return;
  if (!std::has_single_bit(size) || size > device_->queue_max_size()) {
    log(kLogGuestErrors, "{}: queue size {} is not a power of two up to {}", device_->type_name(),
        size, device_->queue_max_size());
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
        log(kLogGuestErrors, "{}: queue {} made ready after DRIVER_OK", device_->type_name(),
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
  changed_.set();
}

void VirtioControl::notify(uint32_t queue) {
  if (queue < device_->queue_count()) device_->notifier(queue).set();
}

uint8_t VirtioControl::interrupt_status() {
  MutexLock lock(mutex_);
  return interrupts_;
}

void VirtioControl::acknowledge(uint8_t bits) {
  MutexLock lock(mutex_);
  interrupts_ &= ~bits;
  line_.set(interrupts_ != 0);
}

void VirtioControl::read_config(uint32_t offset, std::span<uint8_t> to) {
  MutexLock lock(mutex_);
  device_->read_config(offset, to);
}

void VirtioControl::write_config(uint32_t offset, std::span<const uint8_t> from) {
  MutexLock lock(mutex_);
  device_->write_config(offset, from);
}

// The line follows interrupts_ under the mutex, so that an acknowledge on a hart and an interrupt
// of the loop cannot leave it low with a bit set.
void VirtioControl::interrupt(uint8_t bit) {
  MutexLock lock(mutex_);
  if (loop_life_ != life_) return;
  interrupts_ |= bit;
  line_.set(true);
}

void VirtioControl::queue_interrupt(unsigned) {
  interrupt(kVirtioQueueInterrupt);
}

void VirtioControl::needs_reset() {
  {
    MutexLock lock(mutex_);
    if (loop_life_ != life_) return;
    status_ |= kVirtioNeedsReset;
  }
  interrupt(kVirtioConfigInterrupt);
}

// The generation first: a driver that reads it, then the space, then it again sees either a space
// that has not changed yet or two generations.
void VirtioControl::config_changed() {
  ++config_generation_;
  interrupt(kVirtioConfigInterrupt);
}

void VirtioControl::idle() {
  changed_.set();
}

// Level-driven: looks at what the registers want now, goes one step, and is called again when
// something moves (a register, or the device becoming idle).
void VirtioControl::sync() {
  bool running = false, ends = false, pauses = false, drops = false, starts = false;
  bool goes_on = false;
  uint64_t features = 0;
  std::vector<VirtQueueSetup> setups;
  {
    MutexLock lock(mutex_);
    running = loop_life_ != 0;
    ends = draining_locked();
    pauses = pause_wanted_;
    drops = running && !ends && std::ranges::any_of(queues_, [](const Queue& queue) {
              return queue.in_use && !queue.setup.ready;
            });
  }
  if (running && (ends || pauses || drops)) {
    device_->hold(ends);
    if (!device_->idle()) return;
  }
  if (ends) device_->stop();
  {
    MutexLock lock(mutex_);
    if (ends) loop_life_ = 0;
    if (drops && loop_life_ == life_) {
      for (unsigned i = 0; i < queues_.size(); ++i) {
        if (!queues_[i].in_use || queues_[i].setup.ready) continue;
        device_->drop_queue(i);
        queues_[i].in_use = false;
      }
    }
    starts = loop_life_ == 0 && !pause_wanted_ && (status_ & kVirtioDriverOk);
    if (starts) {
      loop_life_ = life_;
      features = driver_features_;
      for (Queue& queue : queues_) {
        queue.in_use = queue.setup.ready;
        setups.push_back(queue.setup);
      }
    }
    // As things are now: a reset since the first look must not see one more chain of the old life.
    goes_on = loop_life_ == life_ && !pause_wanted_;
    quiet_ = pauses && pause_wanted_;
    loop_moved_.notify_all();
  }
  if (starts)
    device_->start(features, setups);
  else if (device_->held() && goes_on)
    device_->release();
}

void VirtioControl::reset() {
  {
    MutexLock lock(mutex_);
    clear_locked();
    if (loop_life_ == 0) return;
  }
  changed_.set();
  wait([this]() HV_REQUIRES(mutex_) { return loop_life_ == 0; });
}

void VirtioControl::quiesce() {
  {
    MutexLock lock(mutex_);
    pause_wanted_ = true;
    quiet_ = false;
  }
  changed_.set();
  wait([this]() HV_REQUIRES(mutex_) { return quiet_; });
}

void VirtioControl::resume() {
  {
    MutexLock lock(mutex_);
    pause_wanted_ = false;
  }
  changed_.set();
}

}  // namespace hv
