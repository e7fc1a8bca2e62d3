#include "cpu/jit/probe_groups.h"

#include <algorithm>
#include <array>

namespace hv::jit {
namespace {

// More would often reach over a page's end.
constexpr uint64_t kMaxBytes = 256;

// Strips of a page are to be worth their beginning.
constexpr int64_t kMaxStep = 256;
// The second copy of a longer path might not fit into a small region of code memory.
constexpr size_t kMaxStripOps = 100;

// Accesses from one base; offsets as signed numbers.
struct Cluster {
  uint32_t base, context;
  int64_t begin, end;
  std::vector<const Access*> accesses;

  bool carried() const { return accesses.front()->step == 0; }
  bool steps() const {
    const auto step = accesses.front()->step;
    return step && *step != 0 && *step >= -kMaxStep && *step <= kMaxStep;
  }
};

std::vector<Cluster> clusters_of(const Trace& trace, const std::vector<Access>& accesses) {
  std::vector<Cluster> clusters;
  for (const Access& access : accesses) {
    const TraceOp& op = trace.ops[access.op];
    const auto begin = static_cast<int64_t>(access.offset);
    const auto end = static_cast<int64_t>(access.offset + access_size(op.kind));
    // The emitter's displacements have 32 bits.
    constexpr int64_t kFar = 1 << 30;
    const auto far = [](int64_t value) { return value < -kFar || value > kFar; };
    if (far(begin) || far(op.fields.imm)) continue;
    const auto near = std::ranges::find_if(clusters, [&](const Cluster& cluster) {
      return cluster.base == access.base && cluster.context == access.context &&
             static_cast<uint64_t>(std::max(end, cluster.end) - std::min(begin, cluster.begin)) <=
                 kMaxBytes;
    });
    if (near == clusters.end()) {
      clusters.push_back({access.base, access.context, begin, end, {&access}});
      continue;
    }
    near->begin = std::min(begin, near->begin);
    near->end = std::max(end, near->end);
    near->accesses.push_back(&access);
  }
  return clusters;
}

}  // namespace

bool is_access(Op kind) {
  switch (kind) {
    case Op::lb:
    case Op::lh:
    case Op::lw:
    case Op::ld:
    case Op::lbu:
    case Op::lhu:
    case Op::lwu:
    case Op::sb:
    case Op::sh:
    case Op::sw:
    case Op::sd:
    case Op::flw:
    case Op::fld:
    case Op::fsw:
    case Op::fsd:
      return true;
    default:
      return false;
  }
}

unsigned access_size(Op kind) {
  switch (kind) {
    case Op::lb:
    case Op::lbu:
    case Op::sb:
      return 1;
    case Op::lh:
    case Op::lhu:
    case Op::sh:
    case Op::flh:
    case Op::fsh:
      return 2;
    case Op::lw:
    case Op::lwu:
    case Op::sw:
    case Op::flw:
    case Op::fsw:
      return 4;
    default:
      return 8;
  }
}

void make_probe_groups(Trace& trace, const std::vector<Access>& accesses) {
  // The op behind which each slot is free.
  std::array<size_t, kGroupSlots> busy_until{};
  const bool may_strip = trace.ops.size() <= kMaxStripOps;
  for (const Cluster& cluster : clusters_of(trace, accesses)) {
    const bool carried = cluster.carried(), steps = may_strip && cluster.steps();
    const bool stays = carried || steps;
    if (cluster.accesses.size() < 2 && !stays) continue;
    const size_t first = stays ? 0 : cluster.accesses.front()->op;
    const size_t last = stays ? trace.ops.size() : cluster.accesses.back()->op + 1;
    const auto slot = std::ranges::find_if(busy_until, [&](size_t end) { return end <= first; });
    if (slot == busy_until.end()) continue;
    *slot = last;
    const auto index = static_cast<int16_t>(trace.groups.size());
    ProbeGroup group{.bytes = static_cast<uint16_t>(cluster.end - cluster.begin),
                     .stores = false,
                     .carried = carried,
                     .slot = static_cast<uint8_t>(slot - busy_until.begin())};
    if (steps) {
      group.step = static_cast<int16_t>(*cluster.accesses.front()->step);
      group.stepper = static_cast<uint8_t>(cluster.accesses.front()->stepper);
      group.begin = static_cast<int32_t>(cluster.begin);
    }
    for (const Access* access : cluster.accesses) {
      TraceOp& op = trace.ops[access->op];
      group.stores |= op_has(op.kind, op_flags::kWrites);
      op.group = index;
      op.group_offset = static_cast<uint16_t>(static_cast<int64_t>(access->offset) - cluster.begin);
      op.probes = access == cluster.accesses.front();
    }
    trace.strips |= may_strip && stays;
    trace.groups.push_back(group);
  }
}

}  // namespace hv::jit
