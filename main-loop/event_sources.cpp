// What wakes a loop: notifiers, descriptors, timers, bottom halves, poll handlers, operations.
#include <sys/epoll.h>

#include <algorithm>
#include <cassert>

#include "main-loop/event_loop_impl.h"

namespace hv {

void EventLoop::enqueue(EventNotifier::Slot& slot) {
  if (!impl_->queue.push(slot)) return;                          // (1)
  if (!impl_->sleeping.load(std::memory_order_seq_cst)) return;  // (2)
  if (impl_->sleeping.exchange(false, std::memory_order_seq_cst)) impl_->backend->wake();
}

void EventLoop::attach(EventNotifier& notifier, std::function<void()> callback) {
  assert_here();
  assert(!notifier.slot_.load(std::memory_order_relaxed));
  if (impl_->free_slots.empty()) {
    EventNotifier::Target& self = *this;
    impl_->free_slots.push_back(&impl_->slots.emplace_back(self));
  }
  Impl::AttachedSlot* slot = impl_->free_slots.back();
  impl_->free_slots.pop_back();
  slot->notifier = &notifier;
  slot->callback = std::make_unique<std::function<void()>>(std::move(callback));
  notifier.slot_.store(slot, std::memory_order_release);
  // A set() before this exchange found no slot, perhaps; one after it, which reads what the
  // exchange has written, sees the slot. So the flag goes down and up again for the first kind.
  if (notifier.pending_.exchange(false, std::memory_order_acq_rel)) notifier.set();
}

void EventLoop::detach(EventNotifier& notifier) {
  assert_here();
  auto* slot =
      static_cast<Impl::AttachedSlot*>(notifier.slot_.exchange(nullptr, std::memory_order_acq_rel));
  assert(slot && &slot->target == this);
  slot->notifier = nullptr;
  impl_->retire(std::move(slot->callback));
  impl_->free_slots.push_back(slot);
}

namespace {

class BottomHalfImpl final : public BottomHalf {
 public:
  BottomHalfImpl(EventLoop& loop, std::function<void()> callback) : loop_(loop) {
    loop_.attach(notifier_, std::move(callback));
  }
  ~BottomHalfImpl() override { loop_.detach(notifier_); }
  void schedule() override { notifier_.set(); }

 private:
  EventLoop& loop_;
  EventNotifier notifier_;
};

}  // namespace

std::unique_ptr<BottomHalf> EventLoop::make_bottom_half(std::function<void()> callback) {
  return std::make_unique<BottomHalfImpl>(*this, std::move(callback));
}

std::unique_ptr<FdWatch> EventLoop::watch_fd(int fd, uint32_t events,
                                             std::function<void(uint32_t)> callback) {
  class Watch final : public FdWatch {
   public:
    Watch(EventLoop& loop, std::shared_ptr<FdRecord> record)
        : loop_(loop), record_(std::move(record)) {
      loop_.impl_->backend->add(*record_);
    }
    ~Watch() override {
      loop_.assert_here();
      Impl& impl = *loop_.impl_;
      impl.backend->remove(*record_);
      // The kernel lets go of the file with the next wait; outside a round that may be far.
      if (impl.depth == 0) impl.backend->wait(0);
      impl.retire(std::move(record_));
    }
    void set_events(uint32_t events) override {
      loop_.assert_here();
      // EPOLLET alone asks for nothing.
      if ((events & ~uint32_t{EPOLLET}) == 0) events = 0;
      if (record_->events == events) return;
      record_->events = events;
      loop_.impl_->backend->update(*record_);
    }

   private:
    EventLoop& loop_;
    std::shared_ptr<FdRecord> record_;
  };

  assert_here();
  auto record = std::make_shared<FdRecord>();
  record->fd = fd;
  record->events = events;
  record->callback = std::move(callback);
  return std::make_unique<Watch>(*this, std::move(record));
}

std::unique_ptr<Timer> EventLoop::make_timer(std::function<void()> callback) {
  class TimerImpl final : public Timer {
   public:
    TimerImpl(EventLoop& loop, std::function<void()> callback)
        : loop_(loop), record_(std::make_shared<TimerRecord>()) {
      record_->callback = std::move(callback);
    }
    ~TimerImpl() override {
      cancel();
      loop_.impl_->retire(std::move(record_));
    }
    void arm_at(int64_t deadline_ns) override {
      loop_.assert_here();
      loop_.impl_->timers.arm(*record_, deadline_ns);
    }
    void arm_in(int64_t delay_ns) override {
      int64_t deadline_ns = 0;
      if (__builtin_add_overflow(loop_now_ns(), delay_ns, &deadline_ns)) deadline_ns = INT64_MAX;
      arm_at(deadline_ns);
    }
    void cancel() override {
      loop_.assert_here();
      loop_.impl_->timers.cancel(*record_);
    }
    bool armed() const override { return record_->position != TimerRecord::kNotArmed; }

   private:
    EventLoop& loop_;
    std::shared_ptr<TimerRecord> record_;
  };

  assert_here();
  return std::make_unique<TimerImpl>(*this, std::move(callback));
}

void EventLoop::add_poll_handler(PollHandler& handler) {
  assert_here();
  impl_->pollers.push_back({.handler = &handler});
}

void EventLoop::remove_poll_handler(PollHandler& handler) {
  assert_here();
  for (Impl::Poller& poller : impl_->pollers) {
    if (poller.handler != &handler) continue;
    if (poller.polling) {
      poller.handler = nullptr;  // the window in progress erases it
    } else {
      impl_->pollers.erase(impl_->pollers.begin() + (&poller - impl_->pollers.data()));
    }
    return;
  }
}

void EventLoop::set_poll_max_ns(int64_t ns) {
  assert_here();
  impl_->poll_max_ns = std::max<int64_t>(ns, 0);
  impl_->poll_ns = std::min(impl_->poll_ns, impl_->poll_max_ns);
}

bool EventLoop::has_uring() const {
  return impl_->backend->takes_operations();
}

io_uring_sqe* EventLoop::get_sqe(UringOp& op) {
  assert_here();
  return impl_->backend->get_sqe(op);
}

void EventLoop::submit_now() {
  assert_here();
  impl_->backend->submit();
}

GMainContext* EventLoop::glib_context() {
  assert_here();
  if (!impl_->glib) impl_->glib = std::make_unique<GlibBridge>();
  return impl_->glib->context();
}

}  // namespace hv
