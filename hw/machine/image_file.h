// Files that become guest memory: reading them and taking off their compression.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/result.h"

namespace hv {

using Bytes = std::vector<uint8_t>;

// Little-endian field of 1, 2, 4 or 8 bytes; 0 where the data ends before it.
uint64_t read_le(const Bytes& bytes, uint64_t offset, unsigned size);
bool has_magic(const Bytes& bytes, uint64_t offset, std::string_view magic);

// The whole file. `name` is how messages call it ("-kernel FILE"). Fails when it cannot be read, is
// empty or has more than `max_size` bytes. Main thread; blocks.
Result<Bytes> read_image_file(const std::string& name, const std::string& path, uint64_t max_size);

// What a compressed kernel holds: gzip, zstd, or an EFI-zboot container with either in it (Linux,
// drivers/firmware/efi/libstub/zboot-header.S). Anything else comes back as it is. Fails when the
// data is cut short or damaged, in a compression that is not known here, or unpacks to more than
// `max_size` bytes.
Result<Bytes> unpack_image(const std::string& name, Bytes file, uint64_t max_size);

}  // namespace hv
