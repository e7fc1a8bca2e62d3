// Owner, mode and device number kept beside a file: QEMU's formats.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs9p/local_fs.h"

namespace hv {

// What is not there is as the host has it.
struct LocalFs::Attributes {
  std::optional<uint32_t> uid, gid, mode;
  std::optional<uint64_t> rdev;

  void apply(struct stat& info) const {
    if (uid) info.st_uid = *uid;
    if (gid) info.st_gid = *gid;
    if (mode) info.st_mode = *mode;
    if (rdev) info.st_rdev = *rdev;
  }
};

// mapped-file: the attributes of DIR/NAME are lines of text in DIR/.virtfs_metadata/NAME, those of
// the root in .virtfs_metadata_root. Any thread; 0 or a negative errno value.
namespace metadata {
inline constexpr std::string_view kDirectory = ".virtfs_metadata";
inline constexpr std::string_view kRoot = ".virtfs_metadata_root";

int link(int from, const std::string& old_name, int to, const std::string& new_name);
int rename(int from, const std::string& old_name, int to, const std::string& new_name);
void remove(int directory, const std::string& name);
// What an empty directory of the guest's still holds.
int remove_directory(int parent, const std::string& name);
}  // namespace metadata

}  // namespace hv
