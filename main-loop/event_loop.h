// The event loop of an IO thread or of the main thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/event_notifier.h"
#include "io/result.h"

struct io_uring_sqe;
typedef struct _GMainContext GMainContext;

namespace hv {

class EventLoop;
class LoopBackend;

// A completion of an io_uring operation. The owner keeps it alive and in place until complete()
// has run; the loop never touches it again afterwards.
class UringOp {
 public:
  // `result` as in the CQE: bytes or -errno. Loop thread.
  virtual void complete(int result) = 0;

 protected:
  ~UringOp() = default;
};

// Readiness of a descriptor, RAII. Created and destroyed on the loop's thread, also from inside its
// own callback.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // Bits of EPOLLIN and EPOLLOUT; 0 suspends the watch. EPOLLERR and EPOLLHUP are always reported
  // while not suspended.
  virtual void set_events(uint32_t events) = 0;
};

// One-shot deadline on CLOCK_MONOTONIC, RAII; loop's thread only.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void arm_at(int64_t deadline_ns) = 0;  // replaces an earlier deadline
  virtual void arm_in(int64_t delay_ns) = 0;
  virtual void cancel() = 0;
  virtual bool armed() const = 0;
};

// A function to run once from the loop soon, however often it was scheduled before that. RAII;
// created and destroyed on the loop's thread; schedule() from any thread.
class BottomHalf {
 public:
  virtual ~BottomHalf() = default;
  virtual void schedule() = 0;
};

// Looks for work without a syscall while the loop polls busily, e.g. at a queue's avail index.
class PollHandler {
 public:
  // True if it found and did work. Loop thread.
  virtual bool poll() = 0;
  // The loop is about to sleep / has stopped sleeping: guest notifications must be on / may be off.
  // poll_end() returns true if work arrived while notifications were being switched on.
  virtual void poll_begin() = 0;
  virtual bool poll_end() = 0;

 protected:
  ~PollHandler() = default;
};

enum class WaitKind { kAuto, kUring, kEpoll };

// Runs callbacks of descriptors, timers, bottom halves, notifiers and io_uring operations, one at a
// time, on one thread.
//
// Every method is for the loop's own thread (asserted) unless its comment says "any thread".
// Wait primitive: one io_uring for readiness (multishot poll), operations, timeouts and the
// wake-up, or epoll where io_uring is missing (WaitKind::kAuto chooses at run time).
// Callbacks may create and destroy watches, timers and bottom halves, their own included.
class EventLoop final : public EventNotifier::Target {
 public:
  static Result<std::unique_ptr<EventLoop>> create(std::string name,
                                                   WaitKind kind = WaitKind::kAuto);
  ~EventLoop();

  // Any thread. Queues fn; it never runs inline. Functions posted by one thread run in its order.
  void post(std::function<void()> fn);
  // Any other thread: posts fn and waits until it has run.
  void run_on_loop(const std::function<void()>& fn);
  // EventNotifier::Target. Any thread.
  void enqueue(EventNotifier& notifier) override;

  // The callback runs after each set(), test_and_clear() already done.
  void attach(EventNotifier& notifier, std::function<void()> callback);
  void detach(EventNotifier& notifier);

  std::unique_ptr<FdWatch> watch_fd(int fd, uint32_t events,
                                    std::function<void(uint32_t revents)> callback);
  std::unique_ptr<Timer> make_timer(std::function<void()> callback);
  std::unique_ptr<BottomHalf> make_bottom_half(std::function<void()> callback);

  void add_poll_handler(PollHandler& handler);
  void remove_poll_handler(PollHandler& handler);
  // Upper bound of busy polling before a sleep, in ns; 0 never polls. The window in use adapts
  // between 0 and this (halves when polling finds nothing in time, doubles when it would have
  // paid).
  void set_poll_max_ns(int64_t ns);

  // True when the loop waits on io_uring and so takes operations.
  bool has_uring() const;
  // An SQE to prepare with io_uring_prep_*; its user data is set here to `op`. Queued SQEs are
  // submitted with one io_uring_enter when the current round of callbacks ends, or by
  // submit_now(). Never nullptr: submits first when the ring is full. Only when has_uring().
  io_uring_sqe* get_sqe(UringOp& op);
  void submit_now();

  // Runs until quit(). The calling thread becomes the loop's thread.
  void run();
  // Any thread: run() returns after the current round.
  void quit();
  // One round: waits for an event (at most `timeout_ns`, -1 for ever) and dispatches. True if
  // anything ran.
  bool run_once(int64_t timeout_ns = -1);

  // The GLib context that belongs to this loop, for libraries that bring GSources (libslirp, GIO).
  // Iterated by the loop together with its own sources. Loop thread; created on first use.
  GMainContext* glib_context();

  bool is_here() const;  // any thread
  void assert_here() const;
  const std::string& name() const { return name_; }

 private:
  friend class LoopBackend;
  EventLoop(std::string name);
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string name_;
};

}  // namespace hv
