// Rounds of the loop: wait, poll, dispatch.
#include "main-loop/event_loop.h"

#include <algorithm>
#include <cassert>
#include <latch>

#include "io/clock.h"
#include "main-loop/event_loop_impl.h"

namespace hv {
namespace {

constexpr int64_t kFirstPollWindowNs = 4'000;
constexpr int64_t kWakeUpNs = 12'000;

// Between two sleeps that gather, requests come without a notification, and interrupts can wait for
// each other: both wait for the second sleep, but no longer than so many rounds in which the loop
// has something else to do.
constexpr unsigned kBusyRounds = 2;

// The earlier of two timeouts, where -1 is never.
int64_t sooner(int64_t a, int64_t b) {
  if (a < 0) return b;
  return b < 0 ? a : std::min(a, b);
}

}  // namespace

int64_t loop_now_ns() {
  return monotonic_now_ns();
}

EventLoop::EventLoop(std::string name) : impl_(std::make_unique<Impl>()), name_(std::move(name)) {}

Result<std::unique_ptr<EventLoop>> EventLoop::create(std::string name, WaitKind kind) {
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(name)));
  if (kind != WaitKind::kEpoll) {
    auto backend = create_uring_backend();
    if (backend)
      loop->impl_->backend = std::move(*backend);
    else if (kind == WaitKind::kUring)
      return std::unexpected(std::move(backend).error());
  }
  if (!loop->impl_->backend) {
    HV_TRY_ASSIGN(loop->impl_->backend, create_epoll_backend());
  }
  loop->attach(loop->impl_->posted, [impl = loop->impl_.get()] { impl->run_posts(); });
  return loop;
}

EventLoop::~EventLoop() {
  if (!impl_->backend) return;
  adopt();
  for (Impl::AttachedSlot& slot : impl_->slots)
    if (slot.notifier) detach(*slot.notifier);
  impl_->glib.reset();
}

bool EventLoop::is_here() const {
  return impl_->owner.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

void EventLoop::assert_here() const {
  assert(is_here());
}

void EventLoop::adopt() {
  assert(impl_->depth == 0 || is_here());
  if (is_here()) return;
  impl_->owner.store(std::this_thread::get_id(), std::memory_order_relaxed);
  impl_->backend->change_thread();
}

void EventLoop::run() {
  adopt();
  while (!impl_->quit.exchange(false, std::memory_order_acq_rel)) run_once(-1);
}

void EventLoop::quit() {
  impl_->quit.store(true, std::memory_order_release);
  impl_->posted.set();
}

bool EventLoop::run_once(int64_t timeout_ns) {
  adopt();
  // A nested round takes over the posts that the round around it has yet to run.
  bool progress = impl_->depth++ > 0 && impl_->run_posts();
  progress |= impl_->wait(progress ? 0 : timeout_ns);
  // Notifiers last: a bottom half that a completion has scheduled needs no round of its own.
  progress |= impl_->dispatch_ready();
  progress |= impl_->dispatch_timers();
  if (impl_->glib) progress |= impl_->glib->dispatch();
  progress |= impl_->dispatch_notifiers();
  if (--impl_->depth == 0) impl_->bury_retired();
  return progress;
}

// Sleeps if there is nothing to do. True if a poll handler found work.
bool EventLoop::Impl::wait(int64_t timeout_ns) {
  const bool idle = queue.empty() && backend->ready.empty();
  busy_rounds = idle ? 0 : busy_rounds + 1;
  const bool between_sleeps = polling && !idle && busy_rounds <= kBusyRounds;
  if (!between_sleeps) before_wait(PollHandler::Next::kLook);
  if (!timers.empty())
    timeout_ns =
        sooner(timeout_ns, std::max<int64_t>(timers.next_deadline_ns() - loop_now_ns(), 0));
  // The bridge may go up during the wait's poll handlers; this round has not prepared it then.
  GlibBridge* const bridge = glib.get();
  if (bridge) timeout_ns = sooner(timeout_ns, bridge->prepare(*backend));

  bool progress = false;
  const bool may_poll = poll_max_ns > 0 && !pollers.empty();
  int64_t started_ns = 0;
  if (timeout_ns != 0 && may_poll && idle && queue.empty() && gather(timeout_ns)) {
    if (bridge) bridge->check(*backend);
    return true;
  }
  if (polling && !between_sleeps) {
    const bool over = idle || !may_poll;
    if (!over) begin_polling();  // handlers that are new
    const unsigned found = over ? end_polling() : poll_once();
    requests += found;
    progress = found > 0;
  }
  if (timeout_ns != 0 && may_poll && !progress && queue.empty() && !backend->peek()) {
    started_ns = loop_now_ns();
    if (poll_ns > 0) progress = run_pollers(timeout_ns);
  }

  if (progress || !queue.empty()) timeout_ns = 0;
  if (!between_sleeps)
    before_wait(timeout_ns != 0 ? PollHandler::Next::kSleep : PollHandler::Next::kLook);
  if (timeout_ns != 0) {
    sleeping.store(true, std::memory_order_seq_cst);  // (3)
    if (!queue.empty()) timeout_ns = 0;               // (4)
  }
  backend->wait(timeout_ns);
  sleeping.store(false, std::memory_order_relaxed);

  if (bridge) bridge->check(*backend);
  if (started_ns != 0) adapt_poll_window(loop_now_ns() - started_ns);
  return progress;
}

// One sleep and one io_uring_enter for many requests. True if there was anything. Polling goes on
// until the loop does something else than to gather: the guest need not notify between two sleeps.
bool EventLoop::Impl::gather(int64_t timeout_ns) {
  if (!backend->takes_operations()) return false;  // and cannot wait for a batch
  if (!gathering.wants(backend->operations_in_flight())) return false;
  const bool looks = gathering.looks_first();
  if (looks || !polling) looked_ns = loop_now_ns();
  begin_polling();
  unsigned found = looks ? look_for_requests() : 0;
  before_wait(queue.empty() ? PollHandler::Next::kGather : PollHandler::Next::kLook);
  bool progress = false;
  const Gathering::Sleep sleep = gathering.begin(backend->operations_in_flight(), found);
  sleeping.store(true, std::memory_order_seq_cst);  // (3)
  if (queue.empty()) {                              // (4)
    progress = backend->wait_for_batch(sleep.operations, sooner(timeout_ns, sleep.longest_ns));
    sleeping.store(false, std::memory_order_relaxed);
    const int64_t before_ns = std::exchange(looked_ns, loop_now_ns());
    const unsigned fresh = look_for_requests();
    found += fresh;
    gathering.end(backend->operations_in_flight(), fresh, progress || found > 0,
                  looked_ns - before_ns);
  } else {
    backend->submit();  // with the wake-ups
    sleeping.store(false, std::memory_order_relaxed);
    looked_ns = loop_now_ns();
    found += look_for_requests();
  }
  requests += found;
  return progress || found > 0;
}

unsigned EventLoop::Impl::look_for_requests() {
  const bool quiet = queue.empty();
  const unsigned found = poll_once();
  // A bottom half that comes with them finishes them.
  if (found > 0) gathering.served(quiet && !queue.empty());
  return found;
}

void EventLoop::Impl::before_wait(PollHandler::Next next) {
  const FutexWaker::Scope scope(backend->futex_waker());
  for (size_t i = 0; i < pollers.size(); i++)
    if (pollers[i].handler) pollers[i].handler->before_wait(next);
}

void EventLoop::Impl::begin_polling() {
  polling = true;
  for (size_t i = 0; i < pollers.size(); i++) {
    if (!pollers[i].handler || pollers[i].polling) continue;
    pollers[i].polling = true;
    pollers[i].handler->poll_begin();
  }
}

unsigned EventLoop::Impl::end_polling() {
  polling = false;
  bool late_work = false;
  for (size_t i = 0; i < pollers.size(); i++) {
    if (pollers[i].handler && pollers[i].polling) late_work |= pollers[i].handler->poll_end();
    pollers[i].polling = false;
  }
  const unsigned found = late_work ? poll_once() : 0;
  std::erase_if(pollers, [](const Poller& poller) { return !poller.handler; });
  return found;
}

bool EventLoop::Impl::run_pollers(int64_t timeout_ns) {
  backend->submit();  // requests do not wait for the end of the window
  const int64_t end_ns = loop_now_ns() + sooner(poll_ns, timeout_ns);
  begin_polling();
  bool progress = false;
  do {
    progress = poll_once() > 0;
  } while (!progress && queue.empty() && !backend->peek() && loop_now_ns() < end_ns);

  return end_polling() > 0 || progress;
}

unsigned EventLoop::Impl::poll_once() {
  unsigned found = 0;
  for (size_t i = 0; i < pollers.size(); i++)
    if (pollers[i].handler) found += pollers[i].handler->poll();
  return found;
}

// `waited_ns` is the time from the start of polling to the next event. A longer window would have
// caught it, or no permitted window would have: part of the time went into the notification and the
// wake-up, which polling spares.
void EventLoop::Impl::adapt_poll_window(int64_t waited_ns) {
  if (waited_ns <= poll_ns) return;
  gathering.slept(waited_ns);
  if (waited_ns > poll_max_ns + kWakeUpNs) {
    poll_ns /= 2;
    if (poll_ns < kFirstPollWindowNs) poll_ns = 0;
  } else {
    poll_ns = std::min(std::max(poll_ns * 2, kFirstPollWindowNs), poll_max_ns);
  }
}

bool EventLoop::Impl::dispatch_notifiers() {
  bool progress = false;
  for (unsigned left = queue.take_all(); left > 0; left--) {
    auto* slot = static_cast<AttachedSlot*>(queue.pop());
    if (!slot) break;  // a nested round was here
    if (!slot->notifier || !slot->notifier->test_and_clear()) continue;
    progress = true;
    const std::function<void()>& callback = *slot->callback;
    callback();
  }
  return progress;
}

bool EventLoop::Impl::dispatch_ready() {
  bool progress = false;
  unsigned completed = 0;
  for (size_t left = backend->ready.size(); left > 0 && !backend->ready.empty(); left--) {
    const ReadyEvent event = backend->ready.front();
    backend->ready.pop_front();
    progress = true;
    if (event.op) {
      completed++;
      event.op->complete(event.result);
      continue;
    }
    event.record->callback(static_cast<uint32_t>(event.result));
    // A record that its callback has removed is only retired, and its events are 0.
    if (event.record->events != 0) backend->dispatched(*event.record);
  }
  gathering.round(completed, std::exchange(requests, 0), backend->operations_in_flight());
  return progress;
}

bool EventLoop::Impl::dispatch_timers() {
  if (timers.empty()) return false;
  bool progress = false;
  const int64_t now_ns = loop_now_ns();
  const uint64_t round = timers.next_sequence();
  while (TimerRecord* timer = timers.pop_due(now_ns, round)) {
    progress = true;
    timer->callback();
  }
  return progress;
}

bool EventLoop::Impl::run_posts() {
  bool progress = false;
  size_t left = 0;
  {
    MutexLock lock(posts_mutex);
    left = posts.size();
  }
  for (; left > 0; left--) {
    std::function<void()> fn;
    {
      MutexLock lock(posts_mutex);
      if (posts.empty()) break;  // a nested round was here
      fn = std::move(posts.front());
      posts.pop_front();
    }
    progress = true;
    fn();
  }
  return progress;
}

// Destroying a callback may destroy watches that its captures own.
void EventLoop::Impl::bury_retired() {
  while (!retired.empty()) {
    auto last = std::move(retired.back());
    retired.pop_back();
  }
}

int EventLoop::register_file(int fd) {
  assert_here();
  return impl_->backend->register_file(fd);
}

void EventLoop::unregister_file(int index) {
  assert_here();
  impl_->backend->unregister_file(index);
}

void EventLoop::register_memory(void* base, uint64_t size) {
  assert_here();
  impl_->backend->register_memory(base, size);
}

int EventLoop::memory_index(const void* at, uint64_t length) const {
  return impl_->backend->memory_index(at, length);
}

void EventLoop::post(std::function<void()> fn) {
  {
    MutexLock lock(impl_->posts_mutex);
    impl_->posts.push_back(std::move(fn));
  }
  impl_->posted.set();
}

void EventLoop::run_on_loop(const std::function<void()>& fn) {
  if (is_here()) return fn();
  std::latch done(1);
  post([&] {
    fn();
    done.count_down();
  });
  done.wait();
}

}  // namespace hv
