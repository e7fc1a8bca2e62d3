#include "hw/machine/guest_image.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace hv {

namespace {

std::string elf_machine_name(unsigned machine) {
  switch (machine) {
    case EM_386:
      return "x86 (32-bit)";
    case EM_X86_64:
      return "x86-64";
    case EM_ARM:
      return "arm (32-bit)";
    case EM_AARCH64:
      return "arm64";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390";
    case EM_LOONGARCH:
      return "loongarch";
    default:
      return fmt::format("ELF machine {}", machine);
  }
}

bool is_elf(const Bytes& file) {
  return has_magic(file, 0, ELFMAG);
}

// A Linux kernel for RISC-V: fields of boot-image-header.
constexpr uint64_t kImageSizeField = 0x10, kImageMagicField = 0x38, kPeOffsetField = 0x3c;
bool is_linux_image(const Bytes& file) {
  return has_magic(file, kImageMagicField, "RSC\x05");
}

// Files that a flat binary must not be taken for.
struct Foreign {
  uint64_t offset;
  std::string_view magic;
  std::string_view explanation;
};
constexpr auto kForeign = std::to_array<Foreign>({
    // A kernel is unpacked before it comes here.
    {0, std::string_view("\x1f\x8b"), "is packed with gzip; unpack it first"},
    {0, std::string_view("\x28\xb5\x2f\xfd"), "is packed with zstd; unpack it first"},
    {0x38, std::string_view("ARM\x64"), "is a kernel for arm64, not riscv64"},
    {0x202, "HdrS", "is a kernel for x86, not riscv64"},
    {0, std::string_view("\x27\x05\x19\x56"),
     "is a U-Boot uImage; give the Image or ELF file inside it"},
    {0, std::string_view("\xd0\x0d\xfe\xed"),
     "is a device tree or FIT image; a device tree goes with -dtb"},
    {0, "070701", "is a cpio archive; an initramfs goes with -initrd"},
    {0, std::string_view("QFI\xfb"), "is a qcow2 disk image; a disk goes with -drive"},
    {0, "BZh", "is packed with bzip2; unpack it first"},
    {0, std::string_view("\xfd\x37zXZ"), "is packed with xz; unpack it first"},
    {0, std::string_view("\x5d\0\0", 3), "is packed with lzma; unpack it first"},
    {0, std::string_view("\x02\x21\x4c\x18"), "is packed with lz4; unpack it first"},
    {0, "!<arch>", "is a package or library archive, not a kernel or firmware"},
    {0, "#!", "is a script, not a kernel or firmware"},
    {0, "MZ", "is an EFI application without a RISC-V kernel header"},
});

Result<> refuse_foreign(const std::string& name, const Bytes& file) {
  for (const Foreign& foreign : kForeign)
    if (has_magic(file, foreign.offset, foreign.magic))
      return fail("{}: {}", name, foreign.explanation);
  return {};
}

GuestImage one_segment(uint64_t address, Bytes bytes, uint64_t memory_size) {
  GuestImage image;
  image.entry = image.low = address;
  image.high = address + std::max<uint64_t>(memory_size, bytes.size());
  image.segments.push_back({address, std::move(bytes), 0});
  return image;
}

void move_image(GuestImage& image, uint64_t distance) {
  for (GuestImage::Segment& segment : image.segments) segment.address += distance;
  image.entry += distance;
  image.low += distance;
  image.high += distance;
}

// An Image's own size field counts data that is not in the file, but with an EFI stub its PE
// section table says where the file ends.
Result<> check_image_complete(const std::string& name, const Bytes& file) {
  const uint64_t pe = read_le(file, kPeOffsetField, 4);
  if (!has_magic(file, 0, "MZ") || pe == 0) return {};
  uint64_t end = pe + 24;
  if (has_magic(file, pe, std::string_view("PE\0\0", 4))) {
    const uint64_t sections = read_le(file, pe + 6, 2);
    const uint64_t table = pe + 24 + read_le(file, pe + 20, 2);
    end = table + sections * 40;
    for (uint64_t i = 0; i < sections; ++i) {
      const uint64_t section = table + i * 40;
      end = std::max(end, read_le(file, section + 20, 4) + read_le(file, section + 16, 4));
    }
  }
  if (end > file.size())
    return fail("{}: truncated: the kernel has {} bytes, the file {}", name, end, file.size());
  return {};
}

}  // namespace

Result<GuestImage> parse_elf(const std::string& name, const Bytes& file, uint64_t address) {
  if (!is_elf(file)) return fail("{}: not an ELF file", name);
  Elf64_Ehdr header{};
  std::memcpy(&header, file.data(), std::min(file.size(), sizeof header));
  if (file.size() > EI_DATA && header.e_ident[EI_DATA] != ELFDATA2LSB)
    return fail("{}: is big-endian, not riscv64", name);
  // e_machine stands at the same place in both classes.
  if (header.e_machine != EM_RISCV && header.e_machine != 0)
    return fail("{}: is for {}, not riscv64", name, elf_machine_name(header.e_machine));
  if (header.e_ident[EI_CLASS] == ELFCLASS32)
    return fail("{}: is for 32-bit RISC-V, not riscv64", name);
  const uint64_t table_size = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (file.size() < sizeof header || header.e_phoff > file.size() ||
      file.size() - header.e_phoff < table_size)
    return fail("{}: truncated: the ELF headers go past its {} bytes", name, file.size());
  if (header.e_phnum && header.e_phentsize != sizeof(Elf64_Phdr))
    return fail("{}: damaged ELF file: program headers of {} bytes", name,
                uint64_t{header.e_phentsize});

  GuestImage image;
  image.entry = header.e_entry;
  image.low = ~0ull;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, file.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_offset > file.size() || file.size() - segment.p_offset < segment.p_filesz)
      return fail("{}: truncated: an ELF segment goes past its {} bytes", name, file.size());
    if (segment.p_filesz > segment.p_memsz || segment.p_paddr + segment.p_memsz < segment.p_paddr)
      return fail("{}: damaged ELF file: segment {} has an impossible size", name, i);
    const auto begin = file.begin() + static_cast<ptrdiff_t>(segment.p_offset);
    image.segments.push_back({segment.p_paddr,
                              Bytes(begin, begin + static_cast<ptrdiff_t>(segment.p_filesz)),
                              segment.p_memsz});
    // A kernel that runs in high virtual memory begins where its entry was loaded, as in QEMU.
    if (header.e_entry >= segment.p_vaddr && header.e_entry - segment.p_vaddr < segment.p_filesz)
      image.entry = header.e_entry - segment.p_vaddr + segment.p_paddr;
    image.low = std::min(image.low, segment.p_paddr);
    image.high = std::max(image.high, segment.p_paddr + segment.p_memsz);
  }
  if (image.segments.empty())
    return fail("{}: nothing to load: the ELF file has no segments (an object file?)", name);
  if (header.e_type == ET_DYN && image.low == 0) move_image(image, address);
  return image;
}

Result<GuestImage> parse_kernel(const std::string& name, Bytes file, uint64_t address,
                                uint64_t max_size) {
  HV_TRY_ASSIGN(Bytes kernel, unpack_image(name, std::move(file), max_size));
  if (is_elf(kernel)) return parse_elf(name, kernel, address);
  if (!is_linux_image(kernel)) {
    HV_TRY(refuse_foreign(name, kernel));
    return one_segment(address, std::move(kernel), 0);
  }
  HV_TRY(check_image_complete(name, kernel));
  const uint64_t image_size = read_le(kernel, kImageSizeField, 8);
  if (image_size > max_size)
    return fail("{}: the kernel needs {} MiB of guest memory, -m gives {}", name, image_size >> 20,
                max_size >> 20);
  return one_segment(address, std::move(kernel), image_size);
}

Result<GuestImage> parse_firmware(const std::string& name, Bytes file, uint64_t address) {
  if (is_elf(file)) return parse_elf(name, file, address);
  if (is_linux_image(file)) return fail("{}: is a Linux kernel; a kernel goes with -kernel", name);
  HV_TRY(refuse_foreign(name, file));
  return one_segment(address, std::move(file), 0);
}

void leave_out_headers(GuestImage& image, const GuestMemory& memory) {
  for (GuestImage::Segment& segment : image.segments) {
    if (segment.address >= memory.base() || !is_elf(segment.bytes)) continue;
    const uint64_t below = memory.base() - segment.address;
    if (below >= segment.bytes.size()) continue;
    segment.bytes.erase(segment.bytes.begin(),
                        segment.bytes.begin() + static_cast<ptrdiff_t>(below));
    segment.address += below;
    segment.memory_size -= below;
  }
  image.low = ~0ull;
  for (const GuestImage::Segment& segment : image.segments)
    image.low = std::min(image.low, segment.address);
}

Result<> check_in_ram(const std::string& name, const GuestImage& image, const GuestMemory& memory) {
  if (memory.contains(image.low, image.high - image.low)) return {};
  const uint64_t mib = 1 << 20;
  if (image.low >= memory.base() && image.high - memory.base() <= uint64_t{1} << 40)
    return fail("{}: does not fit into {} MiB of guest memory; use -m {}M or more", name,
                memory.size() / mib, (image.high - memory.base() + mib - 1) / mib);
  if (memory.contains(image.low, 1))
    return fail("{}: does not fit into {} MiB of guest memory: it ends at {:#x}", name,
                memory.size() / mib, image.high);
  return fail(
      "{}: is linked for {:#x}, outside RAM at {:#x}; a Linux kernel is given as its "
      "arch/riscv/boot/Image, not as vmlinux",
      name, image.low, memory.base());
}

void load_image(const GuestImage& image, GuestMemory& memory) {
  for (const GuestImage::Segment& segment : image.segments) {
    memory.write(segment.address, segment.bytes.data(), segment.bytes.size());
    if (segment.memory_size <= segment.bytes.size()) continue;
    const uint64_t zeroes = segment.memory_size - segment.bytes.size();
    const uint64_t address = segment.address + segment.bytes.size();
    if (uint8_t* rest = memory.host(address, zeroes)) {
      std::memset(rest, 0, zeroes);
      memory.note_written(address, zeroes);
    }
  }
}

}  // namespace hv
