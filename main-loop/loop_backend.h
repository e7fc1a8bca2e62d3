// The seam between EventLoop and the kernel's wait primitives. Internal to main-loop.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "io/futex.h"
#include "io/unique_fd.h"
#include "main-loop/event_loop.h"

namespace hv {

// A watched descriptor as a backend sees it. Loop thread.
struct FdRecord {
  int fd = -1;
  uint32_t events = 0;  // what the owner asked for; 0 while suspended or removed
  std::function<void(uint32_t)> callback;

  // Private to the backend.
  uint32_t index = 0;
  uint32_t generation = 0;              // tells late events of an earlier arming apart
  bool armed = false;                   // the kernel watches it
  bool arm_queued = false;              // on the list of records to arm before the next wait
  bool always_ready = false;            // cannot be polled: ready whenever it is watched
  std::unique_ptr<UniqueFd> duplicate;  // epoll: stands for a descriptor that is watched twice
};

// What a wait has found: a descriptor's readiness or the end of an operation.
struct ReadyEvent {
  FdRecord* record = nullptr;  // nullptr: `op`
  UringOp* op = nullptr;
  int result = 0;  // revents or the operation's result
};

// Waits for descriptors, operations, the wake-up and a timeout in one call. Loop thread, but for
// wake(). Calls no callbacks: it fills `ready`, which the loop empties.
class LoopBackend {
 public:
  virtual ~LoopBackend() = default;

  // Takes a record in, with its events; `record` stays in place until remove().
  virtual void add(FdRecord& record) = 0;
  // record.events has changed.
  virtual void update(FdRecord& record) = 0;
  // No event of this record is reported after this; those in `ready` are taken out.
  virtual void remove(FdRecord& record) = 0;
  // The callback of a ready record has run.
  virtual void dispatched(FdRecord& record) = 0;

  // Submits what is queued, then waits until something is ready or `timeout_ns` is over (0 only
  // looks, -1 for ever). Wake-ups end the wait and add nothing.
  virtual void wait(int64_t timeout_ns) = 0;
  // True if wait() would find something at once, looked at without a syscall.
  virtual bool peek() = 0;
  // As wait(), but sleeps on until `operations` have completed or `timeout_ns` is over, whatever
  // else becomes ready. False, at once, where operations are not taken. True if anything is ready.
  virtual bool wait_for_batch(unsigned operations, int64_t timeout_ns) { return false; }
  virtual unsigned operations_in_flight() const { return 0; }
  // Any thread: ends the current or the next wait().
  virtual void wake() = 0;

  virtual bool takes_operations() const { return false; }
  virtual io_uring_sqe* get_sqe(UringOp& op) = 0;
  virtual void submit() {}
  virtual int register_file(int fd) { return -1; }
  virtual void unregister_file(int index) {}
  virtual void register_memory(void* base, uint64_t size) {}
  virtual int memory_index(const void* at, uint64_t length) const { return -1; }
  // Takes wake-ups of futexes, which happen with the next wait() or submit(); nullptr: cannot.
  virtual FutexWaker* futex_waker() { return nullptr; }
  // Another thread is the loop's from now on.
  virtual void change_thread() {}

  std::deque<ReadyEvent> ready;

 protected:
  void forget_ready(const FdRecord& record) {
    std::erase_if(ready, [&](const ReadyEvent& event) { return event.record == &record; });
  }
};

// CLOCK_MONOTONIC.
int64_t loop_now_ns();

// Each fails with one line when the host does not offer it.
Result<std::unique_ptr<LoopBackend>> create_uring_backend();
Result<std::unique_ptr<LoopBackend>> create_epoll_backend();

}  // namespace hv
