#include "block/detect_zeroes_disk.h"
#include "block/disk.h"
#include "block/image_file.h"
#include "block/null_disk.h"
#include "block/overlay_disk.h"
#include "block/raw_disk.h"
#include "block/throttled_disk.h"

namespace hv {

namespace {

Result<std::unique_ptr<Disk>> open_image(const DiskOptions& options) {
  if (options.null) return std::make_unique<NullDisk>(*options.null, options.read_only);
  HV_TRY_ASSIGN(ImageFile file, open_image_file(options));
  if (!options.snapshot || options.read_only)
    return std::make_unique<RawDisk>(std::move(file), options);
  DiskOptions base_options = options;
  base_options.read_only = true;
  DiskOptions top_options;
  top_options.no_flush = true;
  top_options.use_uring = options.use_uring;
  top_options.discard_unmap = true;
  top_options.locking = false;
  HV_TRY_ASSIGN(ImageFile temporary, make_temporary_image(file.size));
  return std::make_unique<OverlayDisk>(std::make_unique<RawDisk>(std::move(file), base_options),
                                       std::make_unique<RawDisk>(std::move(temporary), top_options),
                                       options.discard_unmap);
}

}  // namespace

Result<std::unique_ptr<Disk>> open_disk(const DiskOptions& options) {
  HV_TRY_ASSIGN(auto disk, open_image(options));
  if (!options.lock_later) HV_TRY(disk->lock(options.share_rw));
  disk->set_write_through(options.write_through);
  if (options.detect_zeroes != DiskOptions::DetectZeroes::kOff)
    disk = std::make_unique<DetectZeroesDisk>(
        std::move(disk), options.detect_zeroes == DiskOptions::DetectZeroes::kUnmap);
  if (options.throttle) disk = std::make_unique<ThrottledDisk>(std::move(disk), options.throttle);
  return disk;
}

}  // namespace hv
