// Kernels and ELF files built field by field from their specifications.
#pragma once

#include <elf.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace hv {

inline void put_le(std::vector<uint8_t>& bytes, size_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i) bytes[offset + i] = static_cast<uint8_t>(value >> (8 * i));
}
inline void put_text(std::vector<uint8_t>& bytes, size_t offset, std::string_view text) {
  std::memcpy(bytes.data() + offset, text.data(), text.size());
}

// Linux, Documentation/arch/riscv/boot-image-header.rst: no EFI stub.
inline std::vector<uint8_t> linux_image(size_t file_size, uint64_t image_size) {
  std::vector<uint8_t> bytes(file_size, 0x5a);
  std::memset(bytes.data(), 0, 64);
  put_le(bytes, 0x08, 8, 0x200000);  // text_offset
  put_le(bytes, 0x10, 8, image_size);
  put_text(bytes, 0x30, "RISCV");
  put_text(bytes, 0x38, "RSC\x05");
  return bytes;
}

// The same with an EFI stub: PE headers at 64, one section that ends at `raw_end`.
inline std::vector<uint8_t> linux_efi_image(size_t file_size, uint64_t raw_end) {
  auto bytes = linux_image(file_size, raw_end + 0x1000);
  put_text(bytes, 0, "MZ");
  put_le(bytes, 0x3c, 4, 64);
  put_text(bytes, 64, std::string_view("PE\0\0", 4));
  put_le(bytes, 64 + 4, 2, 0x5064);  // machine
  put_le(bytes, 64 + 6, 2, 1);       // sections
  put_le(bytes, 64 + 20, 2, 0);      // size of the optional header
  put_le(bytes, 64 + 24 + 16, 4, raw_end - 0x400);
  put_le(bytes, 64 + 24 + 20, 4, 0x400);
  return bytes;
}

struct ElfSegment {
  uint64_t virtual_address, physical_address, file_size, memory_size;
};

// ELF64 file: header, program headers, then the segments' bytes, each filled with its index + 1.
inline std::vector<uint8_t> elf_file(uint16_t machine, uint64_t entry,
                                     const std::vector<ElfSegment>& segments) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = machine;
  header.e_entry = entry;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<uint16_t>(segments.size());
  std::vector<uint8_t> bytes(sizeof header + segments.size() * sizeof(Elf64_Phdr));
  std::memcpy(bytes.data(), &header, sizeof header);
  for (size_t i = 0; i < segments.size(); ++i) {
    Elf64_Phdr program{};
    program.p_type = PT_LOAD;
    program.p_offset = bytes.size();
    program.p_vaddr = segments[i].virtual_address;
    program.p_paddr = segments[i].physical_address;
    program.p_filesz = segments[i].file_size;
    program.p_memsz = segments[i].memory_size;
    std::memcpy(bytes.data() + sizeof header + i * sizeof program, &program, sizeof program);
    bytes.resize(bytes.size() + segments[i].file_size, static_cast<uint8_t>(i + 1));
  }
  return bytes;
}

}  // namespace hv
