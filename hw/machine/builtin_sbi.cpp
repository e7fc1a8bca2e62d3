#include "hw/machine/builtin_sbi.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "cpu/mmu.h"
#include "cpu/system_ops.h"
#include "cpu/trap.h"
#include "hw/machine/sbi_dbtr.h"
#include "hw/machine/sbi_pmu.h"
#include "hw/machine/sbi_return.h"

namespace hv {
namespace {

using enum SbiError;

enum Extension : uint64_t {
  kLegacySetTimer = 0,
  kLegacyPutchar = 1,
  kLegacyGetchar = 2,
  kLegacyClearIpi = 3,
  kLegacySendIpi = 4,
  kLegacyFenceI = 5,
  kLegacySfenceVma = 6,
  kLegacySfenceVmaAsid = 7,
  kLegacyShutdown = 8,
  kBase = 0x10,
  kTime = 0x54494d45,
  kIpi = 0x735049,
  kRfence = 0x52464e43,
  kHsm = 0x48534d,
  kSrst = 0x53525354,
  kDbcn = 0x4442434e,
  kPmu = 0x504d55,
  kDbtr = 0x44425452,
};

constexpr uint64_t kSpecVersion = 2u << 24;  // 2.0
// The specification assigns none to hartvisor; "hv" is far above those it has given out.
constexpr uint64_t kImplementationId = 0x6876;
constexpr uint64_t kImplementationVersion = 1;

constexpr unsigned kA0 = 10, kA1 = 11, kA6 = 16, kA7 = 17;

constexpr uint64_t kSsip = 1ull << static_cast<unsigned>(HartIrq::kSupervisorSoftware);

// One call takes no more console bytes than this, so that a hart is never long away from requests;
// the specification allows partial writes.
constexpr size_t kConsoleLimit = 64 << 10;

using Return = SbiReturn;

class BuiltinSbiImpl final : public BuiltinSbi {
 public:
  BuiltinSbiImpl(VcpuSet& harts, GuestMemory& memory, CharBackend* console, SystemControl& control)
      : harts_(harts),
        memory_(memory),
        console_(console),
        control_(control),
        suspended_(harts.count()),
        triggers_(harts.count()) {}

  void set_console_input(ConsoleInput input) override { console_input_ = std::move(input); }
  void enter_supervisor(Hart& hart, uint64_t address, uint64_t opaque) override {
    leave_to_supervisor(hart, address, opaque);
    if (hart.config->debug_triggers) triggers_[hart.id].reset(hart);
  }
  SysResult supervisor_ecall(Hart& hart) override;

 private:
  using Targets = std::optional<std::vector<unsigned>>;

  SysResult legacy(Hart& hart, uint64_t extension);
  Return base(const Hart& hart, uint64_t function, uint64_t argument) const;
  Return rfence(Hart& hart, uint64_t function);
  SysResult hsm(Hart& hart, uint64_t function);
  Return hart_start(const Hart& hart, uint64_t id, uint64_t address, uint64_t opaque);
  Return hart_status(uint64_t id);
  SysResult hart_suspend(Hart& hart);
  Return system_reset(Hart& hart, uint32_t type, uint32_t reason);
  SysResult debug_console(Hart& hart, uint64_t function);
  Return console_write(uint64_t count, uint64_t low, uint64_t high);
  Return console_read(uint64_t count, uint64_t low, uint64_t high);

  Return send_ipi(const Targets& targets);
  Return fence(Hart& hart, const Targets& targets, const RemoteFence& fence);
  // False: the console is full.
  bool put_byte(uint8_t byte);
  std::optional<uint8_t> get_byte();
  // The harts of a mask argument; nullopt when one of them does not exist.
  Targets targets(uint64_t mask, uint64_t base) const;
  // The harts of a legacy mask in the caller's memory; nullopt: the fault is in the hart.
  Targets legacy_targets(Hart& hart, uint64_t address) const;
  std::vector<unsigned> all_harts() const;
  bool is_executable(const Hart& hart, uint64_t address) const;
  Vcpu& vcpu(const Hart& hart) { return harts_.at(hart.id); }

  VcpuSet& harts_;
  GuestMemory& memory_;
  CharBackend* const console_;
  SystemControl& control_;
  ConsoleInput console_input_;
  // The hart's last call was HSM suspend; while it sleeps it counts as suspended.
  std::vector<std::atomic<bool>> suspended_;
  std::vector<SbiDbtr> triggers_;  // each its hart's
};

SysResult finish(Hart& hart, const Return& result) {
  hart.x[kA0] = static_cast<uint64_t>(result.error);
  hart.x[kA1] = result.value;
  return SysResult::kNext;
}

SysResult finish_legacy(Hart& hart, int64_t value) {
  hart.x[kA0] = static_cast<uint64_t>(value);
  return SysResult::kNext;
}

// The console is full: the ecall runs again a little later, after whatever the hart is asked to do.
SysResult try_again() {
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 1'000'000};
  nanosleep(&kPause, nullptr);
  return SysResult::kRedirect;
}

RemoteFence translation_fence(uint64_t start, uint64_t size, std::optional<uint64_t> asid) {
  RemoteFence fence{.translation = true, .asid = asid};
  const bool whole_space = (start == 0 && size == 0) || size == ~0ull;
  if (!whole_space) {
    fence.start = start;
    fence.size = size;
  }
  return fence;
}

// [start, start + size) does not wrap; it may end at the top of the address space.
bool is_range(uint64_t start, uint64_t size) {
  return size <= 1 || start + (size - 1) >= start;
}

SysResult BuiltinSbiImpl::supervisor_ecall(Hart& hart) {
  suspended_[hart.id].store(false, std::memory_order_relaxed);
  const uint64_t extension = hart.x[kA7], function = hart.x[kA6];
  const uint64_t a0 = hart.x[kA0], a1 = hart.x[kA1];
  switch (extension) {
    case kBase:
      return finish(hart, base(hart, function, a0));
    case kTime:
      if (function != 0) break;
      set_stimecmp(hart, a0);
      return finish(hart, {});
    case kIpi:
      if (function != 0) break;
      return finish(hart, send_ipi(targets(a0, a1)));
    case kRfence:
      return finish(hart, rfence(hart, function));
    case kHsm:
      return hsm(hart, function);
    case kSrst:
      if (function != 0) break;
      return finish(hart, system_reset(hart, static_cast<uint32_t>(a0), static_cast<uint32_t>(a1)));
    case kDbcn:
      return debug_console(hart, function);
    case kPmu:
      if (!hart.has(Ext::kZihpm)) break;
      return finish(hart, sbi_pmu_call(hart, function));
    case kDbtr:
      if (!hart.config->debug_triggers) break;
      return finish(hart, triggers_[hart.id].call(hart, memory_, function));
    default:
      if (extension <= kLegacyShutdown) return legacy(hart, extension);
  }
  return finish(hart, {kNotSupported});
}

SysResult BuiltinSbiImpl::legacy(Hart& hart, uint64_t extension) {
  const uint64_t a0 = hart.x[kA0], start = hart.x[11], size = hart.x[12];
  switch (extension) {
    case kLegacySetTimer:
      set_stimecmp(hart, a0);
      return finish_legacy(hart, 0);
    case kLegacyPutchar:
      if (!put_byte(static_cast<uint8_t>(a0))) return try_again();
      return finish_legacy(hart, 0);
    case kLegacyGetchar: {
      const auto byte = get_byte();
      return finish_legacy(hart, byte ? *byte : -1);
    }
    case kLegacyClearIpi:
      return finish_legacy(hart, hart.mip.fetch_and(~kSsip) & kSsip ? 1 : 0);
    case kLegacyShutdown:
      system_reset(hart, 0, 0);
      return SysResult::kNext;
  }
  const Targets targets = legacy_targets(hart, a0);
  if (!targets) return SysResult::kException;
  Return result;
  switch (extension) {
    case kLegacySendIpi:
      result = send_ipi(targets);
      break;
    case kLegacyFenceI:
      result = fence(hart, targets, {.instruction = true});
      break;
    case kLegacySfenceVma:
      result = fence(hart, targets, translation_fence(start, size, std::nullopt));
      break;
    case kLegacySfenceVmaAsid:
      result = fence(hart, targets, translation_fence(start, size, hart.x[13]));
      break;
  }
  return finish_legacy(hart, static_cast<int64_t>(result.error));
}

Return BuiltinSbiImpl::base(const Hart& hart, uint64_t function, uint64_t argument) const {
  switch (function) {
    case 0:
      return {kSuccess, kSpecVersion};
    case 1:
      return {kSuccess, kImplementationId};
    case 2:
      return {kSuccess, kImplementationVersion};
    case 3: {
      static constexpr std::array kModern{kBase, kTime, kIpi, kRfence, kHsm, kSrst, kDbcn};
      const bool available = argument <= kLegacyShutdown ||
                             (argument == kPmu && hart.has(Ext::kZihpm)) ||
                             (argument == kDbtr && hart.config->debug_triggers) ||
                             std::find(kModern.begin(), kModern.end(), argument) != kModern.end();
      return {kSuccess, available};
    }
    case 4:
      return {kSuccess, hart.config->vendor_id};
    case 5:
      return {kSuccess, hart.config->arch_id};
    case 6:
      return {kSuccess, hart.config->imp_id};
  }
  return {kNotSupported};
}

std::vector<unsigned> BuiltinSbiImpl::all_harts() const {
  std::vector<unsigned> ids(harts_.count());
  for (unsigned i = 0; i < ids.size(); ++i) ids[i] = i;
  return ids;
}

BuiltinSbiImpl::Targets BuiltinSbiImpl::targets(uint64_t mask, uint64_t base) const {
  if (base == ~0ull) return all_harts();
  const uint64_t count = harts_.count();
  if (base >= count) return std::nullopt;
  std::vector<unsigned> ids;
  for (; mask; mask &= mask - 1) {
    const uint64_t id = base + static_cast<unsigned>(std::countr_zero(mask));
    if (id >= count) return std::nullopt;
    ids.push_back(static_cast<unsigned>(id));
  }
  return ids;
}

BuiltinSbiImpl::Targets BuiltinSbiImpl::legacy_targets(Hart& hart, uint64_t address) const {
  // Not in the specification, but what OpenSBI does and callers rely on.
  if (address == 0) return all_harts();
  std::vector<unsigned> ids;
  for (unsigned first = 0; first < harts_.count(); first += 64) {
    uint64_t mask;
    if (!hart.mmu->load(address + first / 8, 8, mask)) return std::nullopt;
    for (unsigned i = 0; i < 64 && first + i < harts_.count(); ++i)
      if (mask >> i & 1) ids.push_back(first + i);
  }
  return ids;
}

Return BuiltinSbiImpl::send_ipi(const Targets& targets) {
  if (!targets) return {kInvalidParam};
  for (const unsigned id : *targets) {
    Vcpu& target = harts_.at(id);
    if (target.hsm_state() != HsmState::kStopped)
      target.set_irq(HartIrq::kSupervisorSoftware, true);
  }
  return {};
}

Return BuiltinSbiImpl::fence(Hart& hart, const Targets& targets, const RemoteFence& fence) {
  if (!targets) return {kInvalidParam};
  if (fence.start && !is_range(*fence.start, fence.size)) return {kInvalidAddress};
  if (!targets->empty()) harts_.remote_fence(hart, *targets, fence);
  return {};
}

Return BuiltinSbiImpl::rfence(Hart& hart, uint64_t function) {
  const uint64_t start = hart.x[12], size = hart.x[13], asid = hart.x[14];
  const auto harts = [&] { return targets(hart.x[kA0], hart.x[kA1]); };
  switch (function) {
    case 0:
      return fence(hart, harts(), {.instruction = true});
    case 1:
      return fence(hart, harts(), translation_fence(start, size, std::nullopt));
    case 2:
      return fence(hart, harts(), translation_fence(start, size, asid));
  }
  return {kNotSupported};  // 3 to 6 are for harts with the hypervisor extension
}

bool BuiltinSbiImpl::is_executable(const Hart& hart, uint64_t address) const {
  const uint64_t alignment = hart.has(Ext::kC) ? 2 : 4;
  return address % alignment == 0 && memory_.contains(address, alignment);
}

SysResult BuiltinSbiImpl::hsm(Hart& hart, uint64_t function) {
  const uint64_t a0 = hart.x[kA0];
  switch (function) {
    case 0:
      return finish(hart, hart_start(hart, a0, hart.x[11], hart.x[12]));
    case 1:
      // An IPI sent before does not wait for the next start.
      hart.mip.fetch_and(~kSsip);
      vcpu(hart).hsm_stop_self();
      return SysResult::kNext;
    case 2:
      return finish(hart, hart_status(a0));
    case 3:
      return hart_suspend(hart);
  }
  return finish(hart, {kNotSupported});
}

Return BuiltinSbiImpl::hart_start(const Hart& hart, uint64_t id, uint64_t address,
                                  uint64_t opaque) {
  if (id >= harts_.count()) return {kInvalidParam};
  if (!is_executable(hart, address)) return {kInvalidAddress};
  Vcpu& target = harts_.at(static_cast<unsigned>(id));
  if (target.hsm_start(address, opaque)) return {};
  // Between two states a hart cannot be started.
  return {target.hsm_state() == HsmState::kStarted ? kAlreadyAvailable : kInvalidParam};
}

Return BuiltinSbiImpl::hart_status(uint64_t id) {
  if (id >= harts_.count()) return {kInvalidParam};
  const Vcpu& target = harts_.at(static_cast<unsigned>(id));
  HsmState state = target.hsm_state();
  if (state == HsmState::kStarted && target.is_sleeping() &&
      suspended_[id].load(std::memory_order_relaxed))
    state = HsmState::kSuspended;
  return {kSuccess, static_cast<uint64_t>(state)};
}

SysResult BuiltinSbiImpl::hart_suspend(Hart& hart) {
  constexpr uint32_t kRetentive = 0, kNonRetentive = 0x80000000;
  const auto type = static_cast<uint32_t>(hart.x[kA0]);
  if (type == kNonRetentive) {
    const uint64_t address = hart.x[11], opaque = hart.x[12];
    if (!is_executable(hart, address)) return finish(hart, {kInvalidAddress});
    // The hart sleeps in the state in which it resumes; what may wake it (sie, its timer) stays.
    BuiltinSbi::resume_supervisor(hart, address, opaque);
    hart.pc -= 4;  // kWait steps over the ecall
  } else if (type == kRetentive) {
    finish(hart, {});
  } else {
    return finish(hart, {kInvalidParam});
  }
  suspended_[hart.id].store(true, std::memory_order_relaxed);
  return SysResult::kWait;
}

Return BuiltinSbiImpl::system_reset(Hart& hart, uint32_t type, uint32_t reason) {
  constexpr uint32_t kShutdown = 0, kColdReboot = 1, kWarmReboot = 2;
  constexpr uint32_t kNoReason = 0, kSystemFailure = 1;
  if (type > kWarmReboot || (reason != kNoReason && reason != kSystemFailure))
    return {kInvalidParam};
  switch (type) {
    case kShutdown:
      if (reason == kSystemFailure)
        control_.request_shutdown(ShutdownCause::kGuestPanic, 1);
      else
        control_.request_shutdown(ShutdownCause::kGuestShutdown, 0);
      break;
    case kColdReboot:
    case kWarmReboot:
      control_.request_reset(true);
      break;
  }
  // The call does not return.
  vcpu(hart).hsm_stop_self();
  return {};
}

SysResult BuiltinSbiImpl::debug_console(Hart& hart, uint64_t function) {
  const uint64_t a0 = hart.x[kA0], a1 = hart.x[kA1], a2 = hart.x[12];
  switch (function) {
    case 0:
      return finish(hart, console_write(a0, a1, a2));
    case 1:
      return finish(hart, console_read(a0, a1, a2));
    case 2:
      if (!put_byte(static_cast<uint8_t>(a0))) return try_again();
      return finish(hart, {});
  }
  return finish(hart, {kNotSupported});
}

Return BuiltinSbiImpl::console_write(uint64_t count, uint64_t low, uint64_t high) {
  if (high != 0 || !memory_.contains(low, count)) return {kInvalidParam};
  count = std::min<uint64_t>(count, kConsoleLimit);
  if (!console_) return {kSuccess, count};
  std::array<uint8_t, 1024> buffer;
  uint64_t done = 0;
  while (done < count) {
    const size_t piece = std::min<uint64_t>(buffer.size(), count - done);
    memory_.read(low + done, buffer.data(), piece);
    const size_t taken = console_->write({buffer.data(), piece});
    done += taken;
    if (taken < piece) break;
  }
  return {kSuccess, done};
}

Return BuiltinSbiImpl::console_read(uint64_t count, uint64_t low, uint64_t high) {
  if (high != 0 || !memory_.contains(low, count)) return {kInvalidParam};
  if (!console_input_) return {};
  std::array<uint8_t, 1024> buffer;
  const size_t got = console_input_({buffer.data(), std::min<uint64_t>(buffer.size(), count)});
  memory_.write(low, buffer.data(), got);
  return {kSuccess, got};
}

bool BuiltinSbiImpl::put_byte(uint8_t byte) {
  return !console_ || console_->write({&byte, 1}) == 1;
}

std::optional<uint8_t> BuiltinSbiImpl::get_byte() {
  uint8_t byte;
  if (!console_input_ || console_input_({&byte, 1}) == 0) return std::nullopt;
  return byte;
}

}  // namespace

std::unique_ptr<BuiltinSbi> BuiltinSbi::create(VcpuSet& harts, GuestMemory& memory,
                                               CharBackend* console, SystemControl& control) {
  auto sbi = std::make_unique<BuiltinSbiImpl>(harts, memory, console, control);
  harts.set_environment_calls(sbi.get());
  harts.set_start_hook([sbi = sbi.get()](Hart& hart, uint64_t address, uint64_t opaque) {
    sbi->enter_supervisor(hart, address, opaque);
  });
  return sbi;
}

}  // namespace hv
