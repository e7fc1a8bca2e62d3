#include "cpu/timer_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "io/guest_clock.h"

namespace hv {
namespace {

// struct sched_attr of sched_setattr(2), first version; the kernel's header and glibc's <sched.h>
// exclude each other.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

// Where all processors of the host are busy, a thread that wakes waits for the end of another one's
// slice, some 3 ms, unless its own slice is shorter (Linux 6.12; others ignore it).
void ask_for_short_slices() {
  constexpr uint64_t kSlice = 100'000;  // ns; the shortest there is
  SchedulingAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime = kSlice;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// A deadline as near as this is not worth a sleep.
constexpr int64_t kSoon = 10'000;

}  // namespace

TimerThread::TimerThread(unsigned slots, std::function<void(unsigned)> due)
    : count_(slots), due_(std::move(due)), thread_([this] { run(); }) {}

TimerThread::~TimerThread() {
  quit_.store(true);
  wake_word_.fetch_add(1);
  futex_wake_all(wake_word_);
  thread_.join();
}

void TimerThread::arm(unsigned slot, int64_t deadline_ns) {
  std::atomic<int64_t>& deadline = slots_[slot].deadline;
  if (deadline.load() == deadline_ns) return;
  slots_[slot].in_use.store(true, std::memory_order_relaxed);
  deadline.store(deadline_ns);
  if (deadline_ns >= sleeping_until_.load()) return;
  wake_word_.fetch_add(1);
  futex_wake_all(wake_word_);
}

int64_t TimerThread::earliest() const {
  int64_t earliest = kNoDeadline;
  for (unsigned i = 0; i < count_; ++i) earliest = std::min(earliest, slots_[i].deadline.load());
  return earliest;
}

int64_t TimerThread::next_tick() {
  const int64_t now = GuestClock::host_now_ns();
  int64_t next = kNoDeadline;
  for (unsigned i = 0; i < count_; ++i)
    if (slots_[i].in_use.exchange(false, std::memory_order_relaxed))
      next = std::min(next, forecast_.next(i, now));
  return next;
}

void TimerThread::fire() {
  const int64_t now = GuestClock::host_now_ns();
  for (unsigned i = 0; i < count_; ++i) {
    int64_t deadline = slots_[i].deadline.load();
    // Only if the hart has not armed another one meanwhile.
    if (deadline > now || !slots_[i].deadline.compare_exchange_strong(deadline, kNoDeadline))
      continue;
    forecast_.fired(i, deadline);
    due_(i);
  }
}

void TimerThread::run() {
  pthread_setname_np(pthread_self(), "timer");
  prctl(PR_SET_TIMERSLACK, 1);
  ask_for_short_slices();
  while (!quit_.load()) {
    sleeping_until_.store(kAwake);
    fire();
    const uint32_t word = wake_word_.load();
    if (earliest() - GuestClock::host_now_ns() < kSoon) continue;
    const int64_t until = std::min(earliest(), next_tick());
    sleeping_until_.store(until);
    if (earliest() < until || quit_.load()) continue;
    futex_wait(wake_word_, word, until);
  }
}

}  // namespace hv
