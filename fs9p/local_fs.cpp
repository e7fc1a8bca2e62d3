#include "fs9p/local_fs.h"

#include <linux/magic.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "fs9p/host_call.h"
#include "fs9p/local_fs_attributes.h"
#include "io/log.h"

namespace hv {

namespace {

constexpr int kStatFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

// File systems of this host's own kernel, by statfs(2)'s type.
bool is_local_type(const struct statfs& info) {
  constexpr uint32_t kXfs = 0x58465342, kZfs = 0x2fc12fc1, kBcachefs = 0xca451a4e;
  constexpr uint32_t kTypes[] = {EXT4_SUPER_MAGIC,
                                 kXfs,
                                 BTRFS_SUPER_MAGIC,
                                 TMPFS_MAGIC,
                                 RAMFS_MAGIC,
                                 OVERLAYFS_SUPER_MAGIC,
                                 F2FS_SUPER_MAGIC,
                                 kZfs,
                                 kBcachefs,
                                 SQUASHFS_MAGIC,
                                 EROFS_SUPER_MAGIC_V1,
                                 ISOFS_SUPER_MAGIC};
  return std::ranges::find(kTypes, static_cast<uint32_t>(info.f_type)) != std::end(kTypes);
}

int result_of(int value) {
  return value < 0 ? -errno : value;
}

}  // namespace

LocalFs::LocalFs(const FsOptions& options, std::shared_ptr<FdBudget> budget)
    : options_(options), budget_(std::move(budget)) {}

Result<std::unique_ptr<LocalFs>> LocalFs::create(const FsOptions& options,
                                                 std::shared_ptr<FdBudget> budget) {
  std::unique_ptr<LocalFs> fs(new LocalFs(options, std::move(budget)));
  const std::string what = fmt::format("-fsdev id={}: path={}", options.id, options.path);
  const int fd = ::open(options.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "{}: cannot open the directory", what);
  int error = 0;
  fs->root_ = fs->adopt(fd, error);
  if (!fs->root_) return fail("{}: too many descriptors are open", what);
  struct statfs info;
  if (fstatfs(fs->root_->fd(), &info) != 0) return fail_errno(errno, "{}: statfs", what);
  fs->local_ = is_local_type(info);
  const std::string path = descriptor_path(fs->root_->fd());
  if (access(path.c_str(), F_OK) != 0)
    return fail("{}: /proc must be mounted: shares need /proc/self/fd", what);
  if (options.security == SecurityModel::kMappedXattr &&
      getxattr(path.c_str(), "user.virtfs.uid", nullptr, 0) < 0 && errno == EOPNOTSUPP)
    return fail(
        "{}: its file system has no extended attributes for security_model=mapped-xattr; "
        "use mapped-file",
        what);
  if (options.security == SecurityModel::kPassthrough && geteuid() != 0)
    warn(fmt::format("{}: security_model=passthrough cannot set owners unless run as root", what));
  return fs;
}

HandleRef LocalFs::adopt(int fd, int& error) const {
  if (fd < 0) {
    error = -errno;
    return nullptr;
  }
  if (!budget_->take()) {
    ::close(fd);
    error = -EMFILE;
    return nullptr;
  }
  error = 0;
  return std::make_shared<const Handle>(fd, *budget_);
}

HandleRef LocalFs::open_entry(const Handle& directory, const std::string& name, int& error) const {
  return adopt(open_beneath(directory.fd(), name.c_str(), O_PATH), error);
}

HandleRef LocalFs::open_directory(const Handle& directory, const std::string& name,
                                  int& error) const {
  return adopt(open_beneath(directory.fd(), name.c_str(), O_PATH | O_DIRECTORY), error);
}

int LocalFs::stat(const Place& place, struct stat& info, bool type_only) const {
  const int done = place.self ? fstat(place.self->fd(), &info)
                              : fstatat(place.parent->fd(), place.name.c_str(), &info, kStatFlags);
  if (done != 0) return -errno;
  // A directory is one in every model.
  if (!mapped() || (type_only && S_ISDIR(info.st_mode))) return 0;
  Attributes attributes;
  const int loaded = load_attributes(place, info.st_mode, type_only, attributes);
  if (loaded == 0) attributes.apply(info);
  return loaded;
}

HandleRef LocalFs::open(const Place& place, int flags, int& error) const {
  const HandleRef at = place.self ? place.self : open_entry(*place.parent, place.name, error);
  if (!at) return nullptr;
  struct stat info;
  error = result_of(fstat(at->fd(), &info));
  if (error < 0) return nullptr;
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    error = S_ISLNK(info.st_mode) ? -ELOOP : -ENXIO;
    return nullptr;
  }
  return adopt(::open(descriptor_path(at->fd()).c_str(), flags | O_CLOEXEC | O_NOCTTY), error);
}

// What was just made gets its owner and mode, and is looked at.
int LocalFs::own(const HandleRef& directory, const std::string& name, int fd, const Owner& owner,
                 dev_t device, struct stat& info) const {
  const int done =
      fd >= 0 ? fstat(fd, &info) : fstatat(directory->fd(), name.c_str(), &info, kStatFlags);
  if (done != 0) return -errno;
  const Place place{nullptr, directory, name};
  if (mapped()) {
    Attributes attributes{owner.uid, owner.gid, owner.mode, {}};
    if (S_ISCHR(owner.mode) || S_ISBLK(owner.mode)) attributes.rdev = device;
    attributes.apply(info);
    return store_attributes(place, attributes);
  }
  bool changed = false;
  if (info.st_uid != owner.uid || info.st_gid != owner.gid) {
    if (fchownat(directory->fd(), name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0) {
      info.st_uid = owner.uid;
      info.st_gid = owner.gid;
      changed = true;
    } else if (options_.security == SecurityModel::kPassthrough) {
      return -errno;
    }
  }
  const mode_t mode = owner.mode & 07777;
  if (S_ISLNK(info.st_mode) || ((info.st_mode & 07777) == mode && !changed)) return 0;
  info.st_mode = (info.st_mode & S_IFMT) | mode;
  if (fd >= 0) return result_of(fchmod(fd, mode));
  int error = 0;
  const HandleRef made = open_entry(*directory, name, error);
  return made ? result_of(chmod(descriptor_path(made->fd()).c_str(), mode)) : error;
}

HandleRef LocalFs::create_file(const HandleRef& directory, const std::string& name, int flags,
                               const Owner& owner, struct stat& info, int& error) const {
  const mode_t mode = mapped() ? options_.file_mode : owner.mode & 07777;
  const int fd = open_beneath(directory->fd(), name.c_str(), flags | O_CREAT | O_EXCL, mode);
  if (fd < 0 && errno == EEXIST && !(flags & O_EXCL)) {
    const Place place{nullptr, directory, name};
    HandleRef existing = open(place, flags & ~O_CREAT, error);
    if (existing && (error = stat(place, info)) < 0) return nullptr;
    return existing;
  }
  HandleRef made = adopt(fd, error);
  if (!made) {
    // The budget is known to be spent only now.
    if (fd >= 0) unlinkat(directory->fd(), name.c_str(), 0);
    return nullptr;
  }
  error = own(directory, name, fd, {owner.uid, owner.gid, (owner.mode & 07777) | S_IFREG}, 0, info);
  if (error == 0) return made;
  unlinkat(directory->fd(), name.c_str(), 0);
  return nullptr;
}

int LocalFs::make_directory(const HandleRef& directory, const std::string& name, const Owner& owner,
                            struct stat& info) const {
  const mode_t mode = mapped() ? options_.directory_mode : owner.mode & 07777;
  if (mkdirat(directory->fd(), name.c_str(), mode) != 0) return -errno;
  const int error =
      own(directory, name, -1, {owner.uid, owner.gid, (owner.mode & 07777) | S_IFDIR}, 0, info);
  if (error < 0) unlinkat(directory->fd(), name.c_str(), AT_REMOVEDIR);
  return error;
}

int LocalFs::make_node(const HandleRef& directory, const std::string& name, const Owner& owner,
                       dev_t device, struct stat& info) const {
  if (S_ISDIR(owner.mode) || S_ISLNK(owner.mode)) return -EINVAL;
  const int made = mapped()
                       ? mknodat(directory->fd(), name.c_str(), S_IFREG | options_.file_mode, 0)
                       : mknodat(directory->fd(), name.c_str(), owner.mode, device);
  if (made != 0) return -errno;
  const int error = own(directory, name, -1, owner, device, info);
  if (error < 0) unlinkat(directory->fd(), name.c_str(), 0);
  return error;
}

int LocalFs::make_symlink(const HandleRef& directory, const std::string& name,
                          const std::string& target, const Owner& owner, struct stat& info) const {
  if (mapped()) {
    // A file that holds the target.
    if (target.size() >= PATH_MAX) return -ENAMETOOLONG;
    const int fd = open_beneath(directory->fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL,
                                options_.file_mode);
    if (fd < 0) return -errno;
    const ssize_t written = pwrite(fd, target.data(), target.size(), 0);
    ::close(fd);
    if (written != static_cast<ssize_t>(target.size())) {
      unlinkat(directory->fd(), name.c_str(), 0);
      return -ENOSPC;
    }
  } else if (symlinkat(target.c_str(), directory->fd(), name.c_str()) != 0) {
    return -errno;
  }
  const int error = own(directory, name, -1, {owner.uid, owner.gid, S_IFLNK | 0777}, 0, info);
  if (error < 0) unlinkat(directory->fd(), name.c_str(), 0);
  return error;
}

int LocalFs::read_link(const Place& place, std::string& target) const {
  int error = 0;
  const HandleRef at = place.self ? place.self : open_entry(*place.parent, place.name, error);
  if (!at) return error;
  target.resize(PATH_MAX);
  // A link that the host made is one in the mapped models too.
  ssize_t length = readlinkat(at->fd(), "", target.data(), target.size());
  if (length < 0 && mapped()) {
    struct stat info;
    error = stat(place, info, true);
    if (error < 0) return error;
    if (!S_ISLNK(info.st_mode)) return -EINVAL;
    const HandleRef file = open({at, nullptr, {}}, O_RDONLY, error);
    if (!file) return error;
    length = pread(file->fd(), target.data(), target.size(), 0);
  }
  // ENOENT is how readlinkat("") says that it is no link.
  if (length < 0) return errno == ENOENT ? -EINVAL : -errno;
  target.resize(static_cast<size_t>(length));
  return 0;
}

int LocalFs::set_attributes(const Place& place, const AttributeChange& change,
                            const HandleRef& open) const {
  int error = 0;
  const HandleRef at = place.self ? place.self : open_entry(*place.parent, place.name, error);
  if (!at) return error;
  const std::string path = descriptor_path(at->fd());
  if (mapped() && (change.mode || change.uid || change.gid)) {
    Attributes attributes{change.uid, change.gid, change.mode, {}};
    if (change.mode) {
      // A change of permissions is none of the type.
      struct stat info;
      error = stat(place, info, true);
      if (error < 0) return error;
      attributes.mode = (info.st_mode & S_IFMT) | (*change.mode & 07777);
    }
    error = store_attributes(place, attributes);
    if (error < 0) return error;
  } else if (change.mode && chmod(path.c_str(), *change.mode & 07777) != 0) {
    return -errno;
  }
  if (change.times) {
    const timespec times[] = {change.atime, change.mtime};
    if (utimensat(at->fd(), "", times, AT_EMPTY_PATH) != 0) return -errno;
  }
  if ((!mapped() && (change.uid || change.gid)) || change.touch) {
    const uid_t uid = change.uid.value_or(UINT32_MAX);
    const gid_t gid = change.gid.value_or(UINT32_MAX);
    const bool may_fail = options_.security == SecurityModel::kNone;
    if (fchownat(at->fd(), "", uid, gid, AT_EMPTY_PATH) != 0 && !may_fail) return -errno;
  }
  if (change.size) {
    const auto size = static_cast<off_t>(*change.size);
    if (size < 0) return -EINVAL;
    const int done = open ? ftruncate(open->fd(), size) : truncate(path.c_str(), size);
    if (done != 0) return -errno;
  }
  return 0;
}

int LocalFs::link(const Place& from, const HandleRef& directory, const std::string& name) const {
  if (!from.parent) return -EPERM;
  if (linkat(from.parent->fd(), from.name.c_str(), directory->fd(), name.c_str(), 0) != 0)
    return -errno;
  if (options_.security != SecurityModel::kMappedFile) return 0;
  const int error = metadata::link(from.parent->fd(), from.name, directory->fd(), name);
  if (error < 0) unlinkat(directory->fd(), name.c_str(), 0);
  return error;
}

int LocalFs::rename(const HandleRef& from, const std::string& old_name, const HandleRef& to,
                    const std::string& new_name) const {
  if (renameat(from->fd(), old_name.c_str(), to->fd(), new_name.c_str()) != 0) return -errno;
  if (options_.security != SecurityModel::kMappedFile) return 0;
  return metadata::rename(from->fd(), old_name, to->fd(), new_name);
}

int LocalFs::unlink(const HandleRef& directory, const std::string& name, bool is_directory) const {
  const bool has_metadata = options_.security == SecurityModel::kMappedFile;
  if (has_metadata && is_directory) {
    const int error = metadata::remove_directory(directory->fd(), name);
    if (error < 0) return error;
  }
  if (unlinkat(directory->fd(), name.c_str(), is_directory ? AT_REMOVEDIR : 0) != 0) return -errno;
  if (has_metadata) metadata::remove(directory->fd(), name);
  return 0;
}

int LocalFs::statfs(const Place& place, struct statfs& info) const {
  int error = 0;
  const HandleRef at = place.self ? place.self : open_entry(*place.parent, place.name, error);
  return at ? result_of(fstatfs(at->fd(), &info)) : error;
}

bool LocalFs::hidden(std::string_view name) const {
  return options_.security == SecurityModel::kMappedFile &&
         (name == metadata::kDirectory || name == metadata::kRoot);
}

}  // namespace hv
