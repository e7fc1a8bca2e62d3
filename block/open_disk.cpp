#include "block/disk.h"
#include "block/image_file.h"
#include "block/overlay_disk.h"
#include "block/raw_disk.h"

namespace hv {

Result<std::unique_ptr<Disk>> open_disk(const DiskOptions& options) {
  HV_TRY_ASSIGN(ImageFile file, open_image_file(options));
  if (options.snapshot && !options.read_only) {
    DiskOptions base_options = options;
    base_options.read_only = true;
    DiskOptions top_options;
    top_options.no_flush = true;
    top_options.use_uring = options.use_uring;
    top_options.discard_unmap = true;
    top_options.locking = false;
    HV_TRY_ASSIGN(ImageFile temporary, make_temporary_image(file.size));
    auto disk = std::make_unique<OverlayDisk>(
        std::make_unique<RawDisk>(std::move(file), base_options),
        std::make_unique<RawDisk>(std::move(temporary), top_options), options.discard_unmap);
    if (!options.lock_later) HV_TRY(disk->lock(options.share_rw));
    disk->set_write_through(options.write_through);
    return disk;
  }
  auto disk = std::make_unique<RawDisk>(std::move(file), options);
  if (!options.lock_later) HV_TRY(disk->lock(options.share_rw));
  return disk;
}

}  // namespace hv
