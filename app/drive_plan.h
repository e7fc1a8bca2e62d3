// From -drive and -blockdev to disks with ids, and devices for if=virtio.
#pragma once

#include "app/options.h"
#include "io/result.h"

namespace hv {

// Fills options.drives; appends a virtio-blk-device to options.machine.devices for each drive that
// connects itself (after the -device ones, as QEMU does). Opens nothing.
Result<> plan_drives(Options& options);

}  // namespace hv
