// Finds the loads and stores of a path that can share a TLB probe. See docs/JIT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cpu/jit/trace.h"

namespace hv::jit {

// A load or store of the kind that the emitter probes for: all of them but atomics and halves.
bool is_access(Op kind);
// Bytes.
unsigned access_size(Op kind);

// One in a path: at the value numbered `base` plus `offset`.
struct Access {
  size_t op;
  uint32_t base;
  uint64_t offset;
  // How many instructions that may change translations are before it.
  uint32_t context;
  // The path is a loop, and each round adds this to base, which is x[stepper] at the loop's top
  // unless it is the same in each round. nullopt: base is another in each round.
  std::optional<int64_t> step;
  unsigned stepper = 0;
};

// The slots that groups may have.
inline constexpr unsigned kGroupSlots = 8;

// Enters the groups in trace.groups and in the ops.
void make_probe_groups(Trace& trace, const std::vector<Access>& accesses);

}  // namespace hv::jit
