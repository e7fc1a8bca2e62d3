// What a boot puts into RAM and where the harts begin.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hw/machine/fdt_builder.h"
#include "hw/machine/guest_image.h"
#include "io/guest_memory.h"
#include "io/mmio_device.h"
#include "io/result.h"

namespace hv {

// Who runs in M-mode.
enum class Firmware {
  kBuiltin,  // nobody: the built-in SBI serves the kernel, which begins on hart 0
  kGuest,    // -bios FILE: every hart begins in it
  kNone,     // -bios none: every hart begins in the kernel
};

// The files of one machine, read once; placed as QEMU's virt places them, so that images linked or
// documented for it find themselves where they expect to be:
//
//   firmware at the start of RAM; a kernel without an address of its own on the 2 MiB boundary
//   behind it (0x80200000; -bios none: the start of RAM); the initrd half of RAM but at most
//   512 MiB above the kernel; the device tree in the last 2 MiB of RAM.
//
// Main thread, harts stopped.
class BootImages {
 public:
  struct Files {
    std::string bios, kernel, initrd, append;
    bool may_be_nothing = false;  // no kernel and no firmware: only the tree is wanted
  };

  // Reads and checks every file. One line names the option and what is wrong with it.
  static Result<BootImages> read(const Files& files, const GuestMemory& memory);

  // What /chosen must say.
  const BootArguments& arguments() const { return arguments_; }
  // Takes the finished tree; fails when RAM has no room for it.
  Result<> place_device_tree(std::vector<uint8_t> tree, const GuestMemory& memory);
  const std::vector<uint8_t>& device_tree() const { return device_tree_; }

  // Writes all images and the tree, with fresh random seeds, into RAM. The rest of RAM keeps its
  // contents, as RAM does over a reset.
  void load(GuestMemory& memory);

  Firmware firmware() const { return firmware_; }
  // First instruction: of the kernel with Firmware::kBuiltin, in M-mode otherwise.
  uint64_t start_address() const { return start_address_; }
  // Entry of the kernel; 0 without one.
  uint64_t kernel_entry() const { return kernel_entry_; }
  uint64_t device_tree_address() const { return device_tree_address_; }

 private:
  Result<> read_initrd(const std::string& path, const GuestImage& kernel,
                       const GuestMemory& memory);

  Firmware firmware_ = Firmware::kBuiltin;
  std::vector<GuestImage> images_;
  BootArguments arguments_;
  std::vector<uint8_t> device_tree_;
  uint64_t used_end_ = 0;  // end of the highest image
  uint64_t start_address_ = 0;
  uint64_t kernel_entry_ = 0;
  uint64_t device_tree_address_ = 0;
};

// The ROM at 0x1000. It holds what OpenSBI's fw_dynamic is told in a2 (struct fw_dynamic_info,
// version 2) and no code: harts begin with the registers that QEMU's reset code would have set.
class BootRom final : public MmioDevice {
 public:
  void set_next_stage(uint64_t kernel_entry);

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace hv
