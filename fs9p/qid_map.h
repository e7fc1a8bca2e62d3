// Paths of qids: one number for each object of a share, across devices.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "fs9p/codec.h"
#include "fs9p/local_fs.h"
#include "io/log.h"

namespace hv {

// With multidevs=remap a path is the inode's low 48 bits below an index for (device, high bits);
// the root's device with small inodes has index 0, so that there the path is the inode number. Loop
// thread.
class QidMap {
 public:
  QidMap(const FsOptions& options, dev_t root_device) : options_(options), root_(root_device) {
    if (options.multi_devices == MultiDevices::kRemap) index_[{root_device, 0}] = 0;
  }

  // Nothing: the object may not be seen (`forbid`), or there are too many devices.
  std::optional<uint64_t> path(dev_t device, ino_t inode) {
    if (options_.multi_devices != MultiDevices::kRemap) {
      if (device == root_) return inode;
      if (!warned_)
        warn(
            fmt::format("-fsdev id={}: there is more than one device below path={}; "
                        "multidevs=remap tells their files apart",
                        options_.id, options_.path));
      warned_ = true;
      if (options_.multi_devices == MultiDevices::kForbid) return std::nullopt;
      return inode;
    }
    const std::pair key{device, inode >> kInodeBits};
    auto found = index_.find(key);
    if (found == index_.end()) {
      if (index_.size() > UINT16_MAX) return std::nullopt;
      found = index_.emplace(key, index_.size()).first;
    }
    return found->second << kInodeBits | (inode & ((1ull << kInodeBits) - 1));
  }

  std::optional<p9::Qid> qid(const struct stat& info) {
    const auto number = path(info.st_dev, info.st_ino);
    if (!number) return std::nullopt;
    const uint8_t type = S_ISDIR(info.st_mode)   ? p9::kQidDirectory
                         : S_ISLNK(info.st_mode) ? p9::kQidSymlink
                                                 : uint8_t{0};
    const auto version =
        static_cast<uint32_t>(info.st_mtime) ^ static_cast<uint32_t>(info.st_size << 8);
    return p9::Qid{type, version, *number};
  }

 private:
  static constexpr unsigned kInodeBits = 48;
  const FsOptions& options_;
  const dev_t root_;
  std::map<std::pair<dev_t, uint64_t>, uint64_t> index_;
  bool warned_ = false;
};

}  // namespace hv
