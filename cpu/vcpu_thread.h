// One hart's thread: private to cpu/vcpu*.cpp.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "cpu/mmu.h"
#include "cpu/timer_thread.h"
#include "cpu/vcpu.h"
#include "cpu/vcpu_mailbox.h"
#include "cpu/vcpu_rest.h"
#include "cpu/wake_forecast.h"
#include "io/thread_safety.h"

namespace hv {

class VcpuThread;

// What the harts of one machine share.
struct VcpuWorld {
  // Stop the world. Set before kReqPark; a hart that comes to rest under it bumps rest_events.
  std::atomic<bool> paused{true};
  std::atomic<bool> quit{false};
  std::atomic<uint32_t> rest_events{0};
  // World stopped only.
  std::function<void(Hart&, uint64_t address, uint64_t opaque)> start_hook;
  TimerThread* timers = nullptr;
  CodePages* code_pages = nullptr;
  std::vector<VcpuThread*> vcpus;
};

// The thread executes, or rests: asleep in WFI, stopped (HSM), or parked (stop the world). At rest
// it touches no state of the hart but atomics and what mailbox functions touch.
class VcpuThread final : public Vcpu {
 public:
  VcpuThread(unsigned id, const VcpuSet::Config& config, VcpuWorld& world);
  ~VcpuThread() override;

  // Vcpu
  Hart& hart() override { return hart_; }
  Engine& engine() override { return *engine_; }
  void run_on(std::function<void(Hart&)> fn) override;
  void run_on_and_wait(const std::function<void(Hart&)>& fn) override;
  bool hsm_start(uint64_t address, uint64_t opaque) override HV_EXCLUDES(hsm_mutex_);
  void hsm_stop_self() override;
  HsmState hsm_state() const override { return hsm_state_.load(); }
  int thread_id() const override { return thread_id_; }
  bool is_sleeping() const override { return sleeping_.load(); }

  // HartPort
  bool drive_irq(HartIrq irq, bool level) override;
  void notice_irqs() override;
  void set_mtimecmp(uint64_t deadline_ticks) override;
  uint64_t mtimecmp() const override { return hart_.mtimecmp.load(); }
  unsigned hart_id() const override { return hart_.id; }

  // Any thread: sets the request bits; wakes the hart if it rests.
  void request(uint32_t bits) {
    hart_.requests.fetch_or(bits);
    rest_.alert();
  }
  void alert() { rest_.alert(); }
  bool parked() const { return rest_.parked(); }
  void join();

  // World stopped: what reset_all() does to this hart.
  void reset(const std::function<bool(Hart&)>& hook);

  // Remote fences. post_fence(): any thread, gives the ticket. fence_settled(): applied, or the
  // hart rests and will apply it before it executes again.
  uint64_t post_fence(const RemoteFence& fence);
  bool fence_settled(uint64_t ticket) const { return fences_.done(ticket) || rest_.resting(); }
  // This hart's thread, inside an instruction: rests until settled(). watch(), called before each
  // sleep while the hart already shows that it rests, asks whoever can settle it to alert this
  // hart; false: something changed meanwhile, look again instead of sleeping.
  void wait_mid_instruction(const std::function<bool()>& settled,
                            const std::function<bool()>& watch);
  void add_fence_waiter(unsigned hart) { fence_waiters_.fetch_or(1ull << hart); }

 private:
  void run();
  // Runs what other threads asked for; clears the request bits first.
  void handle_requests(bool will_execute);
  // Recomputes the timer bits, notes counter overflows, has the next deadline watched.
  void watch_timers();
  void wait_for_interrupt();
  // Another hart is expected to interrupt this one in a moment: waits for it without sleeping. True
  // if there is a reason to look again.
  bool await_expected(int64_t deadline_ns);
  // A device has woken this hart: wakes the one that it is expected to interrupt.
  void wake_next();
  void wait_for_start();
  // begin_rest(): from here on the hart counts as parked, and its fences as applied.
  void begin_rest(bool mid_instruction = false);
  // Goes on; parks first while the world is paused.
  void end_rest();
  void park();
  void alert_fence_waiters();

  Hart hart_;
  VcpuWorld& world_;
  std::unique_ptr<Mmu> mmu_;
  std::unique_ptr<Engine> engine_;
  RestWord rest_;
  Mailbox mailbox_;
  FenceQueue fences_;
  // Harts (by bit) to alert when a fence has been applied or this hart comes to rest.
  std::atomic<uint64_t> fence_waiters_{0};
  std::atomic<bool> sleeping_{false};
  // Whom this hart wakes, and the hart that is expected to wake this one.
  WakeForecast wake_forecast_;
  std::atomic<VcpuThread*> expected_from_{nullptr};
  // A reset happened while the thread was inside a rest: that rest is over.
  std::atomic<bool> was_reset_{false};

  Mutex hsm_mutex_;
  std::atomic<HsmState> hsm_state_{HsmState::kStopped};
  uint64_t start_address_ HV_GUARDED_BY(hsm_mutex_) = 0;
  uint64_t start_opaque_ HV_GUARDED_BY(hsm_mutex_) = 0;

  std::atomic<int> thread_id_{0};
  std::thread thread_;
};

}  // namespace hv
