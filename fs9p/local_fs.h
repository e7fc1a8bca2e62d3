// A directory of the host as a guest may use it: system calls that cannot leave it.
#pragma once

#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs9p/handle.h"
#include "io/result.h"

namespace hv {

// Where the owner and mode that the guest sees are kept (QEMU's models, its formats on disk).
enum class SecurityModel : uint8_t {
  kNone,         // in the inode; who may not change owners does not
  kPassthrough,  // in the inode
  kMappedXattr,  // in extended attributes user.virtfs.*
  kMappedFile,   // in files below .virtfs_metadata
};
// What becomes of files on other devices than the share's root.
enum class MultiDevices : uint8_t { kRemap, kForbid, kWarn };

struct FsOptions {
  std::string id;
  std::string path;
  SecurityModel security = SecurityModel::kNone;
  bool read_only = false;
  bool write_through = false;  // writeout=immediate
  uint32_t file_mode = 0600;   // fmode, of files made under the mapped models
  uint32_t directory_mode = 0700;
  MultiDevices multi_devices = MultiDevices::kRemap;
};

// An object of the share: by its own descriptor, or as an entry of its directory, or both. At least
// one of the two is there; `self` wins.
struct Place {
  HandleRef self;
  HandleRef parent;  // none: the root, or an entry that is gone
  std::string name;
};

// Whom a new object belongs to, and its permissions.
struct Owner {
  uint32_t uid;
  uint32_t gid;
  uint32_t mode;
};

// Tsetattr.
struct AttributeChange {
  std::optional<uint32_t> mode, uid, gid;
  std::optional<uint64_t> size;
  bool times = false;  // take atime and mtime
  timespec atime{}, mtime{};
  bool touch = false;  // nothing else changes, but ctime does
};

// What one directory of a host does for a guest. The methods take one path component at most, below
// a descriptor they are given; a component never follows a symbolic link, so that nothing above the
// root can be named. Devices, FIFOs and sockets are looked at but never opened.
//
// Any thread; no state but the options. Methods return 0 or more, or a negative errno value.
class LocalFs {
 public:
  // Fails with one line that names the path when it is no directory that can be opened, or when the
  // host lacks what the security model needs.
  static Result<std::unique_ptr<LocalFs>> create(const FsOptions& options,
                                                 std::shared_ptr<FdBudget> budget);

  const FsOptions& options() const { return options_; }
  const HandleRef& root() const { return root_; }
  FdBudget& budget() const { return *budget_; }
  // Metadata and cached data answer without a wait as a rule: a file system of this host's own, not
  // one behind a network or another process.
  bool local() const { return local_; }
  bool mapped() const { return options_.security >= SecurityModel::kMappedXattr; }

  // Counts the descriptor; null with -EMFILE in `error` when the budget is spent.
  HandleRef adopt(int fd, int& error) const;

  // O_PATH descriptor of an entry.
  HandleRef open_entry(const Handle& directory, const std::string& name, int& error) const;
  HandleRef open_directory(const Handle& directory, const std::string& name, int& error) const;
  // As the guest sees it. Of owner, mode and device `type_only` maps the type.
  int stat(const Place& place, struct stat& info, bool type_only = false) const;
  // `flags` are open(2)'s: access mode, O_TRUNC, O_APPEND, O_SYNC, O_DSYNC, O_DIRECTORY.
  HandleRef open(const Place& place, int flags, int& error) const;

  HandleRef create_file(const HandleRef& directory, const std::string& name, int flags,
                        const Owner& owner, struct stat& info, int& error) const;
  int make_directory(const HandleRef& directory, const std::string& name, const Owner& owner,
                     struct stat& info) const;
  // `mode` of the owner has the type.
  int make_node(const HandleRef& directory, const std::string& name, const Owner& owner,
                dev_t device, struct stat& info) const;
  int make_symlink(const HandleRef& directory, const std::string& name, const std::string& target,
                   const Owner& owner, struct stat& info) const;
  int read_link(const Place& place, std::string& target) const;

  int set_attributes(const Place& place, const AttributeChange& change,
                     const HandleRef& open) const;
  int link(const Place& from, const HandleRef& directory, const std::string& name) const;
  int rename(const HandleRef& from, const std::string& old_name, const HandleRef& to,
             const std::string& new_name) const;
  int unlink(const HandleRef& directory, const std::string& name, bool is_directory) const;
  int statfs(const Place& place, struct statfs& info) const;

  // Extended attributes by the guest's names.
  static constexpr size_t kMaxXattr = 65536;
  int get_xattr(const Place& place, const std::string& name, std::vector<uint8_t>& value) const;
  int list_xattrs(const Place& place, std::vector<uint8_t>& names) const;
  int set_xattr(const Place& place, const std::string& name, const std::vector<uint8_t>& value,
                int flags) const;
  int remove_xattr(const Place& place, const std::string& name) const;

  // An entry that the guest neither sees nor names.
  bool hidden(std::string_view name) const;

 private:
  struct Attributes;
  LocalFs(const FsOptions& options, std::shared_ptr<FdBudget> budget);
  int own(const HandleRef& directory, const std::string& name, int fd, const Owner& owner,
          dev_t device, struct stat& info) const;
  int load_attributes(const Place& place, mode_t host_mode, bool type_only,
                      Attributes& attributes) const;
  int store_attributes(const Place& place, const Attributes& attributes) const;

  const FsOptions options_;
  const std::shared_ptr<FdBudget> budget_;
  HandleRef root_;
  bool local_ = false;
};

}  // namespace hv
