// What every virtio transport shows the driver: status, features, queue set-up and interrupts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "hw/virtio/virtio_device.h"
#include "io/event_notifier.h"
#include "io/irq_line.h"
#include "io/thread_safety.h"

namespace hv {

// Device status bits (virtio 1.2, section 2.1).
enum VirtioStatus : uint8_t {
  kVirtioAcknowledge = 1,
  kVirtioDriver = 2,
  kVirtioDriverOk = 4,
  kVirtioFeaturesOk = 8,
  kVirtioNeedsReset = 64,
  kVirtioFailed = 128,
};

// Interrupt status bits (section 4.2.2).
enum VirtioInterrupt : uint8_t { kVirtioQueueInterrupt = 1, kVirtioConfigInterrupt = 2 };

// The registers behind a transport, and the one place where harts and the device's loop meet.
//
// Registers are guarded by one mutex, held shortly and never over host I/O. They say what the
// driver wants; sync() on the loop brings the device there. Each reset begins a new life with a
// number of its own; registers move to it at once, the loop when nothing of the old life is in
// flight:
//
//   hart: status <- 0       life 7 -> 8, registers cleared, loop told, waits
//   loop: sync()            holds the device, waits for what is in flight, stops it
//   hart:                   goes on: the device no longer touches the guest's memory
//
// The hart waits because Linux over MMIO does not: it frees the rings and buffers right after the
// write. Another hart that looks meanwhile reads DEVICE_NEEDS_RESET alone: not 0, so that a driver
// that waits for the end of the reset (section 2.4.2) waits; and one that read-modify-writes it
// does no harm, for the bit is the device's and not stored.
//
// A device in parts (VirtioDevice::take_other_parts()) is held, stopped and started part by part,
// each on its own loop; a life has ended when all of them have stopped.
class VirtioControl final {
 public:
  enum class Ring { kDesc, kDriver, kDevice };

  // Main thread. The destructor ends what runs, with harts stopped.
  VirtioControl(std::unique_ptr<VirtioDevice> device, IrqLine line);
  ~VirtioControl();

  VirtioDevice& device() const { return *parts_.front()->device; }
  // The doorbell of a queue.
  EventNotifier& notifier(unsigned queue) { return owner(queue).device->notifier(queue); }

  // Registers. Hart threads.
  uint8_t status() HV_EXCLUDES(mutex_);
  // 0 returns when the device has stopped: after what is in flight, as long as the host takes.
  void write_status(uint8_t value) HV_EXCLUDES(mutex_);
  uint32_t device_features(uint32_t select) const;
  void write_driver_features(uint32_t select, uint32_t value) HV_EXCLUDES(mutex_);
  uint16_t queue_max_size(uint32_t queue) const;  // 0: no such queue
  void write_queue_size(uint32_t queue, uint32_t size) HV_EXCLUDES(mutex_);
  void write_queue_address(uint32_t queue, Ring ring, bool high_half, uint32_t value)
      HV_EXCLUDES(mutex_);
  bool queue_ready(uint32_t queue) HV_EXCLUDES(mutex_);
  void write_queue_ready(uint32_t queue, bool ready) HV_EXCLUDES(mutex_);
  void notify(uint32_t queue);  // for stores that no doorbell took
  uint8_t interrupt_status() const { return interrupts_; }
  void acknowledge(uint8_t bits);
  // Changes whenever the device has changed the configuration space (virtio 1.2, section 2.5).
  uint32_t config_generation() const { return config_generation_; }
  void read_config(uint32_t offset, std::span<uint8_t> to) HV_EXCLUDES(mutex_);
  void write_config(uint32_t offset, std::span<const uint8_t> from) HV_EXCLUDES(mutex_);

  // Device life cycle (hw/device.h), main thread, harts stopped. They wait for the loop.
  void reset() HV_EXCLUDES(mutex_);
  void quiesce() HV_EXCLUDES(mutex_);
  void resume() HV_EXCLUDES(mutex_);

 private:
  struct Queue {
    VirtQueueSetup setup;
    bool in_use = false;  // its loop runs it in the current life
  };
  struct Part final : VirtioHost {
    explicit Part(VirtioControl& control) : control(control) {}
    void queue_interrupt(unsigned queue) override;
    void needs_reset() override;
    void config_changed() override;
    void idle() override;

    VirtioControl& control;
    std::unique_ptr<VirtioDevice> device;
    EventNotifier changed;  // the registers want something of the loop
    // Written under the control's mutex by the part's loop, which may read it without.
    uint64_t life = 0;   // what the loop runs; 0: stopped
    bool quiet = false;  // the loop has paused; guarded by the control's mutex
  };

  Part& owner(unsigned queue) { return *parts_[device().part_of(queue)]; }
  void wake_parts();
  void interrupt(const Part& part, uint8_t bit);
  void update_line();

  bool draining_locked(const Part& part) const HV_REQUIRES(mutex_) {
    return part.life != 0 && part.life != life_;
  }
  bool draining_locked() const HV_REQUIRES(mutex_);
  bool stopped_locked() const HV_REQUIRES(mutex_);
  void clear_locked() HV_REQUIRES(mutex_);
  // True if the queue exists and its set-up may change.
  bool may_set_up_locked(uint32_t queue, const char* what) HV_REQUIRES(mutex_);
  void sync(Part& part) HV_EXCLUDES(mutex_);
  // Runs the parts' loops that are this thread's, or waits for their threads, until `done` holds.
  template <class Done>
  void wait(Done done) HV_EXCLUDES(mutex_);

  std::vector<std::unique_ptr<Part>> parts_;
  const IrqLine line_;
  std::atomic<uint32_t> config_generation_{0};
  // No lock: a hart that an interrupt wakes reads this at once, while the loop is still about it.
  std::atomic<uint8_t> interrupts_{0};

  Mutex mutex_;
  std::condition_variable_any loop_moved_;
  uint8_t status_ HV_GUARDED_BY(mutex_) = 0;
  uint64_t driver_features_ HV_GUARDED_BY(mutex_) = 0;
  std::vector<Queue> queues_ HV_GUARDED_BY(mutex_);
  std::atomic<uint64_t> life_{1};  // changes under mutex_
  bool pause_wanted_ HV_GUARDED_BY(mutex_) = false;
};

}  // namespace hv
