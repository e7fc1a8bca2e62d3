// An interrupt wire from a device to an interrupt controller.
#pragma once

#include <cstdint>

namespace hv {

// The controller's end. Implementations keep the level in atomics: any thread may call.
class IrqSink {
 public:
  // Level of input `number`. Never blocks; may wake a sleeping hart. Idempotent.
  virtual void set_irq(unsigned number, bool level) = 0;

 protected:
  ~IrqSink() = default;
};

// The device's end: a value that knows its controller and number, given by the board. Devices hold
// a line, never a number. Any thread.
class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(IrqSink& sink, unsigned number) : sink_(&sink), number_(number) {}

  // Level-triggered: the device keeps it high until the guest has served the cause.
  void set(bool level) const {
    if (sink_) sink_->set_irq(number_, level);
  }
  // Edge: up and down.
  void pulse() const {
    set(true);
    set(false);
  }
  // For the device tree's "interrupts".
  unsigned number() const { return number_; }

 private:
  IrqSink* sink_ = nullptr;
  unsigned number_ = 0;
};

}  // namespace hv
