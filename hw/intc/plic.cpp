#include "hw/intc/plic.h"

#include <bit>

#include "io/log.h"

namespace hv {
namespace {

constexpr uint64_t kPriorityBase = 0;
constexpr uint64_t kPendingBase = 0x1000;
constexpr uint64_t kEnableBase = 0x2000, kEnableStride = 0x80;
constexpr uint64_t kContextBase = 0x200000, kContextStride = 0x1000;
constexpr uint64_t kThreshold = 0, kClaim = 4;

constexpr uint64_t pending_bit(unsigned source) {
  return 1ull << source % 16;
}
constexpr uint64_t claimed_bit(unsigned source) {
  return 1ull << (16 + source % 16);
}
constexpr uint64_t level_bit(unsigned source) {
  return 1ull << (32 + source % 16);
}

// Applies `change` (old value to new value) to an atomic; returns the old value.
template <class Change>
uint64_t transform(std::atomic<uint64_t>& word, Change change) {
  uint64_t old = word.load(std::memory_order_relaxed);
  while (!word.compare_exchange_weak(old, change(old), std::memory_order_seq_cst)) {
  }
  return old;
}

}  // namespace

Plic::Plic(std::vector<HartPort*> harts) : contexts_(harts.size() * 2) {
  for (size_t i = 0; i < contexts_.size(); ++i) {
    contexts_[i].port = harts[i / 2];
    contexts_[i].irq = i % 2 ? HartIrq::kSupervisorExternal : HartIrq::kMachineExternal;
  }
}

Plic::~Plic() = default;

void Plic::reset() {
  for (auto& gateway : gateways_) gateway.store(0);
  for (auto& priority : priorities_) priority.store(0);
  for (Context& context : contexts_) {
    for (auto& word : context.enable) word.store(0);
    context.threshold.store(0);
    update(context);
  }
}

void Plic::describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const {
  node.prop_u32("#interrupt-cells", 1);
  node.prop_u32("#address-cells", 0);
  node.prop_strings("compatible", {"sifive,plic-1.0.0", "riscv,plic0"});
  node.prop_empty("interrupt-controller");
  std::vector<uint32_t> cells;
  for (const uint32_t phandle : intc_phandles)
    cells.insert(cells.end(), {phandle, static_cast<uint32_t>(HartIrq::kMachineExternal), phandle,
                               static_cast<uint32_t>(HartIrq::kSupervisorExternal)});
  node.prop_cells("interrupts-extended", cells);
  node.prop_u32("riscv,ndev", kSources);
}

void Plic::set_irq(unsigned number, bool level) {
  if (number == 0 || number > kSources) return;
  const uint64_t old = transform(gateways_[number / kSourcesPerWord], [&](uint64_t word) {
    if (!level) return word & ~level_bit(number);
    const bool rises = !(word & level_bit(number));
    const bool open = !(word & claimed_bit(number));
    return word | level_bit(number) | (rises && open ? pending_bit(number) : 0);
  });
  const bool made_pending = level && !(old & (level_bit(number) | claimed_bit(number)));
  if (made_pending) update_enabling(number);
}

uint16_t Plic::pending(unsigned word) const {
  return static_cast<uint16_t>(gateways_[word].load(std::memory_order_seq_cst));
}

// The source that a claim would take, 0 for none.
unsigned Plic::best_source(const Context& context) const {
  unsigned best = 0;
  uint32_t best_priority = 0;
  for (unsigned word = 0; word < kWords; ++word) {
    unsigned candidates = pending(word) & context.enable[word].load(std::memory_order_seq_cst);
    for (; candidates; candidates &= candidates - 1) {
      const unsigned source =
          word * kSourcesPerWord + static_cast<unsigned>(std::countr_zero(candidates));
      const uint32_t priority = priorities_[source].load(std::memory_order_seq_cst);
      if (priority > best_priority) {
        best = source;
        best_priority = priority;
      }
    }
  }
  return best;
}

bool Plic::output(const Context& context) const {
  const unsigned source = best_source(context);
  return source != 0 && priorities_[source].load(std::memory_order_seq_cst) >
                            context.threshold.load(std::memory_order_seq_cst);
}

void Plic::update(Context& context) {
  if (context.updates.fetch_add(1, std::memory_order_seq_cst) != 0) return;
  uint32_t seen = 1;
  bool rose = false;
  do {
    const bool level = output(context);
    if (level != context.driven) {
      context.driven = level;
      rose |= context.port->drive_irq(context.irq, level);
    }
    // Take the count to 0, unless somebody has asked again meanwhile: then compute again for all
    // the requests so far.
  } while (!context.updates.compare_exchange_strong(seen, 0, std::memory_order_seq_cst));
  if (rose) context.port->notice_irqs();
}

void Plic::update_enabling(unsigned source) {
  const unsigned word = source / kSourcesPerWord;
  for (Context& context : contexts_)
    if (context.enable[word].load(std::memory_order_seq_cst) & pending_bit(source)) update(context);
}

unsigned Plic::claim(Context& context) {
  for (;;) {
    const unsigned source = best_source(context);
    if (source == 0) return 0;
    const uint64_t old = transform(gateways_[source / kSourcesPerWord], [source](uint64_t word) {
      if (!(word & pending_bit(source))) return word;
      return (word & ~pending_bit(source)) | claimed_bit(source);
    });
    if (!(old & pending_bit(source))) continue;  // another context was faster
    update_enabling(source);
    return source;
  }
}

void Plic::complete(Context& context, uint32_t source) {
  if (source == 0 || source > kSources) return;
  const unsigned word = source / kSourcesPerWord;
  if (!(context.enable[word].load(std::memory_order_seq_cst) & pending_bit(source))) return;
  const uint64_t old = transform(gateways_[word], [source](uint64_t gateway) {
    if (!(gateway & claimed_bit(source))) return gateway;
    return (gateway & ~claimed_bit(source)) |
           (gateway & level_bit(source) ? pending_bit(source) : 0);
  });
  if ((old & claimed_bit(source)) && (old & level_bit(source))) update_enabling(source);
}

uint32_t Plic::read_enable(const Context& context, unsigned index) const {
  return context.enable[2 * index].load(std::memory_order_seq_cst) |
         uint32_t{context.enable[2 * index + 1].load(std::memory_order_seq_cst)} << 16;
}

void Plic::write_enable(Context& context, unsigned index, uint32_t value) {
  if (index == 0) value &= ~1u;  // there is no source 0
  context.enable[2 * index].store(static_cast<uint16_t>(value), std::memory_order_seq_cst);
  context.enable[2 * index + 1].store(static_cast<uint16_t>(value >> 16),
                                      std::memory_order_seq_cst);
  update(context);
}

uint64_t Plic::mmio_read(uint64_t offset, unsigned) {
  if (offset < kPendingBase) {
    const uint64_t source = (offset - kPriorityBase) / 4;
    return source <= kSources ? priorities_[source].load(std::memory_order_seq_cst) : 0;
  }
  if (offset < kEnableBase) {
    const uint64_t index = (offset - kPendingBase) / 4;
    if (2 * index >= kWords) return 0;
    const auto word = static_cast<unsigned>(2 * index);
    return pending(word) | uint32_t{pending(word + 1)} << 16;
  }
  if (offset < kContextBase) {
    const uint64_t context = (offset - kEnableBase) / kEnableStride;
    const uint64_t index = (offset - kEnableBase) % kEnableStride / 4;
    if (context >= contexts_.size() || 2 * index >= kWords) return 0;
    return read_enable(contexts_[context], static_cast<unsigned>(index));
  }
  const uint64_t context = (offset - kContextBase) / kContextStride;
  if (context >= contexts_.size()) return 0;
  switch ((offset - kContextBase) % kContextStride) {
    case kThreshold:
      return contexts_[context].threshold.load(std::memory_order_seq_cst);
    case kClaim:
      return claim(contexts_[context]);
  }
  return 0;
}

void Plic::mmio_write(uint64_t offset, unsigned, uint64_t value) {
  const auto word = static_cast<uint32_t>(value);
  if (offset < kPendingBase) {
    const uint64_t source = (offset - kPriorityBase) / 4;
    if (source == 0 || source > kSources) return;
    priorities_[source].store(word & kMaxPriority, std::memory_order_seq_cst);
    update_enabling(static_cast<unsigned>(source));
    return;
  }
  if (offset < kEnableBase) {
    log(kLogGuestErrors, "plic: write to the read-only pending register at {:#x}", offset);
    return;
  }
  if (offset < kContextBase) {
    const uint64_t context = (offset - kEnableBase) / kEnableStride;
    const uint64_t index = (offset - kEnableBase) % kEnableStride / 4;
    if (context < contexts_.size() && 2 * index < kWords)
      write_enable(contexts_[context], static_cast<unsigned>(index), word);
    return;
  }
  const uint64_t index = (offset - kContextBase) / kContextStride;
  if (index >= contexts_.size()) return;
  Context& context = contexts_[index];
  switch ((offset - kContextBase) % kContextStride) {
    case kThreshold:
      context.threshold.store(word & kMaxPriority, std::memory_order_seq_cst);
      update(context);
      return;
    case kClaim:
      complete(context, word);
      return;
  }
}

}  // namespace hv
