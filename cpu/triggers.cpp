#include "cpu/triggers.h"

#include <algorithm>

#include "cpu/mmu.h"

namespace hv {
namespace {

// tdata1.
constexpr unsigned kTypeShift = 60;
constexpr uint64_t kTypeMcontrol = 2, kTypeMcontrol6 = 6, kTypeDisabled = 15;
// Where both types agree.
constexpr uint64_t kMachine = 1 << 6, kSupervisor = 1 << 4, kUser = 1 << 3, kExecute = 1 << 2,
                   kStore = 1 << 1, kLoad = 1 << 0;
constexpr uint64_t kModes = kMachine | kSupervisor | kUser;
constexpr uint64_t kControl = kModes | kExecute | kStore | kLoad;
// mcontrol: hit, sizehi, sizelo. mcontrol6: hit0, whose value 1 (hit1 = 0) means "before", and
// size.
constexpr uint64_t kHit = 1 << 20, kHit0 = 1 << 22;
constexpr uint64_t kSizeHi = 3 << 21, kSizeLo = 3 << 16, kSize6 = 7 << 16;

// tinfo: the types there are, and version 1 of the specification.
constexpr uint64_t kInfo =
    1ull << 24 | 1ull << kTypeDisabled | 1ull << kTypeMcontrol6 | 1ull << kTypeMcontrol;

uint64_t type_of(const Trigger& trigger) {
  return trigger.tdata1 >> kTypeShift;
}

// Bytes of the accesses that match; 0: any.
uint64_t wanted_size(const Trigger& trigger) {
  const uint64_t size = type_of(trigger) == kTypeMcontrol6
                            ? (trigger.tdata1 & kSize6) >> 16
                            : (trigger.tdata1 & kSizeHi) >> 19 | (trigger.tdata1 & kSizeLo) >> 16;
  switch (size) {
    case 1:
    case 2:
      return size;
    case 3:
      return 4;
    case 5:
      return 8;
    default:
      return 0;
  }
}

uint64_t control_bit(Access access) {
  return access == Access::kFetch ? kExecute : access == Access::kLoad ? kLoad : kStore;
}

bool armed(const Trigger& trigger, uint64_t kinds) {
  return type_of(trigger) != kTypeDisabled && (trigger.tdata1 & kModes) && (trigger.tdata1 & kinds);
}

// The trigger works in the hart's present state.
bool awake(const Hart& hart, const Trigger& trigger) {
  const CsrState& csr = hart.csr;
  switch (hart.priv) {
    case Priv::kUser:
      return trigger.tdata1 & kUser;
    case Priv::kSupervisor:
      if ((csr.medeleg >> static_cast<unsigned>(Cause::kBreakpoint) & 1) &&
          csr.in_supervisor_trap && !(csr.mstatus & kMstatusSie))
        return false;
      return trigger.tdata1 & kSupervisor;
    case Priv::kMachine:
      return (trigger.tdata1 & kMachine) && (!csr.in_machine_trap || csr.mstatus & kMstatusMie);
  }
  return false;
}

// `kinds`: control bits of the access.
bool pass(Hart& hart, uint64_t address, uint64_t size, uint64_t kinds) {
  for (Trigger& trigger : hart.csr.triggers) {
    if (!armed(trigger, kinds) || trigger.tdata2 - address >= size || !awake(hart, trigger))
      continue;
    const uint64_t wanted = kinds & kExecute ? 0 : wanted_size(trigger);
    if (wanted && wanted != size) continue;
    trigger.tdata1 |= type_of(trigger) == kTypeMcontrol6 ? kHit0 : kHit;
    return hart.raise(Cause::kBreakpoint, address);
  }
  return true;
}

// After a change: what was cached under other triggers goes.
void find_armed(Hart& hart) {
  CsrState& csr = hart.csr;
  const auto any = [&](uint64_t kinds) {
    return std::ranges::any_of(csr.triggers, [=](const Trigger& t) { return armed(t, kinds); });
  };
  const bool were_armed = csr.watch_armed || csr.break_armed;
  csr.watch_armed = any(kLoad | kStore);
  csr.break_armed = any(kExecute);
  if (were_armed || csr.watch_armed || csr.break_armed) hart.mmu->flush_all();
}

Trigger& selected(Hart& hart) {
  return hart.csr.triggers[hart.csr.tselect];
}

}  // namespace

bool has_trigger(const Hart& hart, uint64_t page, Access access) {
  const uint64_t kinds = access == Access::kFetch ? kExecute : kLoad | kStore;
  return std::ranges::any_of(hart.csr.triggers, [&](const Trigger& trigger) {
    return armed(trigger, kinds) && (trigger.tdata2 & kPageMask) == page;
  });
}

bool pass_triggers(Hart& hart, uint64_t address, uint64_t size, Access access) {
  return pass(hart, address, size, control_bit(access));
}

bool pass_atomic_triggers(Hart& hart, uint64_t address, uint64_t size, Access access) {
  return pass(hart, address, size, access == Access::kLoad ? kLoad : kLoad | kStore);
}

uint64_t legal_tdata1(uint64_t value) {
  const uint64_t type = value >> kTypeShift;
  Trigger trigger;
  if (type == kTypeMcontrol) {
    trigger.tdata1 = value & (kControl | kHit | kSizeHi | kSizeLo);
  } else if (type == kTypeMcontrol6) {
    trigger.tdata1 = value & (kControl | kHit0 | kSize6);
  } else {
    return kTypeDisabled << kTypeShift;
  }
  trigger.tdata1 |= type << kTypeShift;
  // A size that no access has is not taken.
  if (wanted_size(trigger) == 0)
    trigger.tdata1 &= ~(type == kTypeMcontrol ? kSizeHi | kSizeLo : kSize6);
  return trigger.tdata1;
}

uint64_t read_tselect(Hart& hart, unsigned) {
  return hart.csr.tselect;
}
void write_tselect(Hart& hart, unsigned, uint64_t value, uint64_t) {
  if (value < hart.csr.triggers.size()) hart.csr.tselect = static_cast<unsigned>(value);
}

uint64_t read_tdata1(Hart& hart, unsigned) {
  return selected(hart).tdata1;
}
void write_tdata1(Hart& hart, unsigned, uint64_t value, uint64_t) {
  selected(hart).tdata1 = legal_tdata1(value);
  find_armed(hart);
}

uint64_t read_tdata2(Hart& hart, unsigned) {
  return selected(hart).tdata2;
}
void write_tdata2(Hart& hart, unsigned, uint64_t value, uint64_t) {
  selected(hart).tdata2 = value;
  find_armed(hart);
}

uint64_t read_tinfo(Hart&, unsigned) {
  return kInfo;
}

}  // namespace hv
