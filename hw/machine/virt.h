// The board "virt": QEMU's memory map and device tree, wired to our harts and devices.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cpu/cpu_config.h"
#include "cpu/engine.h"
#include "cpu/vcpu.h"
#include "hw/balloon.h"
#include "hw/device.h"
#include "io/guest_clock.h"
#include "io/guest_memory.h"
#include "io/key_values.h"
#include "io/mmio_map.h"
#include "io/result.h"
#include "io/system_control.h"
#include "main-loop/event_loop.h"

namespace hv {

struct VirtConfig {
  CpuConfig cpu;
  std::optional<JitOptions> jit;     // nullopt: the interpreter alone
  unsigned smp = 1;                  // 1..64
  uint64_t memory_size = 128 << 20;  // bytes
  bool memory_locked = false;        // -overcommit mem-lock=on
  std::string kernel, initrd, append, dtb;
  std::string bios = "default";    // "default" (built-in SBI with -kernel), "none", or a file
  bool aclint = false;             // -M virt,aclint=on: SSWI, and ACLINT nodes for the CLINT
  std::string dumpdtb;             // -M virt,dumpdtb=FILE: write the tree and exit 0
  CharBackend* serial0 = nullptr;  // nullptr: -serial none
  std::vector<KeyValues> devices;  // -device, in order; "driver" names the type
};

// Main thread, except what its parts allow. Construction checks every file and device, so that a
// bad option fails before anything runs.
class VirtMachine {
 public:
  static Result<std::unique_ptr<VirtMachine>> create(const VirtConfig& config, Backends& backends,
                                                     EventLoop& main_loop, SystemControl& control);
  virtual ~VirtMachine() = default;

  // World stopped: devices and harts to power-on state, images loaded into RAM again.
  virtual Result<> reset() = 0;
  // Harts run / are parked and devices quiet when this returns.
  virtual void resume() = 0;
  virtual void pause() = 0;

  virtual VcpuSet& vcpus() = 0;
  virtual GuestMemory& memory() = 0;
  virtual const std::vector<uint8_t>& device_tree() const = 0;
  struct DeviceInfo {
    std::string type, id, slot;
  };
  virtual std::vector<DeviceInfo> devices() const = 0;
  // nullptr: there is none.
  virtual Balloon* balloon() { return nullptr; }
};

// Text for "-M help" and "-M virt,help".
std::string machine_help();

}  // namespace hv
