// guestfwd: a port of the user network that leads to a chardev.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "io/char_backend.h"
#include "io/event_notifier.h"
#include "io/thread_safety.h"
#include "main-loop/event_loop.h"

namespace hv {

// The chardev may be on another loop than the network, so both ways go through buffers of kBuffer
// bytes. Made and destroyed on the main thread, with the network detached.
class GuestForward final : private CharFrontend {
 public:
  static constexpr size_t kBuffer = 256 << 10;

  explicit GuestForward(CharBackend& backend);
  ~GuestForward();

  // --- network's loop
  // `arrived` is called there when the chardev has sent something.
  void attach(EventLoop& loop, std::function<void()> arrived);
  void detach();
  // What the chardev has sent, `most` bytes of it.
  std::vector<uint8_t> take(size_t most) HV_EXCLUDES(mutex_);
  // What the guest sends; returns how much was taken.
  size_t write(std::span<const uint8_t> bytes) HV_EXCLUDES(mutex_);

 private:
  size_t can_receive() override HV_EXCLUDES(mutex_);
  void receive(std::span<const uint8_t> bytes) override HV_EXCLUDES(mutex_);
  void output_ready() override HV_EXCLUDES(mutex_);
  void flush_locked() HV_REQUIRES(mutex_);

  CharBackend& backend_;
  EventNotifier arrived_;
  EventLoop* loop_ = nullptr;
  Mutex mutex_;
  std::vector<uint8_t> from_chardev_ HV_GUARDED_BY(mutex_);
  std::vector<uint8_t> to_chardev_ HV_GUARDED_BY(mutex_);
};

}  // namespace hv
