// What every virtio device is made of: constants, configuration space, and its life on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "hw/device_bus.h"
#include "hw/virtio/interrupt_moderation.h"
#include "hw/virtio/virtqueue.h"
#include "io/event_notifier.h"
#include "io/guest_memory.h"
#include "main-loop/event_loop.h"

namespace hv {

// The transport, as a device sees it. Loop thread.
class VirtioHost {
 public:
  // The driver asked for an interrupt of this queue.
  virtual void queue_interrupt(unsigned queue) = 0;
  // The driver broke its rings: DEVICE_NEEDS_RESET and a configuration interrupt.
  virtual void needs_reset() = 0;
  // The configuration space has changed by itself: a new generation and a configuration interrupt.
  virtual void config_changed() = 0;
  // Nothing is in flight any more while the device is held.
  virtual void idle() = 0;

 protected:
  ~VirtioHost() = default;
};

// A virtio device without its registers. VirtioControl holds those and drives this class through
// its life, which is spent on the device's loop:
//
//               start()                    hold()
//   stopped ---------------> running ------------------> held
//      ^                        ^                       |    |
//      |                        +------- release() -----+    |
//      +---------------- stop(), once idle() ----------------+
//
// - running: a kick or the poller calls handle_queue(), which takes chains and starts work.
// - held: takes nothing more; what is in flight ends. After hold(abandon) it ends into nothing:
//   no used entry, no status byte, no interrupt (the driver has reset the device).
// - stopped: guest memory is not touched.
// A device whose driver broke the rules (break_device()) stays in its state but takes and publishes
// nothing until it was stopped.
//
// Methods are the loop thread's unless marked. The destructor runs on the main thread with the
// device stopped and its notifiers detached.
class VirtioDevice : private PollHandler {
 public:
  struct Shape {
    uint32_t device_id;  // virtio 1.2, section 5
    uint64_t features;   // offered, ring features included
    unsigned queue_count;
    uint16_t queue_size;  // largest, a power of two
  };

  virtual ~VirtioDevice();
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  // Constant, any thread.
  virtual std::string_view type_name() const = 0;
  uint32_t device_id() const { return shape_.device_id; }
  uint64_t features() const { return shape_.features; }
  unsigned queue_count() const { return shape_.queue_count; }
  virtual uint16_t queue_max_size(unsigned queue) const { return shape_.queue_size; }
  EventLoop& loop() const { return loop_; }
  EventNotifier& notifier(unsigned queue) { return slots_[queue].notifier; }
  // For devices that sit on this one; main thread.
  virtual DeviceBus* bus() { return nullptr; }

  // The configuration space, little-endian as the guest sees it. Hart threads, under the
  // transport's mutex. Bytes beyond the space read as 0 and ignore writes.
  virtual void read_config(uint32_t offset, std::span<uint8_t> to) = 0;
  virtual void write_config(uint32_t offset, std::span<const uint8_t> from) {}
  // Back to power-on values; also at a driver's reset.
  virtual void reset_config() {}

  // A device whose queues are spread over several loops consists of parts, one for each loop: this
  // one, which has the configuration space, and those that take_other_parts() hands to the
  // transport. All have all queues; part number part_of(queue) runs a queue. Main thread.
  virtual std::vector<std::unique_ptr<VirtioDevice>> take_other_parts() { return {}; }
  virtual unsigned part_of(unsigned queue) const { return 0; }

  // The transport's side of the life above.
  void attach(VirtioHost& host);  // notifiers are heard from now on
  void detach();
  bool start(uint64_t features, const std::vector<VirtQueueSetup>& queues);
  void hold(bool abandon);
  void release();
  void stop();
  void drop_queue(unsigned queue);  // held and idle: forget one queue
  bool held() const { return held_; }
  bool idle() const { return in_flight_ == 0; }

 protected:
  VirtioDevice(const Shape& shape, GuestMemory& memory, EventLoop& loop);

  // Takes what a running queue has, no more chains in one call than the queue is long. False: it
  // left some on purpose and will call service() when it wants them.
  virtual bool handle_queue(unsigned index) = 0;
  // The queue takes part in busy polling. Asked when it starts.
  virtual bool polled(unsigned index) const { return true; }
  // Interrupts of this queue may wait for each other (hw/virtio/interrupt_moderation.h). Asked when
  // it starts.
  virtual bool moderated(unsigned index) const { return false; }
  // The driver's features are known, queues run / nothing is in flight and queues are gone.
  virtual void on_start(uint64_t features) {}
  virtual void on_stop() {}
  // Takes nothing more for now, and the transport waits until nothing is in flight / goes on.
  virtual void on_hold() {}
  virtual void on_release() {}
  // attach() and detach() of the device's back ends, on the loop.
  virtual void on_attach() {}
  virtual void on_detach() {}

  VirtQueue& queue(unsigned index) { return slots_[index].queue; }
  GuestMemory& memory() const { return memory_; }
  // False once results must go nowhere: reset by the driver, or broken.
  bool live() const { return running_ && !abandoned_ && !broken_; }
  // Chains may be taken.
  bool taking() const { return live() && !held_; }
  // Work that outlives handle_queue(); end_request() is the last thing done for it.
  void begin_request() { ++in_flight_; }
  void end_request();
  // Shows what was pushed and interrupts if the driver wants that, at once or, if the device lets
  // interrupts wait for each other, at the end of the loop's round or later.
  void publish(unsigned index);
  // What read_config() gives has changed; the driver is told if there is one. Fields that the loop
  // changes are atomics, for harts read them meanwhile.
  void config_changed();
  // handle_queue() of a queue if chains may be taken; notifications are off meanwhile.
  void service(unsigned index);
  // For work that finds the queue empty outside handle_queue(): asks the driver to notify. True if
  // chains have come meanwhile, which may stay without a notification.
  [[nodiscard]] bool await_chains(unsigned index);
  // The driver broke a rule: log, NEEDS_RESET.
  void break_device(const char* reason);

 private:
  struct Slot {
    EventNotifier notifier;
    VirtQueue queue;
    bool left_over = false;  // handle_queue() left chains on purpose
    bool polled = false;
    bool moderated = false;
    InterruptModeration interrupts;
  };

  unsigned poll() override;
  void poll_begin() override;
  bool poll_end() override;
  void before_wait(Next next) override;
  void service_all();
  void drop(unsigned index);

  const Shape shape_;
  GuestMemory& memory_;
  EventLoop& loop_;
  VirtioHost* host_ = nullptr;
  std::unique_ptr<Slot[]> slots_;
  bool running_ = false;
  bool held_ = false;
  bool abandoned_ = false;
  bool broken_ = false;
  bool polling_ = false;
  unsigned in_flight_ = 0;
};

}  // namespace hv
