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
// own callback; destroyed before the descriptor is closed.
//
// Level-triggered, as poll(2): the callback runs again as long as the descriptor is ready. With
// EPOLLET in its events it is edge-triggered: the callback must read or write until EAGAIN. Edges
// are cheaper on io_uring (multishot poll, nothing to re-arm). A descriptor that cannot be polled
// (a regular file) counts as always ready.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // Bits of EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP and EPOLLET; 0 suspends the watch. EPOLLERR and
  // EPOLLHUP are always reported while not suspended. On io_uring EPOLLPRI can come with ordinary
  // data, too.
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
//
// One window of busy polling, all on the loop thread:
//   poll_begin(), poll() again and again, poll_end(), [poll() if poll_end() said true], sleep.
// While the loop sleeps for many requests at once (main-loop/gathering.h) it polls before and after
// each sleep, and its callbacks run in between: poll_begin(), poll(), sleep, poll(), callbacks,
// poll(), sleep, ... poll_end().
class PollHandler {
 public:
  // Does what work there is; how many pieces (requests) it found.
  virtual unsigned poll() = 0;
  // Polling starts: the guest need not notify from here on.
  virtual void poll_begin() = 0;
  // Polling is over and the loop may sleep: switch the guest's notifications on again, then look
  // once more at the queue. True if work arrived in between, which the guest did not notify: the
  // loop calls poll() and does not sleep.
  virtual bool poll_end() = 0;
  // What the loop does next: looks for events; sleeps for a time at most, to let requests gather;
  // or sleeps until something happens, for there is nothing left to do.
  enum class Next { kLook, kGather, kSleep };
  // After each round of callbacks and before each wait for events; not while the loop polls busily,
  // nor in the first two rounds between two sleeps that gather, if there is something else to do.
  // Harts that are interrupted in it wake with the loop's next system call.
  virtual void before_wait(Next next) {}

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
// Callbacks may create and destroy watches, timers and bottom halves, their own included, and may
// call run_once().
//
// The loop's thread is the one that created it until another one calls run(), run_once() or
// adopt(). Watches, timers, bottom halves and attached notifiers go before their loop.
//
// Wake-up protocol. set notifiers go on a lock-free list Q; the loop sleeps in the kernel only
// while S is true and E is the wake-up eventfd. All four marked steps are sequentially consistent.
//
//   setter:  (1) push on Q             loop:  (3) S = true
//            (2) if (S)                       (4) if (Q is empty)
//                  S = false; write E               sleep until E or another event
//                                                 S = false; take all of Q
//
// No wake-up is lost: if the loop sleeps on, (4) found Q without the setter's node, so (4) comes
// before (1) in the total order; (3) precedes (4) and (1) precedes (2), hence (2) comes after (3)
// and reads true, or false because another setter has taken S down and is writing E. E is
// edge-triggered and never read, so each write ends one sleep at most, and a late write costs one
// empty round. While the loop is awake or polls busily S is false and set() makes no syscall.
class EventLoop final : public EventNotifier::Target {
 public:
  static Result<std::unique_ptr<EventLoop>> create(std::string name,
                                                   WaitKind kind = WaitKind::kAuto);
  ~EventLoop();

  // Any thread. Queues fn; it never runs inline. Functions posted by one thread run in its order.
  void post(std::function<void()> fn);
  // Posts fn and waits until it has run; runs it at once when called on the loop's thread. Another
  // thread must be running the loop.
  void run_on_loop(const std::function<void()>& fn);
  // EventNotifier::Target. Any thread.
  void enqueue(EventNotifier::Slot& slot) override;

  // The callback runs after each set(), test_and_clear() already done.
  void attach(EventNotifier& notifier, std::function<void()> callback);
  void detach(EventNotifier& notifier);

  std::unique_ptr<FdWatch> watch_fd(int fd, uint32_t events,
                                    std::function<void(uint32_t revents)> callback);
  std::unique_ptr<Timer> make_timer(std::function<void()> callback);
  std::unique_ptr<BottomHalf> make_bottom_half(std::function<void()> callback);

  void add_poll_handler(PollHandler& handler);
  void remove_poll_handler(PollHandler& handler);
  // While operations are in flight or the guest makes requests in bursts, a loop on io_uring with
  // poll handlers and a window sleeps up to 0.45 ms without looking at anything else, so that
  // completions and requests come in batches.
  //
  // Upper bound of busy polling before a sleep, in ns; 0 never polls. The window in use adapts
  // between 0 and this (halves when polling finds nothing in time, doubles when it would have
  // paid). 0 at first; an IoThread begins with IoThread::kPollMaxNs. Nothing is polled without a
  // PollHandler.
  void set_poll_max_ns(int64_t ns);

  // True when the loop waits on io_uring and so takes operations.
  bool has_uring() const;
  // An SQE to prepare with io_uring_prep_*; its user data is set here to `op`. Queued SQEs are
  // submitted with one io_uring_enter when the current round of callbacks ends, or by
  // submit_now(). Never nullptr: submits first when the ring is full. Only when has_uring().
  io_uring_sqe* get_sqe(UringOp& op);
  void submit_now();
  // Makes a descriptor known to the ring, which then need not look it up for each operation: the
  // index for SQEs with IOSQE_FIXED_FILE, or -1 where that is not possible. Until unregister_file()
  // the ring keeps the file open.
  int register_file(int fd);
  void unregister_file(int index);
  // Makes memory known to the ring, whose pages the kernel then keeps in place: at once, and until
  // the ring ends. Call once at most. memory_index() gives the buffer index for READ_FIXED and
  // WRITE_FIXED, or -1.
  void register_memory(void* base, uint64_t size);
  int memory_index(const void* at, uint64_t length) const;

  // Runs until quit(). The calling thread becomes the loop's thread.
  void run();
  // Any thread: run() returns after the current round; called before run(), the next run() returns
  // at once.
  void quit();
  // One round: waits for an event (at most `timeout_ns`, -1 for ever) and dispatches. True if
  // anything ran.
  bool run_once(int64_t timeout_ns = -1);

  // The GLib context that belongs to this loop, for libraries that bring GSources (libslirp, GIO).
  // Iterated by the loop together with its own sources. Loop thread; created on first use.
  GMainContext* glib_context();

  // The calling thread becomes the loop's thread; no other thread runs it any more.
  void adopt();
  bool is_here() const;  // any thread
  void assert_here() const;
  const std::string& name() const { return name_; }

 private:
  explicit EventLoop(std::string name);
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string name_;
};

}  // namespace hv
