// Kernels and firmware in the forms people have them, as pieces of guest memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hw/machine/image_file.h"
#include "io/guest_memory.h"
#include "io/result.h"

namespace hv {

// Bytes and where they go; kept for the life of the machine, since every reset loads them again.
struct GuestImage {
  struct Segment {
    uint64_t address;
    Bytes bytes;
    uint64_t memory_size;  // zeroes follow the bytes up to here
  };
  std::vector<Segment> segments;
  uint64_t entry = 0;
  // [low, high) encloses everything the image uses, its uninitialised data included.
  uint64_t low = 0;
  uint64_t high = 0;
};

// `name` is how messages call the file ("-kernel FILE"). All fail with one line when the file is
// cut short, for another machine, or recognisably something else.

// An ELF64 file for RISC-V, by its physical addresses. One that is position-independent and linked
// for 0, as OpenSBI's are, goes to `address`.
Result<GuestImage> parse_elf(const std::string& name, const Bytes& file, uint64_t address);

// -kernel: Linux Image (Documentation/arch/riscv/boot-image-header), plain or compressed, ELF, or a
// flat binary; what has no address of its own goes to `address`.
Result<GuestImage> parse_kernel(const std::string& name, Bytes file, uint64_t address,
                                uint64_t max_size);
// -bios: ELF or a flat binary for `address`.
Result<GuestImage> parse_firmware(const std::string& name, Bytes file, uint64_t address);

// Leaves out what lies below RAM of a segment that begins with the ELF file's own headers: linkers
// put them a page before code that is linked for the start of RAM. QEMU does not load it anywhere
// either.
void leave_out_headers(GuestImage& image, const GuestMemory& memory);

// Fails when the image does not lie in RAM, naming -m when more RAM would help.
Result<> check_in_ram(const std::string& name, const GuestImage& image, const GuestMemory& memory);

// Puts the image into RAM, which holds it (check_in_ram). No hart or device runs.
void load_image(const GuestImage& image, GuestMemory& memory);

}  // namespace hv
