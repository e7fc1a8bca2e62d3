#include "cpu/vcpu_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "cpu/hpm.h"
#include "cpu/trap.h"
#include "io/clock.h"

namespace hv {
namespace {

thread_local VcpuThread* current_vcpu = nullptr;

// Where a hart begins that no hook has sent elsewhere: QEMU's reset vector.
constexpr uint64_t kResetVector = 0x1000;

// How often a waiting hart looks again before it sleeps: some 10 us, what a running hart needs to
// reach the end of its block; and how often between two looks at the clock.
constexpr unsigned kSpins = 200, kSpinsPerLook = 20;

// Whether two harts can run at once.
bool has_processors() {
  static const bool several = [] {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
  }();
  return several;
}

}  // namespace

VcpuThread::VcpuThread(unsigned id, const VcpuSet::Config& config, VcpuWorld& world)
    : world_(world) {
  hart_.id = id;
  hart_.config = config.cpu;
  hart_.memory = config.memory;
  hart_.mmio = config.mmio;
  hart_.clock = config.clock;
  hart_.code_pages = world.code_pages;
  mmu_ = std::make_unique<Mmu>(hart_);
  hart_.mmu = mmu_.get();
  engine_ = config.make_engine ? config.make_engine(hart_) : make_interpreter(hart_);
  reset_hart(hart_, kResetVector);
  thread_ = std::thread([this] { run(); });
  while (thread_id_.load() == 0) thread_id_.wait(0);
}

VcpuThread::~VcpuThread() {
  join();
}

void VcpuThread::join() {
  if (thread_.joinable()) thread_.join();
}

void VcpuThread::run() {
  pthread_setname_np(pthread_self(), fmt::format("hart-{}", hart_.id).c_str());
  prctl(PR_SET_TIMERSLACK, 1);
  current_role = Role::kHart;
  current_vcpu = this;
  thread_id_.store(gettid());
  thread_id_.notify_all();

  end_rest();
  while (!world_.quit.load()) {
    was_reset_.store(false);
    handle_requests(true);
    if (world_.paused.load()) {
      begin_rest();
      end_rest();
    } else if (hsm_state_.load() != HsmState::kStarted) {
      wait_for_start();
    } else {
      take_interrupt(hart_);
      if (engine_->run(hart_) == EngineExit::kWait) wait_for_interrupt();
    }
  }
  begin_rest();
}

void VcpuThread::handle_requests(bool will_execute) {
  const uint32_t bits = hart_.requests.exchange(0);
  if (bits & kReqMailbox) mailbox_.drain(hart_);
  // Also fences that were recorded while this hart was parked.
  if (fences_.apply(hart_, *engine_)) alert_fence_waiters();
  if (bits & kReqTimer && will_execute) watch_timers();
}

void VcpuThread::watch_timers() {
  const uint64_t next = std::min(update_timers(hart_), hpm_watch(hart_));
  world_.timers->arm(hart_.id, hart_.clock->host_deadline_ns(next));
}

void VcpuThread::wait_for_interrupt() {
  sleeping_.store(true);
  while (!world_.quit.load() && !was_reset_.load() && hsm_state_.load() == HsmState::kStarted) {
    const uint64_t next = update_timers(hart_);
    if (wakes_from_wfi(hart_)) break;
    const int64_t deadline = hart_.clock->host_deadline_ns(next);
    world_.timers->disarm(hart_.id);
    if (!await_expected(deadline)) {
      wake_forecast_.rests();
      begin_rest();
      if (hart_.requests.load() == 0) rest_.sleep(deadline);
      end_rest();
    }
    handle_requests(false);
  }
  sleeping_.store(false);
  watch_timers();
}

bool VcpuThread::await_expected(int64_t deadline_ns) {
  VcpuThread* const from = expected_from_.exchange(nullptr);
  if (!from || !from->wake_forecast_.pending() || world_.paused.load()) return false;
  from->wake_forecast_.acted_on();
  deadline_ns = std::min(deadline_ns, monotonic_now_ns() + WakeForecast::kWithinNs);
  do {
    for (unsigned i = 0; i < kSpinsPerLook; ++i) {
      if (hart_.requests.load() != 0) return true;
      __builtin_ia32_pause();
    }
  } while (from->wake_forecast_.pending() && monotonic_now_ns() < deadline_ns);
  return true;
}

void VcpuThread::wait_for_start() {
  HsmState stopping = HsmState::kStopPending;
  hsm_state_.compare_exchange_strong(stopping, HsmState::kStopped);
  while (!world_.quit.load() && hsm_state_.load() == HsmState::kStopped) {
    world_.timers->disarm(hart_.id);
    begin_rest();
    if (hart_.requests.load() == 0) rest_.sleep();
    end_rest();
    handle_requests(false);
  }
  if (hsm_state_.load() == HsmState::kStartPending) {
    uint64_t address, opaque;
    {
      MutexLock lock(hsm_mutex_);
      address = start_address_;
      opaque = start_opaque_;
    }
    world_.start_hook(hart_, address, opaque);
    state_changed(hart_);
    hart_.mmu->flush_all();
    engine_->fence_i();
    hsm_state_.store(HsmState::kStarted);
  }
  watch_timers();
}

void VcpuThread::begin_rest(bool mid_instruction) {
  rest_.begin_rest(mid_instruction);
  alert_fence_waiters();
  if (world_.paused.load()) {
    world_.rest_events.fetch_add(1);
    futex_wake_all(world_.rest_events);
  }
}

void VcpuThread::end_rest() {
  for (;;) {
    rest_.end_rest();
    if (!world_.paused.load() || world_.quit.load()) return;
    park();
  }
}

void VcpuThread::park() {
  world_.timers->disarm(hart_.id);
  begin_rest();
  while (world_.paused.load() && !world_.quit.load()) {
    if (hart_.requests.fetch_and(~kReqMailbox) & kReqMailbox)
      mailbox_.drain(hart_);
    else
      rest_.sleep();
    rest_.begin_rest();
  }
  // The clock and the timers may have changed.
  hart_.requests.fetch_or(kReqTimer);
}

void VcpuThread::alert_fence_waiters() {
  if (fence_waiters_.load() == 0) return;
  for (uint64_t waiters = fence_waiters_.exchange(0); waiters; waiters &= waiters - 1)
    world_.vcpus[static_cast<size_t>(__builtin_ctzll(waiters))]->alert();
}

uint64_t VcpuThread::post_fence(const RemoteFence& fence) {
  const uint64_t ticket = fences_.post(fence);
  // A resting hart need not wake for it.
  hart_.requests.fetch_or(kReqMailbox);
  return ticket;
}

void VcpuThread::wait_mid_instruction(const std::function<bool()>& settled,
                                      const std::function<bool()>& watch) {
  begin_rest(true);
  for (unsigned i = 0; i < kSpins && !settled(); ++i) __builtin_ia32_pause();
  while (!settled()) {
    // Before watch(): an alert that it brings about must not be overwritten.
    rest_.begin_rest(true);
    if (watch()) rest_.sleep(kNoDeadline, true);
  }
  // Parking, if asked for, comes at the end of the instruction.
  rest_.end_rest();
}

void VcpuThread::run_on(std::function<void(Hart&)> fn) {
  mailbox_.post(std::move(fn));
  request(kReqMailbox);
}

void VcpuThread::run_on_and_wait(const std::function<void(Hart&)>& fn) {
  if (current_vcpu == this) return fn(hart_);
  // Outlives both sides: the waiter may be gone when the other side wakes it.
  auto done = std::make_shared<std::atomic<uint32_t>>(0);
  run_on([&fn, done, waiter = current_vcpu](Hart& hart) {
    fn(hart);
    done->store(1);
    if (waiter)
      waiter->alert();
    else
      futex_wake_all(*done);
  });
  if (current_vcpu)
    current_vcpu->wait_mid_instruction([&] { return done->load() != 0; },
                                       [&, self = current_vcpu] {
                                         self->mailbox_.drain(self->hart_);
                                         return done->load() == 0;
                                       });
  else
    while (done->load() == 0) futex_wait(*done, 0);
}

bool VcpuThread::hsm_start(uint64_t address, uint64_t opaque) {
  {
    MutexLock lock(hsm_mutex_);
    if (hsm_state_.load() != HsmState::kStopped) return false;
    start_address_ = address;
    start_opaque_ = opaque;
    hsm_state_.store(HsmState::kStartPending);
  }
  request(kReqPark);
  return true;
}

void VcpuThread::hsm_stop_self() {
  hsm_state_.store(HsmState::kStopPending);
  hart_.requests.fetch_or(kReqPark);
}

void VcpuThread::reset(const std::function<bool(Hart&)>& hook) {
  reset_hart(hart_, kResetVector);
  const bool runs = hook ? hook(hart_) : true;
  state_changed(hart_);
  engine_->flush_code();
  hsm_state_.store(runs ? HsmState::kStarted : HsmState::kStopped);
  was_reset_.store(true);
}

bool VcpuThread::drive_irq(HartIrq irq, bool level) {
  const uint64_t bit = 1ull << static_cast<unsigned>(irq);
  if (level) return !(hart_.mip.fetch_or(bit) & bit);
  hart_.mip.fetch_and(~bit);
  return false;
}

void VcpuThread::notice_irqs() {
  hart_.requests.fetch_or(kReqInterrupt);
  const bool woke = rest_.alert();
  if (!current_vcpu) {
    if (woke) wake_next();
  } else if (current_vcpu->wake_forecast_.pending() && current_vcpu != this) {
    current_vcpu->wake_forecast_.interrupts(static_cast<int>(hart_.id), monotonic_now_ns());
  }
}

void VcpuThread::wake_next() {
  const int next = wake_forecast_.device_woke(monotonic_now_ns());
  if (next == WakeForecast::kNone || !has_processors()) return;
  VcpuThread& other = *world_.vcpus[static_cast<size_t>(next)];
  other.expected_from_.store(this);
  // One that is awake stays so instead of going to sleep.
  if (other.is_sleeping() && other.rest_.alert()) wake_forecast_.acted_on();
}

void VcpuThread::set_mtimecmp(uint64_t deadline_ticks) {
  hart_.mtimecmp.store(deadline_ticks);
  request(kReqTimer);
}

}  // namespace hv
