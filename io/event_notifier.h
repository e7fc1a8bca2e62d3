// The doorbell between threads: an eventfd-like flag that costs no syscall while its loop is awake.
#pragma once

#include <atomic>

namespace hv {

// A flag that any thread sets and one event loop consumes. Sets that come before the consumer has
// looked are merged, as with an eventfd.
//
// set() is one atomic exchange when the flag is already up; otherwise it also hands the notifier to
// its target (an EventLoop), which writes to its wake-up eventfd only if the loop sleeps.
// Life cycle: EventLoop::attach() gives it a target and a callback on that loop's thread;
// EventLoop::detach(), on that thread too, takes both away. A notifier set while it has no target
// stays set and fires when it is attached.
class EventNotifier {
 public:
  // Where set notifiers go. Implemented by EventLoop.
  class Target {
   public:
    // Queues `notifier` for its loop and wakes the loop if it sleeps. Any thread, never blocks.
    virtual void enqueue(EventNotifier& notifier) = 0;

   protected:
    ~Target() = default;
  };

  EventNotifier() = default;
  EventNotifier(const EventNotifier&) = delete;
  EventNotifier& operator=(const EventNotifier&) = delete;

  // Any thread; never blocks. What the caller wrote before is visible to the consumer.
  void set() {
    if (pending_.exchange(true, std::memory_order_acq_rel)) return;
    if (Target* target = target_.load(std::memory_order_acquire)) target->enqueue(*this);
  }

  // Consumer only: takes the flag down; true if it was up.
  bool test_and_clear() { return pending_.exchange(false, std::memory_order_acq_rel); }

  // Any thread: is it up? (a poll handler's look; takes nothing)
  bool is_set() const { return pending_.load(std::memory_order_acquire); }

 private:
  friend class EventLoop;

  std::atomic<bool> pending_{false};
  std::atomic<Target*> target_{nullptr};
  // Owned by the loop's queue of set notifiers between enqueue() and dispatch.
  std::atomic<bool> queued_{false};
  EventNotifier* next_ = nullptr;
};

}  // namespace hv
