// Paths that lead back to their beginning. They are emitted twice:
//
//   top --> round --> ... --> enough patience? --> strip --> round without probes --> ... --+
//    ^                                                                                      |
//    +---------------------- a page ends, or an address is not known yet -------------------+
//
// A strip is as many rounds as no address that goes on by the same step in each round leaves the
// page where the round before the strip found it. Addresses that stay the same have been found too.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "cpu/jit/emitter.h"

namespace hv::jit {
namespace {

constexpr auto kPage = static_cast<int32_t>(GuestMemory::kPageSize);

// Rounds before a first strip, for loops that soon end; before the next one after a page's end, and
// after an address was in no page of the TLB.
constexpr int kFirstPatience = 2, kPatience = 1, kLongPatience = 8;
constexpr int kMinRounds = 4;

bool stays(const ProbeGroup& group) {
  return group.carried || group.step != 0;
}

}  // namespace

void Emitter::emit_loop() {
  // No round changes FS or frm then.
  if (uses_float_ && std::ranges::none_of(trace_.ops, runs_system_code))
    check_float(trace_.ops.front(), false);
  load_for_loop();
  const x86::Mem patience = x86::dword_ptr(kHart, HV_HART_OFFSET(native_patience));
  const x86::Mem requests = x86::dword_ptr(kHart, HV_HART_OFFSET(requests));
  const asmjit::Label top = a_.newLabel(), exit = a_.newLabel();
  const auto count = static_cast<uint32_t>(trace_.ops.size());
  if (trace_.strips) a_.mov(patience, kFirstPatience);
  uint32_t dirty = dirty_, float_dirty = float_dirty_;
  a_.bind(top);
  emit_ops();
  add_retired(count);
  a_.cmp(requests, 0);
  if (!trace_.strips) {
    a_.je(top);
  } else {
    const asmjit::Label strip = a_.newLabel(), ended = a_.newLabel();
    a_.jne(exit);
    a_.sub(patience, 1);
    a_.jnz(top);
    begin_strip(top, strip);
    // What has become true in one round is so in the following ones: FS is dirty, singles that
    // are not written otherwise are boxed.
    std::swap(dirty, dirty_);
    std::swap(float_dirty, float_dirty_);
    in_strip_ = true;
    a_.bind(strip);
    emit_ops();
    in_strip_ = false;
    add_retired(count);
    if (const ProbeGroup* group = stepping_group()) {
      a_.cmp(source(group->stepper, x86::rax),
             x86::qword_ptr(kHart, HV_HART_OFFSET(native_strip_end)));
      a_.je(ended);
      out_of_line([=, this] {
        a_.bind(ended);
        a_.mov(patience, kPatience);
        a_.cmp(requests, 0);
        a_.je(top);
        a_.jmp(exit);
      });
    }
    a_.cmp(requests, 0);
    a_.je(strip);
  }
  a_.bind(exit);
  store_registers(dirty_ | dirty);
  store_float_registers(float_dirty_ | float_dirty);
  a_.mov(x86::rdx, address_of(&link_to(trace_.ops.front().page_offset)));
  a_.jmp(address_of(stubs_.request));
}

// Whatever a round may leave in registers, the next finds there.
void Emitter::load_for_loop() {
  const uint32_t changed = changed_registers();
  for (unsigned reg = 1; reg < 32; ++reg) {
    if (!assigned(reg)) continue;
    a_.mov(host(reg), guest(reg));
    loaded_ |= bit(reg);
    if (changed & bit(reg)) dirty_ |= bit(reg);
  }
  for (unsigned reg = 0; reg < 32; ++reg) {
    if (!float_assigned(reg)) continue;
    a_.movsd(float_host(reg), guest_float(reg));
    float_loaded_ |= bit(reg);
    if (float_changed_ & bit(reg)) float_dirty_ |= bit(reg);
  }
  for (const ProbeGroup& group : trace_.groups)
    if (group.carried) clear_slot(group.slot);
}

// Any of them tells when the strip ends.
const ProbeGroup* Emitter::stepping_group() const {
  const auto group = std::ranges::find_if(trace_.groups, [](const auto& g) { return g.step != 0; });
  return group == trace_.groups.end() ? nullptr : &*group;
}

// Between two rounds. Goes on at `strip` with the slots as it wants them, or at `top`.
void Emitter::begin_strip(asmjit::Label top, asmjit::Label strip) {
  const asmjit::Label unknown = a_.newLabel(), near_end = a_.newLabel();
  const x86::Mem patience = x86::dword_ptr(kHart, HV_HART_OFFSET(native_patience));
  const ProbeGroup* const first_stepping = stepping_group();
  // The host's address in the round before has its offset in the page in common with the guest's.
  for (const ProbeGroup& group : trace_.groups) {
    if (!stays(group)) continue;
    x86::Gp found = x86::rax;
    if (slot_assigned(group.slot))
      found = slot_host(group.slot);
    else
      a_.mov(found, slot_memory(group.slot));
    a_.test(found, found);
    a_.jz(unknown);
    if (!group.step) continue;
    // ecx: how far the next round's first byte may still go.
    if (group.step > 0) {
      a_.mov(x86::eax, found.r32());
      a_.and_(x86::eax, kPage - 1);
      a_.mov(x86::ecx, kPage - group.bytes - group.step);
      a_.sub(x86::ecx, x86::eax);
    } else {
      a_.mov(x86::ecx, found.r32());
      a_.and_(x86::ecx, kPage - 1);
      a_.sub(x86::ecx, -group.step);
    }
    a_.js(near_end);
    const auto step = static_cast<uint32_t>(std::abs(group.step));
    if (std::has_single_bit(step)) {
      if (step > 1) a_.shr(x86::ecx, std::countr_zero(step));
    } else {
      // Exact for products of less than 2^32.
      a_.imul(x86::rcx, x86::rcx, static_cast<int32_t>((1ull << 32) / step + 1));
      a_.shr(x86::rcx, 32);
    }
    a_.add(x86::ecx, 1);
    if (&group == first_stepping) {
      a_.mov(x86::edx, x86::ecx);
    } else {
      a_.cmp(x86::edx, x86::ecx);
      a_.cmova(x86::edx, x86::ecx);
    }
  }
  if (first_stepping) {
    a_.cmp(x86::edx, kMinRounds);
    a_.jb(near_end);
    a_.imul(x86::rcx, x86::rdx, first_stepping->step);
    a_.add(x86::rcx, source(first_stepping->stepper, x86::rax));
    a_.mov(x86::qword_ptr(kHart, HV_HART_OFFSET(native_strip_end)), x86::rcx);
  }
  for (const ProbeGroup& group : trace_.groups) {
    if (!group.step) continue;
    const bool kept = slot_assigned(group.slot);
    const x86::Gp slot = kept ? slot_host(group.slot) : x86::Gp(x86::rcx);
    if (!kept) a_.mov(slot, slot_memory(group.slot));
    // The guest's address in the round before.
    a_.sub(slot, source(group.stepper, x86::rax));
    if (const int32_t rest = group.step - group.begin) a_.add(slot, rest);
    if (!kept) a_.mov(slot_memory(group.slot), slot);
  }
  a_.jmp(strip);
  a_.bind(unknown);
  a_.mov(patience, kLongPatience);
  a_.jmp(top);
  a_.bind(near_end);
  a_.mov(patience, kPatience);
  a_.jmp(top);
}

}  // namespace hv::jit
