// Opening the file of a disk image: checks, geometry, format probe and lock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "block/disk.h"
#include "io/result.h"
#include "io/unique_fd.h"

namespace hv {

// An open image file or block device.
struct ImageFile {
  UniqueFd fd;
  std::string name;           // for messages
  uint64_t size = 0;          // bytes, a multiple of 512 and of block_size
  unsigned block_size = 512;  // offsets and lengths are multiples of this
  unsigned memory_align = 1;  // buffers begin at multiples of this
};

// Opens options.filename; does not lock.
Result<ImageFile> open_image_file(const DiskOptions& options);
// An unlinked, sparse file of `size` bytes in $TMPDIR or /var/tmp.
Result<ImageFile> make_temporary_image(uint64_t size);

// The name of the format that an image of this first sector has if it is not raw, "" otherwise.
std::string_view probe_format(std::string_view first_bytes);

// Takes the lock, replacing what this descriptor held before. The scheme is QEMU's, so that both
// keep each other off an image: byte 100+P of the file is read-locked by who uses permission P,
// byte 200+P by who does not let others use it.
Result<> lock_image(const ImageFile& file, bool read_only, bool share_rw);

}  // namespace hv
