// The virtio-mmio transport, register layout version 2 (virtio 1.2, section 4.2).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "hw/device.h"
#include "hw/virtio/virtio_control.h"
#include "hw/virtio/virtio_device.h"
#include "io/irq_line.h"
#include "io/mmio_device.h"
#include "io/mmio_map.h"

namespace hv {

// One slot "virtio-mmio-bus.N" with or without a device in it; an empty slot reads DeviceID 0.
//
// Set-up by the board, main thread: construct all slots; create the devices (create_device() plugs
// them); map() each slot; freeze the map. Device methods go to the plugged device.
// Registers: hart threads. Destroy before the IO thread of the device ends, harts stopped.
class VirtioMmioTransport final : public Device, public MmioDevice {
 public:
  static constexpr uint64_t kWindowSize = 0x200;  // bytes decoded, as QEMU
  static constexpr uint64_t kQueueNotify = 0x50;

  // `index` is the N of virtio-mmio-bus.N.
  VirtioMmioTransport(unsigned index, IrqLine line);
  ~VirtioMmioTransport() override;

  std::string bus_name() const;
  bool occupied() const { return control_ != nullptr; }
  // nullptr: empty.
  VirtioDevice* device() const { return control_ ? &control_->device() : nullptr; }
  // Of the plugged device, for devices that sit on it; nullptr: none.
  DeviceBus* device_bus() const { return control_ ? control_->device().bus() : nullptr; }
  // Before map(); the slot is empty.
  void plug(std::unique_ptr<VirtioDevice> device);
  // Enters the window at `base` and the doorbells of the plugged device's queues.
  Result<> map(MmioMap& map, uint64_t base);
  // The node's "compatible"; reg and interrupts are the board's.
  void describe(FdtNode& node) const;

  std::string_view type_name() const override { return "virtio-mmio"; }
  void reset() override;
  void quiesce() override;
  void resume() override;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);

  const unsigned index_;
  const IrqLine line_;
  std::unique_ptr<VirtioControl> control_;
  // Selector registers: each access uses the value of its own hart's last store, or of another's
  // that races with it, as on hardware.
  std::atomic<uint32_t> device_features_sel_{0};
  std::atomic<uint32_t> driver_features_sel_{0};
  std::atomic<uint32_t> queue_sel_{0};
};

}  // namespace hv
