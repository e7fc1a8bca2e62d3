// detect-zeroes=on|unmap: writes of nothing but zeroes become writes of zeroes.
#pragma once

#include "block/filter_disk.h"

namespace hv {

// A buffer that the guest changes while it is looked at is written as it was at one time or the
// other, as with any write. Threads as Disk.
class DetectZeroesDisk final : public FilterDisk {
 public:
  // `unmap`: the file may free what became zero.
  DetectZeroesDisk(std::unique_ptr<Disk> below, bool unmap)
      : FilterDisk(std::move(below)), unmap_(unmap) {}

  void submit(DiskRequest& request) override;
  std::unique_ptr<Disk> share() override;

 private:
  const bool unmap_;
};

}  // namespace hv
