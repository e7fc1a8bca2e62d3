#include "cpu/timer_thread.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>

#include "io/guest_clock.h"

namespace hv {

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

void TimerThread::fire() {
  const int64_t now = GuestClock::host_now_ns();
  for (unsigned i = 0; i < count_; ++i) {
    int64_t deadline = slots_[i].deadline.load();
    // Only if the hart has not armed another one meanwhile.
    if (deadline <= now && slots_[i].deadline.compare_exchange_strong(deadline, kNoDeadline))
      due_(i);
  }
}

void TimerThread::run() {
  pthread_setname_np(pthread_self(), "timer");
  prctl(PR_SET_TIMERSLACK, 1);
  while (!quit_.load()) {
    sleeping_until_.store(kAwake);
    fire();
    const uint32_t word = wake_word_.load();
    const int64_t until = earliest();
    sleeping_until_.store(until);
    if (earliest() < until || quit_.load()) continue;
    futex_wait(wake_word_, word, until);
  }
}

}  // namespace hv
