// The inside of EventLoop, shared by its source files.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "io/thread_safety.h"
#include "main-loop/event_loop.h"
#include "main-loop/gathering.h"
#include "main-loop/glib_bridge.h"
#include "main-loop/loop_backend.h"
#include "main-loop/notifier_queue.h"
#include "main-loop/timer_queue.h"

namespace hv {

struct EventLoop::Impl {
  // An attached notifier, or a free slot (notifier == nullptr).
  struct AttachedSlot : EventNotifier::Slot {
    using Slot::Slot;
    EventNotifier* notifier = nullptr;
    std::unique_ptr<std::function<void()>> callback;
  };
  struct Poller {
    PollHandler* handler;  // nullptr: removed, to be erased when polling ends
    bool polling = false;  // between poll_begin() and poll_end()
  };

  // Any thread.
  std::atomic<std::thread::id> owner{std::this_thread::get_id()};
  std::atomic<bool> sleeping{false};  // S of the wake-up protocol
  std::atomic<bool> quit{false};
  NotifierQueue queue;
  EventNotifier posted;  // there are posts, or quit is up
  Mutex posts_mutex;
  std::deque<std::function<void()>> posts HV_GUARDED_BY(posts_mutex);

  // Loop thread.
  std::unique_ptr<LoopBackend> backend;
  std::deque<AttachedSlot> slots;  // never shrinks: see EventNotifier::Slot
  std::vector<AttachedSlot*> free_slots;
  TimerQueue timers;
  std::unique_ptr<GlibBridge> glib;
  std::vector<Poller> pollers;
  int64_t poll_max_ns = 0;
  int64_t poll_ns = 0;       // the window in use
  bool polling = false;      // some handler is between poll_begin() and poll_end()
  unsigned busy_rounds = 0;  // one after the other
  Gathering gathering;
  int64_t looked_ns = 0;  // when it looked for requests last, while gathering
  unsigned requests = 0;  // found while gathering, in this round
  unsigned depth = 0;     // nested run_once() calls
  // What callbacks have destroyed, kept until no callback runs that could be part of it.
  std::vector<std::shared_ptr<void>> retired;

  void retire(std::shared_ptr<void> thing) {
    if (depth > 0) retired.push_back(std::move(thing));
  }
  void bury_retired();
  bool wait(int64_t timeout_ns);
  bool gather(int64_t timeout_ns);
  void before_wait(PollHandler::Next next);
  void begin_polling();
  unsigned end_polling();
  bool run_pollers(int64_t timeout_ns);
  unsigned poll_once();
  unsigned look_for_requests();
  void adapt_poll_window(int64_t waited_ns);
  bool dispatch_notifiers();
  bool dispatch_ready();
  bool dispatch_timers();
  bool run_posts();
};

}  // namespace hv
