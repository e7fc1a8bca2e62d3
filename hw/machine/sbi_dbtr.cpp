#include "hw/machine/sbi_dbtr.h"

#include <algorithm>
#include <bit>

#include "cpu/system_ops.h"
#include "cpu/triggers.h"

namespace hv {
namespace {

using enum SbiError;

// Debug specification 1.0, 5.7. The bits lie alike in mcontrol and mcontrol6.
constexpr unsigned kTselect = 0x7a0, kTdata1 = 0x7a1, kTdata2 = 0x7a2;
constexpr unsigned kTypeShift = 60;
constexpr uint64_t kTypeMcontrol = 2, kTypeMcontrol6 = 6;
constexpr uint64_t kDmode = 1ull << 59, kChain = 1 << 11, kMachine = 1 << 6, kSupervisor = 1 << 4,
                   kUser = 1 << 3, kModes = kSupervisor | kUser;

// trig_state.
constexpr uint64_t kStateMapped = 1 << 0, kStateUser = 1 << 1, kStateSupervisor = 1 << 2;

uint64_t state_of(uint64_t modes) {
  return kStateMapped | (modes & kUser ? kStateUser : 0) |
         (modes & kSupervisor ? kStateSupervisor : 0);
}

SbiError check(uint64_t tdata1, uint64_t tdata3, bool last) {
  const uint64_t type = tdata1 >> kTypeShift;
  if (type != kTypeMcontrol && type != kTypeMcontrol6) return kFailed;
  if (tdata1 & (kDmode | kMachine) || (last && tdata1 & kChain)) return kInvalidParam;
  return legal_tdata1(tdata1) == tdata1 && tdata3 == 0 ? kSuccess : kNotSupported;
}

uint64_t read_tdata1(Hart& hart, size_t index) {
  uint64_t value = 0;
  debug_write_csr(hart, kTselect, index);
  debug_read_csr(hart, kTdata1, value);
  return value;
}

void write_tdata1(Hart& hart, size_t index, uint64_t value) {
  debug_write_csr(hart, kTselect, index);
  debug_write_csr(hart, kTdata1, value);
}

}  // namespace

SbiReturn SbiDbtr::call(Hart& hart, GuestMemory& memory, uint64_t function) {
  const uint64_t a0 = hart.x[10], a1 = hart.x[11], a2 = hart.x[12];
  switch (function) {
    case 0:
      return {kSuccess, a0 == 0 || check(a0, 0, false) == kSuccess ? kCount : 0};
    case 1:
      return set_shared_memory(memory, a0, a1, a2);
    case 2:
      return read(hart, memory, a0, a1);
    case 3:
      return install(hart, memory, a0);
    case 4:
      return update(hart, memory, a0);
    case 5:
      return uninstall(hart, a0, a1);
    case 6:
      return set_enabled(hart, a0, a1, true);
    case 7:
      return set_enabled(hart, a0, a1, false);
  }
  return {kNotSupported};
}

void SbiDbtr::reset(Hart& hart) {
  for (size_t index = 0; index < kCount; ++index) clear(hart, index);
  shared_memory_.reset();
}

SbiReturn SbiDbtr::set_shared_memory(const GuestMemory& memory, uint64_t low, uint64_t high,
                                     uint64_t flags) {
  if (flags != 0) return {kInvalidParam};
  if (low == ~0ull && high == ~0ull) {
    shared_memory_.reset();
    return {};
  }
  if (low % sizeof(uint64_t) != 0) return {kInvalidParam};
  if (high != 0 || !memory.contains(low, sizeof(Entries))) return {kInvalidAddress};
  shared_memory_ = low;
  return {};
}

SbiReturn SbiDbtr::read(Hart& hart, GuestMemory& memory, uint64_t base, uint64_t count) {
  if (!shared_memory_) return {kNoSharedMemory};
  if (base >= kCount || count >= kCount - base) return {kBadRange};
  Entries entries{};
  for (size_t i = 0; i < count; ++i) {
    const Installed& installed = installed_[base + i];
    if (!installed.mapped) continue;
    entries[i] = {state_of(installed.modes), read_tdata1(hart, base + i),
                  hart.csr.triggers[base + i].tdata2, 0};
  }
  memory.write(*shared_memory_, entries.data(), count * sizeof(Entry));
  return {};
}

SbiReturn SbiDbtr::install(Hart& hart, GuestMemory& memory, uint64_t count) {
  if (!shared_memory_) return {kNoSharedMemory};
  if (count > kCount) return {kBadRange};
  Entries entries = load(memory, count);
  for (size_t i = 0; i < count; ++i) {
    const SbiError error = check(entries[i].tdata1, entries[i].tdata3, i + 1 == count);
    if (error != kSuccess) return {error, i};
  }
  const auto available =
      static_cast<uint64_t>(std::ranges::count(installed_, false, &Installed::mapped));
  if (available < count) return {kFailed, available};
  size_t index = 0;
  for (size_t i = 0; i < count; ++i, ++index) {
    while (installed_[index].mapped) ++index;
    program(hart, index, entries[i]);
    memory.write(*shared_memory_ + i * sizeof(Entry), &index, sizeof(uint64_t));
  }
  return {};
}

SbiReturn SbiDbtr::update(Hart& hart, GuestMemory& memory, uint64_t count) {
  if (!shared_memory_) return {kNoSharedMemory};
  if (count >= kCount) return {kBadRange};
  const Entries entries = load(memory, count);
  for (size_t i = 0; i < count; ++i) {
    const auto& [index, tdata1, tdata2, tdata3] = entries[i];
    if (index >= kCount) return {kInvalidParam, i};
    if (!installed_[index].mapped) return {kFailed, i};
    // With the type goes chain, which no installed trigger has.
    if ((tdata1 ^ read_tdata1(hart, index)) >> kTypeShift || tdata1 & kChain)
      return {kInvalidParam, i};
    const SbiError error = check(tdata1, tdata3, false);
    if (error != kSuccess) return {error, i};
  }
  for (size_t i = 0; i < count; ++i) program(hart, entries[i].state_or_index, entries[i]);
  return {};
}

SbiReturn SbiDbtr::uninstall(Hart& hart, uint64_t base, uint64_t mask) {
  const auto indices = named(base, mask);
  if (!indices) return {kInvalidParam};
  for (uint64_t left = *indices; left; left &= left - 1)
    clear(hart, static_cast<size_t>(std::countr_zero(left)));
  return {};
}

SbiReturn SbiDbtr::set_enabled(Hart& hart, uint64_t base, uint64_t mask, bool enabled) {
  const auto indices = named(base, mask);
  if (!indices) return {kInvalidParam};
  for (uint64_t left = *indices; left; left &= left - 1) {
    const auto index = static_cast<size_t>(std::countr_zero(left));
    const uint64_t modes = enabled ? installed_[index].modes : 0;
    write_tdata1(hart, index, (read_tdata1(hart, index) & ~kModes) | modes);
  }
  return {};
}

// The other harts may write it meanwhile, so it is read once.
SbiDbtr::Entries SbiDbtr::load(const GuestMemory& memory, size_t count) const {
  Entries entries{};
  memory.read(*shared_memory_, entries.data(), count * sizeof(Entry));
  return entries;
}

void SbiDbtr::program(Hart& hart, size_t index, const Entry& entry) {
  installed_[index] = {true, entry.tdata1 & kModes};
  // tdata2 is written while the trigger is disabled (Debug specification 1.0, 5.5).
  write_tdata1(hart, index, 0);
  debug_write_csr(hart, kTdata2, entry.tdata2);
  debug_write_csr(hart, kTdata1, entry.tdata1);
}

void SbiDbtr::clear(Hart& hart, size_t index) {
  installed_[index] = {};
  write_tdata1(hart, index, 0);
  debug_write_csr(hart, kTdata2, 0);
}

std::optional<uint64_t> SbiDbtr::named(uint64_t base, uint64_t mask) const {
  uint64_t indices = 0;
  for (; mask; mask &= mask - 1) {
    const auto offset = static_cast<unsigned>(std::countr_zero(mask));
    if (base >= kCount || offset >= kCount - base || !installed_[base + offset].mapped)
      return std::nullopt;
    indices |= 1ull << (base + offset);
  }
  return indices;
}

}  // namespace hv
