// A hart as devices and firmware see it: inputs that any thread may drive.
#pragma once

#include <cstdint>

namespace hv {

// Interrupt inputs by their bit number in mip (privileged specification 3.1.9).
enum class HartIrq : unsigned {
  kSupervisorSoftware = 1,
  kMachineSoftware = 3,
  kSupervisorTimer = 5,
  kMachineTimer = 7,
  kSupervisorExternal = 9,
  kMachineExternal = 11,
};

// All calls: any thread, never block, make no syscall unless the hart sleeps in WFI. Another hart
// that this one is expected to interrupt may be woken with it.
class HartPort {
 public:
  // Drives an interrupt input. Machine inputs and kSupervisorExternal are levels held by their
  // source; kSupervisorSoftware true sets the guest-clearable SSIP bit, false clears it.
  void set_irq(HartIrq irq, bool level) {
    if (drive_irq(irq, level)) notice_irqs();
  }
  // The same in two steps, for callers that others wait for meanwhile, the hart that this wakes
  // before all: the first makes no syscall; true: the second has to follow, or the hart sleeps on.
  virtual bool drive_irq(HartIrq irq, bool level) = 0;
  virtual void notice_irqs() = 0;

  // ACLINT mtimecmp of this hart, in GuestClock ticks: MTIP is (now >= deadline). The hart itself
  // watches the deadline, asleep or busy.
  virtual void set_mtimecmp(uint64_t deadline_ticks) = 0;
  virtual uint64_t mtimecmp() const = 0;

  virtual unsigned hart_id() const = 0;

 protected:
  ~HartPort() = default;
};

}  // namespace hv
