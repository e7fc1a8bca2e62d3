// The platform-level interrupt controller: device lines to external interrupts of harts.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "hw/device.h"
#include "io/hart_port.h"
#include "io/irq_line.h"
#include "io/mmio_device.h"

namespace hv {

// RISC-V PLIC 1.0.0 with SiFive's register layout, as QEMU's virt has it: sources 1 to 95, priority
// 0 to 7, two contexts per hart in the order machine, supervisor.
//
// Every source is level-triggered. A line that goes high while its gateway is open makes the source
// pending, and it stays pending when the line drops; a claim takes it and shuts the gateway until
// the completion, which makes it pending again if the line is still (or again) high. So a pulse()
// counts once unless it falls between claim and completion.
// A claim takes the pending enabled source of highest priority, the lowest number among equals,
// whatever the threshold; priority 0 is never taken. A completion for a source that the context has
// not enabled is ignored.
//
// Registers are 32 bits wide. Any hart thread; set_irq() any thread. No locks:
//
// 1. Pending, claimed and level of a source lie in one atomic word (16 sources each), so every
//    transition of a gateway is one compare-and-swap: of several claims exactly one clears the
//    pending bit, and a line that changes during a completion is seen either by the completion or
//    by set_irq(), never by neither.
// 2. Whoever changes an input of a context's output (pending, enable, priority, threshold) calls
//    update() afterwards. update() counts the request in `updates`; the caller that takes it
//    from 0 computes and drives the wire, and does so again until it has taken the count back to 0
//    unchanged. So calls of HartPort::drive_irq for one wire never overlap, and the last one was
//    computed after the last change. A caller that finds the count above 0 returns at once; the
//    wire follows when the other thread gets there, as it may on a real interconnect. The hart is
//    woken after that: where it takes the waker's processor, its claim could not lower the wire,
//    and it would take the interrupt again and again until the waker runs on.
// 3. set_irq() and claims update only the contexts that have the source enabled. A context that
//    enables it at the same time is not missed: pending is set before enable is read and enable is
//    set before pending is read, both sequentially consistent, so at least one of the two sees the
//    other's store.
// A hart may therefore see an external interrupt whose source another hart has just claimed; its
// claim then returns 0, which the specification provides for.
class Plic final : public Device, public MmioDevice, public IrqSink {
 public:
  static constexpr uint64_t kWindowSize = 0x600000;
  static constexpr unsigned kMinAccess = 4, kMaxAccess = 4;
  static constexpr unsigned kSources = 95;
  static constexpr unsigned kMaxPriority = 7;

  // `harts[i]` belongs to hart id i; the ports outlive the device.
  explicit Plic(std::vector<HartPort*> harts);
  ~Plic();

  std::string_view type_name() const override { return "riscv.sifive.plic"; }
  // Everything to 0, lines too: devices whose line is high lower it in their own reset().
  void reset() override;
  // Everything but reg and phandle; intc_phandles[i] is hart i's interrupt controller.
  void describe_fdt(FdtNode& node, std::span<const uint32_t> intc_phandles) const;

  // Numbers above kSources and 0 are ignored.
  void set_irq(unsigned number, bool level) override;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  static constexpr unsigned kSourcesPerWord = 16;
  static constexpr unsigned kWords = (kSources + kSourcesPerWord) / kSourcesPerWord;

  struct Context {
    HartPort* port = nullptr;
    HartIrq irq{};
    // Bit n of word w: source 16 * w + n.
    std::array<std::atomic<uint16_t>, kWords> enable{};
    std::atomic<uint32_t> threshold{0};
    std::atomic<uint32_t> updates{0};
    bool driven = false;  // level on the wire; belongs to whoever holds `updates` above 0
  };

  uint16_t pending(unsigned word) const;
  unsigned best_source(const Context& context) const;
  unsigned claim(Context& context);
  void complete(Context& context, uint32_t source);
  bool output(const Context& context) const;
  void update(Context& context);
  void update_enabling(unsigned source);
  uint32_t read_enable(const Context& context, unsigned index) const;
  void write_enable(Context& context, unsigned index, uint32_t value);

  // Per 16 sources: pending in bits 15:0, claimed in 31:16, level in 47:32.
  std::array<std::atomic<uint64_t>, kWords> gateways_{};
  std::array<std::atomic<uint32_t>, kSources + 1> priorities_{};
  std::vector<Context> contexts_;
};

}  // namespace hv
