#include "hw/intc/aclint.h"

#include "io/log.h"

namespace hv {
namespace {

constexpr uint64_t kMtimecmpBase = 0x4000;
constexpr uint64_t kMtimeBase = 0xbff8;

constexpr uint32_t high_half(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}
// One cell pair per hart and interrupt.
std::vector<uint32_t> interrupt_cells(std::span<const uint32_t> intc_phandles,
                                      std::initializer_list<HartIrq> irqs) {
  std::vector<uint32_t> cells;
  for (const uint32_t phandle : intc_phandles)
    for (const HartIrq irq : irqs) cells.insert(cells.end(), {phandle, static_cast<uint32_t>(irq)});
  return cells;
}
void describe_software_interrupts(FdtNode& node, std::string_view compatible,
                                  std::span<const uint32_t> intc_phandles, HartIrq irq) {
  node.prop_string("compatible", compatible);
  node.prop_cells("interrupts-extended", interrupt_cells(intc_phandles, {irq}));
  node.prop_empty("interrupt-controller");
  node.prop_u32("#interrupt-cells", 0);
}
constexpr uint64_t join(uint32_t high, uint32_t low) {
  return uint64_t{high} << 32 | low;
}

// `old` with the half at `offset` replaced.
uint64_t with_word(uint64_t old, uint64_t offset, uint64_t value) {
  const auto word = static_cast<uint32_t>(value);
  return offset & 4 ? join(word, static_cast<uint32_t>(old)) : join(high_half(old), word);
}

}  // namespace

Clint::Clint(std::vector<HartPort*> harts, GuestClock& clock)
    : harts_(harts.size()), clock_(clock) {
  for (size_t i = 0; i < harts.size(); ++i) harts_[i].port = harts[i];
}

void Clint::reset() {
  clock_.set(0);
  for (size_t i = 0; i < harts_.size(); ++i) {
    write_msip(i, 0);
    harts_[i].port->set_mtimecmp(~0ull);
  }
}

void Clint::describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const {
  node.prop_strings("compatible", {"sifive,clint0", "riscv,clint0"});
  node.prop_cells("interrupts-extended", interrupt_cells(intc_phandles, {HartIrq::kMachineSoftware,
                                                                         HartIrq::kMachineTimer}));
}

void Clint::describe_mswi(FdtNode& node, std::span<const uint32_t> intc_phandles) const {
  describe_software_interrupts(node, "riscv,aclint-mswi", intc_phandles, HartIrq::kMachineSoftware);
}

void Clint::describe_mtimer(FdtNode& node, std::span<const uint32_t> intc_phandles) const {
  node.prop_string("compatible", "riscv,aclint-mtimer");
  node.prop_cells("interrupts-extended", interrupt_cells(intc_phandles, {HartIrq::kMachineTimer}));
}

uint32_t Clint::read_word(uint64_t offset) {
  if (offset < kMtimecmpBase) {
    const uint64_t index = offset / 4;
    if (index >= harts_.size()) return 0;
    const MutexLock lock(harts_[index].mutex);
    return harts_[index].msip;
  }
  const uint64_t value = read_double(offset & ~7ull);
  return offset & 4 ? high_half(value) : static_cast<uint32_t>(value);
}

uint64_t Clint::read_double(uint64_t offset) const {
  if (offset == kMtimeBase) return clock_.now();
  const uint64_t index = (offset - kMtimecmpBase) / 8;
  return index < harts_.size() ? harts_[index].port->mtimecmp() : 0;
}

uint64_t Clint::mmio_read(uint64_t offset, unsigned size) {
  if (size < 8) return read_word(offset);
  if (offset >= kMtimecmpBase) return read_double(offset);
  return join(read_word(offset + 4), read_word(offset));
}

void Clint::write_msip(uint64_t index, uint32_t value) {
  if (index >= harts_.size()) return;
  PerHart& hart = harts_[index];
  const MutexLock lock(hart.mutex);
  hart.msip = value & 1;
  hart.port->set_irq(HartIrq::kMachineSoftware, hart.msip);
}

void Clint::set_time(uint64_t ticks) {
  clock_.set(ticks);
  for (PerHart& hart : harts_) {
    const MutexLock lock(hart.mutex);
    hart.port->set_mtimecmp(hart.port->mtimecmp());  // makes it compare again
  }
}

void Clint::mmio_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset < kMtimecmpBase) {
    write_msip(offset / 4, static_cast<uint32_t>(value));
    if (size == 8) write_msip(offset / 4 + 1, high_half(value));
    return;
  }
  if (offset >= kMtimeBase) {
    set_time(size < 8 ? with_word(clock_.now(), offset, value) : value);
    return;
  }
  const uint64_t index = (offset - kMtimecmpBase) / 8;
  if (index >= harts_.size()) {
    log(kLogGuestErrors, "clint: write of {:#x} to offset {:#x} ignored", value, offset);
    return;
  }
  PerHart& hart = harts_[index];
  const MutexLock lock(hart.mutex);
  if (size < 8) value = with_word(hart.port->mtimecmp(), offset, value);
  hart.port->set_mtimecmp(value);
}

void AclintSswi::describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const {
  describe_software_interrupts(node, "riscv,aclint-sswi", intc_phandles,
                               HartIrq::kSupervisorSoftware);
}

uint64_t AclintSswi::mmio_read(uint64_t, unsigned) {
  return 0;
}

void AclintSswi::mmio_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset / 4 < harts_.size() && (value & 1))
    harts_[offset / 4]->set_irq(HartIrq::kSupervisorSoftware, true);
}

}  // namespace hv
