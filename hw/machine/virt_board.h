// The parts of the board "virt" and the order in which they are built, reset and stopped.
#pragma once

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "hw/char/uart16550.h"
#include "hw/device_registry.h"
#include "hw/intc/aclint.h"
#include "hw/intc/plic.h"
#include "hw/machine/boot.h"
#include "hw/machine/builtin_sbi.h"
#include "hw/machine/fdt_builder.h"
#include "hw/machine/memory_map.h"
#include "hw/machine/virt.h"
#include "hw/misc/test_finisher.h"
#include "hw/rtc/goldfish_rtc.h"
#include "hw/virtio/transport_mmio.h"

namespace hv {

// Main thread.
//
//   pause:  harts park - devices finish what is in flight - the guest's clock stops
//   resume: the reverse
//   reset (paused): harts - interrupt controllers - devices - images into RAM
class VirtBoard final : public VirtMachine {
 public:
  explicit VirtBoard(const VirtConfig& config) : cpu_(config.cpu) {}
  ~VirtBoard() override;

  // Once, directly after construction.
  Result<> build(const VirtConfig& config, Backends& backends, EventLoop& main_loop,
                 SystemControl& control);

  Result<> reset() override;
  void resume() override;
  void pause() override;
  VcpuSet& vcpus() override { return *vcpus_; }
  GuestMemory& memory() override { return *memory_; }
  const std::vector<uint8_t>& device_tree() const override { return images_.device_tree(); }
  std::vector<DeviceInfo> devices() const override { return device_infos_; }
  Balloon* balloon() override { return balloon_; }

 private:
  Result<> make_devices(const VirtConfig& config, Backends& backends, EventLoop& main_loop,
                        SystemControl& control);
  Result<> map_devices();
  void make_firmware(const VirtConfig& config, SystemControl& control);
  // Where a hart begins after reset; false: it waits for another to start it.
  bool place_hart(Hart& hart) const;

  // Device tree (virt_tree.cpp).
  Result<std::vector<uint8_t>> make_device_tree(const VirtConfig& config) const;
  std::vector<uint8_t> describe() const;
  std::vector<uint32_t> describe_harts(FdtBuilder& tree) const;
  void describe_soc(FdtBuilder& tree, const std::vector<uint32_t>& hart_phandles,
                    uint32_t finisher_phandle) const;
  void describe_core_interrupts(FdtBuilder& tree, const std::vector<uint32_t>& hart_phandles) const;

  // Later members use earlier ones: harts outlive the devices that interrupt them, and are parked
  // before anything is destroyed.
  const CpuConfig cpu_;
  GuestClock clock_;
  MmioMap map_;
  std::unique_ptr<GuestMemory> memory_;
  BootImages images_;
  BootRom boot_rom_;
  std::unique_ptr<VcpuSet> vcpus_;
  std::unique_ptr<Plic> plic_;
  std::unique_ptr<Clint> clint_;
  std::unique_ptr<AclintSswi> sswi_;  // nullptr without aclint=on
  std::unique_ptr<TestFinisher> finisher_;
  std::unique_ptr<GoldfishRtc> rtc_;
  std::unique_ptr<Uart16550> uart_;
  std::array<std::unique_ptr<VirtioMmioTransport>, memory_map::kVirtioSlots> virtio_;
  std::vector<Device*> devices_;  // all of the above, in the order of reset
  std::unique_ptr<BuiltinSbi> sbi_;
  std::vector<DeviceInfo> device_infos_;
  Balloon* balloon_ = nullptr;  // one of virtio_
  bool running_ = false;
};

}  // namespace hv
