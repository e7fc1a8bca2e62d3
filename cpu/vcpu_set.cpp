#include <signal.h>

#include <array>

#include "cpu/code_pages.h"
#include "cpu/trap.h"
#include "cpu/vcpu.h"
#include "cpu/vcpu_thread.h"

namespace hv {
namespace {

constexpr unsigned kMaxHarts = TimerThread::kMaxSlots;

// Threads made meanwhile take no signals: those are the main loop's.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
};

// What HSM start does without a hook: S-mode, untranslated.
void start_in_supervisor(Hart& hart, uint64_t address, uint64_t opaque) {
  hart.priv = Priv::kSupervisor;
  hart.csr.satp = 0;
  hart.csr.mstatus &= ~kMstatusSie;
  hart.pc = address;
  hart.x[10] = hart.id;
  hart.x[11] = opaque;
}

class VcpuSetImpl final : public VcpuSet {
 public:
  explicit VcpuSetImpl(const Config& config) {
    SignalsBlocked blocked;
    world_.start_hook = start_in_supervisor;
    timers_ = std::make_unique<TimerThread>(
        config.count, [this](unsigned hart) { vcpus_[hart]->request(kReqTimer); });
    world_.timers = timers_.get();
    code_pages_ = std::make_unique<CodePages>(*config.memory);
    code_pages_->set_harts(
        {.post = [this](unsigned hart) { return vcpus_[hart]->post_fence({.code = true}); },
         .settled = [this](unsigned hart,
                           uint64_t ticket) { return vcpus_[hart]->fence_settled(ticket); }});
    world_.code_pages = code_pages_.get();
    for (unsigned id = 0; id < config.count; ++id)
      vcpus_.push_back(std::make_unique<VcpuThread>(id, config, world_));
    for (auto& vcpu : vcpus_) world_.vcpus.push_back(vcpu.get());
  }

  ~VcpuSetImpl() override {
    // First to the end of every instruction: a hart inside one may wait for another's mailbox.
    pause_all();
    world_.quit.store(true);
    for (auto& vcpu : vcpus_) vcpu->request(kReqPark);
    for (auto& vcpu : vcpus_) vcpu->join();
    timers_.reset();
    // Their engines go next, and the compiler's thread with the last: it must not reach for any.
    code_pages_->set_harts({.post = [](unsigned) { return uint64_t{0}; },
                            .settled = [](unsigned, uint64_t) { return false; }});
  }

  unsigned count() const override { return static_cast<unsigned>(vcpus_.size()); }
  Vcpu& at(unsigned index) override { return *vcpus_[index]; }

  void set_reset_hook(std::function<bool(Hart&)> hook) override { reset_hook_ = std::move(hook); }
  void set_start_hook(std::function<void(Hart&, uint64_t, uint64_t)> hook) override {
    world_.start_hook = std::move(hook);
  }
  void set_environment_calls(EnvironmentCalls* calls) override {
    for (auto& vcpu : vcpus_) vcpu->hart().sbi = calls;
  }

  void pause_all() override {
    world_.paused.store(true);
    for (auto& vcpu : vcpus_) vcpu->hart().requests.fetch_or(kReqPark);
    for (;;) {
      const uint32_t events = world_.rest_events.load();
      bool all = true;
      for (auto& vcpu : vcpus_) all &= vcpu->parked();
      if (all) return;
      futex_wait(world_.rest_events, events);
    }
  }

  void resume_all() override {
    world_.paused.store(false);
    for (auto& vcpu : vcpus_) vcpu->alert();
  }

  void reset_all() override {
    for (auto& vcpu : vcpus_) vcpu->reset(reset_hook_);
  }

  void remote_fence(Hart& caller, const std::vector<unsigned>& targets,
                    const RemoteFence& fence) override {
    VcpuThread& self = *vcpus_[caller.id];
    std::array<uint64_t, kMaxHarts> tickets{};
    for (unsigned target : targets) tickets[target] = vcpus_[target]->post_fence(fence);
    size_t next = 0;
    auto settled = [&] {
      // The caller's own fence is applied at the end of its instruction.
      while (next < targets.size() &&
             (targets[next] == caller.id ||
              vcpus_[targets[next]]->fence_settled(tickets[targets[next]])))
        ++next;
      return next == targets.size();
    };
    if (settled()) return;
    self.wait_mid_instruction(settled, [&] {
      VcpuThread& target = *vcpus_[targets[next]];
      target.add_fence_waiter(caller.id);
      // Only this target alerts the caller: if it settled before it was asked to, the next one is
      // to be asked before the caller sleeps.
      return !target.fence_settled(tickets[targets[next]]);
    });
  }

 private:
  VcpuWorld world_;
  std::unique_ptr<CodePages> code_pages_;
  std::unique_ptr<TimerThread> timers_;
  std::vector<std::unique_ptr<VcpuThread>> vcpus_;
  std::function<bool(Hart&)> reset_hook_;
};

}  // namespace

Result<std::unique_ptr<VcpuSet>> VcpuSet::create(const Config& config) {
  if (config.count == 0 || config.count > kMaxHarts)
    return fail("-smp {}: use 1 to {} harts", config.count, kMaxHarts);
  return std::make_unique<VcpuSetImpl>(config);
}

}  // namespace hv
