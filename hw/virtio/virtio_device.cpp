#include "hw/virtio/virtio_device.h"

#include <cassert>

#include "io/clock.h"
#include "io/log.h"

namespace hv {

// How often one callback looks at a queue again before it lets the loop serve others.
static constexpr unsigned kMaxRounds = 8;

VirtioDevice::VirtioDevice(const Shape& shape, GuestMemory& memory, EventLoop& loop)
    : shape_(shape),
      memory_(memory),
      loop_(loop),
      slots_(std::make_unique<Slot[]>(shape.queue_count)) {}

VirtioDevice::~VirtioDevice() {
  assert(!host_ && !running_ && in_flight_ == 0);
}

void VirtioDevice::attach(VirtioHost& host) {
  loop_.assert_here();
  host_ = &host;
  on_attach();
  for (unsigned i = 0; i < queue_count(); ++i)
    loop_.attach(slots_[i].notifier, [this, i] { service(i); });
}

void VirtioDevice::detach() {
  loop_.assert_here();
  assert(!running_);
  for (unsigned i = 0; i < queue_count(); ++i) loop_.detach(slots_[i].notifier);
  on_detach();
  host_ = nullptr;
}

bool VirtioDevice::start(uint64_t features, const std::vector<VirtQueueSetup>& queues) {
  assert(!running_ && idle() && queues.size() == queue_count());
  running_ = true;
  held_ = abandoned_ = broken_ = false;
  on_start(features);
  loop_.add_poll_handler(*this);
  for (unsigned i = 0; i < queue_count(); ++i) {
    if (!queues[i].ready) continue;
    slots_[i].polled = polled(i);
    slots_[i].moderated = moderated(i);
    if (!queue(i).start(memory_, queues[i], features)) {
      break_device(queue(i).reason());
      return false;
    }
  }
  service_all();
  return true;
}

void VirtioDevice::hold(bool abandon) {
  if (!abandon) before_wait(Next::kGather);
  held_ = true;
  abandoned_ = abandoned_ || abandon;
  on_hold();
}

void VirtioDevice::release() {
  assert(!abandoned_);
  held_ = false;
  on_release();
  service_all();
}

void VirtioDevice::stop() {
  assert(running_ && idle());
  loop_.remove_poll_handler(*this);
  polling_ = false;
  for (unsigned i = 0; i < queue_count(); ++i) drop(i);
  on_stop();
  running_ = held_ = abandoned_ = broken_ = false;
}

void VirtioDevice::drop_queue(unsigned index) {
  assert(held_ && idle());
  drop(index);
}

void VirtioDevice::drop(unsigned index) {
  queue(index).stop();
  slots_[index].left_over = slots_[index].polled = slots_[index].moderated = false;
  slots_[index].interrupts.reset();
}

void VirtioDevice::end_request() {
  assert(in_flight_ > 0);
  if (--in_flight_ == 0 && held_) host_->idle();
}

void VirtioDevice::publish(unsigned index) {
  if (!live()) return;
  Slot& slot = slots_[index];
  const unsigned count = slot.queue.unpublished();
  // While one is held the driver's used_event stays behind, and publish() says no.
  if (!slot.queue.publish() && !slot.interrupts.holding()) return;
  if (!slot.moderated || held_ || slot.interrupts.completed(count, monotonic_now_ns()))
    host_->queue_interrupt(index);
}

void VirtioDevice::config_changed() {
  loop_.assert_here();
  if (host_) host_->config_changed();
}

void VirtioDevice::service(unsigned index) {
  VirtQueue& vq = queue(index);
  if (!vq.running()) return;
  for (unsigned round = 0; round < kMaxRounds; ++round) {
    if (!taking()) return;
    vq.disable_notifications();
    if (slots_[index].moderated && vq.has_work())
      slots_[index].interrupts.took_requests(monotonic_now_ns());
    slots_[index].left_over = !handle_queue(index);
    if (vq.broken()) return break_device(vq.reason());
    if (slots_[index].left_over || (polling_ && slots_[index].polled) || !vq.enable_notifications())
      return;
  }
  slots_[index].notifier.set();
}

bool VirtioDevice::await_chains(unsigned index) {
  slots_[index].left_over = false;
  const bool polled = polling_ && slots_[index].polled;
  return polled ? queue(index).has_work() : queue(index).enable_notifications();
}

void VirtioDevice::service_all() {
  for (unsigned i = 0; i < queue_count(); ++i) service(i);
}

void VirtioDevice::break_device(const char* reason) {
  if (!running_ || broken_) return;
  broken_ = true;
  log(kLogGuestErrors, "{}: {}; the device needs a reset", type_name(), reason);
  host_->needs_reset();
}

unsigned VirtioDevice::poll() {
  if (!taking()) return 0;
  unsigned found = 0;
  for (unsigned i = 0; i < queue_count(); ++i) {
    if (!slots_[i].polled || slots_[i].left_over) continue;
    const unsigned waiting = queue(i).waiting();
    if (waiting == 0) {
      // However long the loop polls.
      if (slots_[i].interrupts.holding() &&
          slots_[i].interrupts.due(Next::kLook, monotonic_now_ns()))
        host_->queue_interrupt(i);
      continue;
    }
    found += waiting;
    service(i);
  }
  return found;
}

void VirtioDevice::before_wait(Next next) {
  if (!live()) return;
  for (unsigned i = 0; i < queue_count(); ++i)
    if (slots_[i].interrupts.holding() && slots_[i].interrupts.due(next, monotonic_now_ns()))
      host_->queue_interrupt(i);
}

void VirtioDevice::poll_begin() {
  polling_ = true;
  if (!taking()) return;
  for (unsigned i = 0; i < queue_count(); ++i)
    if (slots_[i].polled) queue(i).disable_notifications();
}

bool VirtioDevice::poll_end() {
  polling_ = false;
  if (!taking()) return false;
  bool work = false;
  for (unsigned i = 0; i < queue_count(); ++i)
    work |= slots_[i].polled && !slots_[i].left_over && queue(i).enable_notifications();
  return work;
}

}  // namespace hv
