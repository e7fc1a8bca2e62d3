// The list of set notifiers of a loop. Internal to main-loop.
#pragma once

#include <atomic>
#include <utility>

#include "io/event_notifier.h"

namespace hv {

// Many producers, one consumer, lock-free. Producers push on a stack; the consumer takes the whole
// stack and turns it round, so slots come out in the order of their pushes and no node is ever
// popped singly (no ABA). `Slot::queued` makes sure that a slot is on the list once.
//
// push() and empty() are sequentially consistent: they are steps (1) and (4) of the loop's wake-up
// protocol.
class NotifierQueue {
 public:
  using Slot = EventNotifier::Slot;

  // Any thread. False when the slot is on the list already: its consumer has yet to look.
  bool push(Slot& slot) {
    if (slot.queued.exchange(true, std::memory_order_acq_rel)) return false;
    Slot* head = head_.load(std::memory_order_relaxed);
    do {
      slot.next = head;
    } while (!head_.compare_exchange_weak(head, &slot, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    return true;
  }

  // Consumer: nothing to pop.
  bool empty() const { return !taken_ && !head_.load(std::memory_order_seq_cst); }

  // Consumer: the oldest slot, off the list and free to be pushed again, or nullptr.
  Slot* pop() {
    if (!taken_) take_all();
    Slot* slot = taken_;
    if (!slot) return nullptr;
    taken_ = slot->next;
    // Whoever finds `queued` still up has set its notifier before; the caller's look at the
    // notifier, which comes after this exchange, sees that.
    slot->queued.exchange(false, std::memory_order_acq_rel);
    return slot;
  }

  // Consumer: how many slots a round should pop: those pushed so far.
  unsigned take_all() {
    Slot* stack = head_.exchange(nullptr, std::memory_order_acquire);
    Slot* reversed = nullptr;
    while (stack) {
      Slot* next = stack->next;
      stack->next = reversed;
      reversed = stack;
      stack = next;
    }
    Slot** end = &taken_;
    unsigned count = 0;
    for (; *end; end = &(*end)->next) count++;
    *end = reversed;
    for (; *end; end = &(*end)->next) count++;
    return count;
  }

 private:
  std::atomic<Slot*> head_{nullptr};
  Slot* taken_ = nullptr;  // consumer: taken off the stack, oldest first
};

}  // namespace hv
