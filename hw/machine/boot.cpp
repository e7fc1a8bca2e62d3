#include "hw/machine/boot.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/log.h"

namespace hv {

namespace {

constexpr uint64_t kMiB = 1 << 20;
// Linux and OpenSBI map kernels and trees with 2 MiB pages.
constexpr uint64_t kBigPage = 2 * kMiB;
// Firmware adds its reserved memory and disabled nodes to the tree in place.
constexpr uint64_t kTreeSlack = 16 << 10;

constexpr uint64_t align_down(uint64_t value, uint64_t step) {
  return value / step * step;
}
constexpr uint64_t align_up(uint64_t value, uint64_t step) {
  return align_down(value + step - 1, step);
}

std::string named(std::string_view option, const std::string& path) {
  return fmt::format("{} {}", option, path);
}

Result<> too_small(std::string_view what, uint64_t needed_end, const GuestMemory& memory) {
  return fail("-m: {} MiB of guest memory have no room for {}; use -m {}M or more",
              memory.size() / kMiB, what, (needed_end - memory.base() + kMiB - 1) / kMiB);
}

}  // namespace

Result<BootImages> BootImages::read(const Files& files, const GuestMemory& memory) {
  BootImages boot;
  const bool builtin = files.bios.empty() || files.bios == "default" || files.bios == "builtin";
  boot.firmware_ = builtin                ? Firmware::kBuiltin
                   : files.bios == "none" ? Firmware::kNone
                                          : Firmware::kGuest;
  if (files.kernel.empty()) {
    if (boot.firmware_ != Firmware::kGuest && !files.may_be_nothing)
      return fail("nothing to boot: give a kernel with -kernel FILE, or firmware with -bios FILE");
    if (!files.initrd.empty()) return fail("-initrd {}: needs -kernel", files.initrd);
    if (!files.append.empty()) return fail("-append: needs -kernel");
  }

  uint64_t firmware_end = memory.base();
  if (boot.firmware_ == Firmware::kGuest) {
    const std::string name = named("-bios", files.bios);
    HV_TRY_ASSIGN(Bytes file, read_image_file(name, files.bios, memory.size()));
    HV_TRY_ASSIGN(GuestImage image, parse_firmware(name, std::move(file), memory.base()));
    leave_out_headers(image, memory);
    HV_TRY(check_in_ram(name, image, memory));
    firmware_end = image.high;
    boot.start_address_ = image.entry;
    boot.used_end_ = image.high;
    boot.images_.push_back(std::move(image));
  }

  if (!files.kernel.empty()) {
    const std::string name = named("-kernel", files.kernel);
    // The built-in SBI takes no memory, but kernels expect the room below them that firmware has.
    const uint64_t address = boot.firmware_ == Firmware::kBuiltin
                                 ? memory.base() + kBigPage
                                 : align_up(firmware_end, kBigPage);
    HV_TRY_ASSIGN(Bytes file, read_image_file(name, files.kernel, memory.size()));
    HV_TRY_ASSIGN(GuestImage kernel, parse_kernel(name, std::move(file), address, memory.size()));
    leave_out_headers(kernel, memory);
    HV_TRY(check_in_ram(name, kernel, memory));
    if (boot.firmware_ == Firmware::kGuest && kernel.low < firmware_end)
      return fail("{}: begins at {:#x}, inside the firmware, which ends at {:#x}", name, kernel.low,
                  firmware_end);
    boot.kernel_entry_ = kernel.entry;
    if (boot.firmware_ != Firmware::kGuest) boot.start_address_ = kernel.entry;
    boot.used_end_ = kernel.high;
    boot.arguments_.command_line = files.append;
    if (!files.initrd.empty()) HV_TRY(boot.read_initrd(files.initrd, kernel, memory));
    boot.images_.push_back(std::move(kernel));
  }
  return boot;
}

Result<> BootImages::read_initrd(const std::string& path, const GuestImage& kernel,
                                 const GuestMemory& memory) {
  const std::string name = named("-initrd", path);
  HV_TRY_ASSIGN(Bytes file, read_image_file(name, path, memory.size()));
  uint64_t start = kernel.low + std::min(memory.size() / 2, 512 * kMiB);
  // A small machine: right behind the kernel instead of over it or past the end.
  if (start < kernel.high || !memory.contains(start, file.size()))
    start = align_up(kernel.high, GuestMemory::kPageSize);
  if (!memory.contains(start, file.size()))
    return too_small("the kernel and the initrd", start + file.size() + kBigPage, memory);
  arguments_.initrd = BootArguments::Range{start, start + file.size()};
  used_end_ = start + file.size();
  GuestImage image;
  image.entry = image.low = start;
  image.high = used_end_;
  image.segments.push_back({start, std::move(file), 0});
  images_.push_back(std::move(image));
  return {};
}

Result<> BootImages::place_device_tree(std::vector<uint8_t> tree, const GuestMemory& memory) {
  const uint64_t end = memory.base() + memory.size();
  const uint64_t size = tree.size() + kTreeSlack;
  if (size > memory.size()) return too_small("the device tree", memory.base() + size, memory);
  uint64_t address = align_down(end - tree.size(), kBigPage);
  // Where RAM ends soon after the images, the tree needs no alignment of its own.
  if (address < used_end_ || address < memory.base())
    address = align_down(end - size, GuestMemory::kPageSize);
  if (address < used_end_)
    return too_small("the kernel, the initrd, and the device tree", used_end_ + size, memory);
  device_tree_ = std::move(tree);
  device_tree_address_ = address;
  return {};
}

void BootImages::load(GuestMemory& memory) {
  for (const GuestImage& image : images_) load_image(image, memory);
  randomize_seeds(device_tree_);
  memory.write(device_tree_address_, device_tree_.data(), device_tree_.size());
}

void BootRom::set_next_stage(uint64_t kernel_entry) {
  // OpenSBI docs/firmware/fw_dynamic.md.
  constexpr uint64_t kMagic = 0x4942534f, kVersion = 2, kSupervisorMode = 1, kOptions = 0,
                     kBootHart = 0;
  bytes_.clear();
  for (uint64_t word : {kMagic, kVersion, kernel_entry, kSupervisorMode, kOptions, kBootHart})
    for (int shift = 0; shift < 64; shift += 8)
      bytes_.push_back(static_cast<uint8_t>(word >> shift));
}

uint64_t BootRom::mmio_read(uint64_t offset, unsigned size) {
  return read_le(bytes_, offset, size);
}

void BootRom::mmio_write(uint64_t offset, unsigned size, uint64_t value) {
  log(kLogGuestErrors, "boot ROM: store of {:#x} ({} bytes) to offset {:#x} ignored", value, size,
      offset);
}

}  // namespace hv
