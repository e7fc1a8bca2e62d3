// The doorbell between threads: an eventfd-like flag that costs no syscall while its loop is awake.
#pragma once

#include <atomic>
#include <cassert>

namespace hv {

// A flag that any thread sets and one event loop consumes. Sets that come before the consumer has
// looked are merged, as with an eventfd.
//
// set() is one atomic exchange when the flag is already up; otherwise it also queues the notifier
// on its loop, which makes a syscall only if the loop sleeps.
// Life cycle: EventLoop::attach() gives it a callback on that loop's thread; EventLoop::detach(),
// on that thread too, takes it away, and must come before the destructor. A notifier set while it
// is not attached stays set and fires when it is attached. set() may race with attach() and
// detach(); it must not race with the destructor.
class EventNotifier {
 public:
  struct Slot;

  // Where set notifiers go. Implemented by EventLoop.
  class Target {
   public:
    // Queues `slot` for its loop and wakes the loop if it sleeps. Any thread, never blocks.
    virtual void enqueue(Slot& slot) = 0;

   protected:
    ~Target() = default;
  };

  // What a loop queues in place of the notifier. It belongs to one loop for good: a loop uses its
  // slots again for later notifiers and frees them only when it ends itself, so a set() that is
  // still under way during detach() meets a valid slot and at worst wakes the loop for nothing.
  struct Slot {
    explicit Slot(Target& owner) : target(owner) {}
    Target& target;
    std::atomic<bool> queued{false};
    Slot* next = nullptr;  // link of the queue while `queued`
  };

  EventNotifier() = default;
  ~EventNotifier() { assert(!slot_.load(std::memory_order_relaxed)); }
  EventNotifier(const EventNotifier&) = delete;
  EventNotifier& operator=(const EventNotifier&) = delete;

  // Any thread; never blocks. What the caller wrote before is visible to the consumer.
  void set() {
    if (pending_.exchange(true, std::memory_order_acq_rel)) return;
    if (Slot* slot = slot_.load(std::memory_order_acquire)) slot->target.enqueue(*slot);
  }

  // Consumer only: takes the flag down; true if it was up.
  bool test_and_clear() { return pending_.exchange(false, std::memory_order_acq_rel); }

  // Any thread: is it up? (a poll handler's look; takes nothing)
  bool is_set() const { return pending_.load(std::memory_order_acquire); }

 private:
  friend class EventLoop;

  std::atomic<bool> pending_{false};
  std::atomic<Slot*> slot_{nullptr};  // nullptr while not attached; written by the loop
};

}  // namespace hv
