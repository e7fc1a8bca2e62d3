// SiFive's test finisher: how a guest ends or restarts the machine with one store.
#pragma once

#include "hw/device.h"
#include "io/mmio_device.h"
#include "io/system_control.h"

namespace hv {

// One register, 32 bits at offset 0: status in bits 15:0, exit code in bits 31:16.
//
//   0x5555  pass: the machine shuts down with the code as exit status (0 for a plain 0x5555)
//   0x3333  fail: the same, reported as a guest panic
//   0x7777  reset
//
// Reads give 0, other values do nothing. Holds no state: any thread.
class TestFinisher final : public Device, public MmioDevice {
 public:
  static constexpr uint64_t kWindowSize = 0x1000;
  static constexpr unsigned kMinAccess = 2, kMaxAccess = 4;

  explicit TestFinisher(SystemControl& control) : control_(control) {}

  std::string_view type_name() const override { return "riscv.sifive.test"; }
  void reset() override {}
  // "compatible"; the board adds reg, phandle and the syscon-poweroff and -reboot nodes.
  void describe_fdt(FdtNode& node) const;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  SystemControl& control_;
};

}  // namespace hv
