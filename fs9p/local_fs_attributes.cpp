#include "fs9p/local_fs_attributes.h"

#include <sys/xattr.h>

#include <bit>
#include <cerrno>
#include <charconv>

#include "fs9p/host_call.h"

// The attributes are little-endian on disk.
static_assert(std::endian::native == std::endian::little);

namespace hv {

namespace metadata {

namespace {

std::string path_of(const std::string& name) {
  return fmt::format("{}/{}", kDirectory, name);
}

int make_directory(int parent) {
  if (mkdirat(parent, kDirectory.data(), 0700) == 0 || errno == EEXIST) return 0;
  return -errno;
}

}  // namespace

// The directories are opened, not named in a path, so that no link below the share is followed.
static int with_directories(int from, int to, auto call) {
  const int source = open_beneath(from, kDirectory.data(), O_PATH | O_DIRECTORY);
  if (source < 0) return errno == ENOENT ? -ENOENT : -errno;
  int error = make_directory(to);
  const int target = error ? -1 : open_beneath(to, kDirectory.data(), O_PATH | O_DIRECTORY);
  if (error == 0) error = target < 0 || call(source, target) != 0 ? -errno : 0;
  ::close(source);
  if (target >= 0) ::close(target);
  return error;
}

int link(int from, const std::string& old_name, int to, const std::string& new_name) {
  const int error = with_directories(from, to, [&](int source, int target) {
    unlinkat(target, new_name.c_str(), 0);
    return linkat(source, old_name.c_str(), target, new_name.c_str(), 0);
  });
  return error == -ENOENT ? 0 : error;
}

int rename(int from, const std::string& old_name, int to, const std::string& new_name) {
  const int error = with_directories(from, to, [&](int source, int target) {
    return renameat(source, old_name.c_str(), target, new_name.c_str());
  });
  if (error != -ENOENT) return error;
  // What was replaced had attributes of its own.
  remove(to, new_name);
  return 0;
}

void remove(int directory, const std::string& name) {
  const int at = open_beneath(directory, kDirectory.data(), O_PATH | O_DIRECTORY);
  if (at < 0) return;
  unlinkat(at, name.c_str(), 0);
  ::close(at);
}

int remove_directory(int parent, const std::string& name) {
  const int directory = open_beneath(parent, name.c_str(), O_PATH | O_DIRECTORY);
  if (directory < 0) return -errno;
  const int error =
      unlinkat(directory, kDirectory.data(), AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
  ::close(directory);
  return error;
}

}  // namespace metadata

namespace {

constexpr const char* kUid = "user.virtfs.uid";
constexpr const char* kGid = "user.virtfs.gid";
constexpr const char* kMode = "user.virtfs.mode";
constexpr const char* kRdev = "user.virtfs.rdev";

// Calls call(path, follow) with a path for the place; the path's last step follows no link of the
// share either way.
template <class Call>
auto at_place(const Place& place, Call call) {
  if (place.self) return call(descriptor_path(place.self->fd()), true);
  return call(fmt::format("{}/{}", descriptor_path(place.parent->fd()), place.name), false);
}

template <class T>
int get_number(const std::string& path, bool follow, const char* name, std::optional<T>& value) {
  T number = 0;
  const ssize_t size = follow ? getxattr(path.c_str(), name, &number, sizeof number)
                              : lgetxattr(path.c_str(), name, &number, sizeof number);
  if (size > 0) value = number;
  // A file system or kind of file without such attributes has none; what is too long is not ours.
  if (size >= 0 || errno == ENODATA || errno == EOPNOTSUPP || errno == ERANGE || errno == EPERM)
    return 0;
  return -errno;
}

template <class T>
int set_number(const std::string& path, bool follow, const char* name,
               const std::optional<T>& value) {
  if (!value) return 0;
  const int done = follow ? setxattr(path.c_str(), name, &*value, sizeof *value, 0)
                          : lsetxattr(path.c_str(), name, &*value, sizeof *value, 0);
  return done == 0 ? 0 : -errno;
}

struct MetadataFile {
  int directory = -1;
  std::string path;
};

MetadataFile metadata_file(const Place& place, const HandleRef& root) {
  if (place.parent) return {place.parent->fd(), metadata::path_of(place.name)};
  if (place.self == root) return {root->fd(), std::string(metadata::kRoot)};
  return {};
}

// "virtfs.KEY=NUMBER" lines.
template <class T>
void find_line(std::string_view text, std::string_view key, std::optional<T>& value) {
  const std::string start = fmt::format("virtfs.{}=", key);
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(start)) continue;
    line.remove_prefix(start.size());
    int64_t number = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), number).ec == std::errc())
      value = static_cast<T>(number);
  }
}

}  // namespace

int LocalFs::load_attributes(const Place& place, mode_t host_mode, bool type_only,
                             Attributes& attributes) const {
  if (options_.security == SecurityModel::kMappedXattr) {
    return at_place(place, [&](const std::string& path, bool follow) {
      int error = get_number(path, follow, kMode, attributes.mode);
      if (error == 0 && !type_only) error = get_number(path, follow, kUid, attributes.uid);
      if (error == 0 && !type_only) error = get_number(path, follow, kGid, attributes.gid);
      const mode_t mode = attributes.mode.value_or(host_mode);
      if (error == 0 && !type_only && (S_ISCHR(mode) || S_ISBLK(mode)))
        error = get_number(path, follow, kRdev, attributes.rdev);
      return error;
    });
  }
  const MetadataFile file = metadata_file(place, root_);
  if (file.directory < 0) return 0;
  const int fd = open_beneath(file.directory, file.path.c_str(), O_RDONLY | O_NONBLOCK);
  if (fd < 0) {
    const bool none =
        errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
    return none ? 0 : -errno;
  }
  char text[512];
  const ssize_t size = pread(fd, text, sizeof text, 0);
  ::close(fd);
  const std::string_view lines(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  find_line(lines, "uid", attributes.uid);
  find_line(lines, "gid", attributes.gid);
  find_line(lines, "mode", attributes.mode);
  find_line(lines, "rdev", attributes.rdev);
  return 0;
}

int LocalFs::store_attributes(const Place& place, const Attributes& attributes) const {
  if (options_.security == SecurityModel::kMappedXattr) {
    return at_place(place, [&](const std::string& path, bool follow) {
      int error = set_number(path, follow, kUid, attributes.uid);
      if (error == 0) error = set_number(path, follow, kGid, attributes.gid);
      if (error == 0) error = set_number(path, follow, kMode, attributes.mode);
      if (error == 0) error = set_number(path, follow, kRdev, attributes.rdev);
      return error;
    });
  }
  const MetadataFile file = metadata_file(place, root_);
  if (file.directory < 0) return -ENOENT;
  Attributes all;
  int error = load_attributes(place, 0, false, all);
  if (error == 0 && place.parent) error = metadata::make_directory(file.directory);
  if (error < 0) return error;
  std::string text;
  const auto add = [&](const char* key, auto& old, const auto& changed) {
    if (changed) old = changed;
    if (old) text += fmt::format("virtfs.{}={}\n", key, *old);
  };
  add("uid", all.uid, attributes.uid);
  add("gid", all.gid, attributes.gid);
  add("mode", all.mode, attributes.mode);
  add("rdev", all.rdev, attributes.rdev);
  const int fd = open_beneath(file.directory, file.path.c_str(),
                              O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0600);
  if (fd < 0) return -errno;
  const ssize_t written = pwrite(fd, text.data(), text.size(), 0);
  ::close(fd);
  return written == static_cast<ssize_t>(text.size()) ? 0 : -ENOSPC;
}

namespace {

constexpr std::string_view kUser = "user.";
constexpr std::string_view kOwn = "user.virtfs.";
constexpr std::string_view kAcl = "system.posix_acl_";
constexpr std::string_view kMappedAcl = "user.virtfs.system.posix_acl_";

// The host's name of an attribute; empty: the share has none of that kind.
std::string host_name(SecurityModel security, std::string_view name) {
  const bool acl = name == "system.posix_acl_access" || name == "system.posix_acl_default";
  if (security == SecurityModel::kMappedXattr) {
    if (acl) return std::string(kMappedAcl).append(name.substr(kAcl.size()));
    return std::string(name.starts_with(kUser) ? name : "");
  }
  if (acl && security != SecurityModel::kNone) return std::string(name);
  return std::string(name.starts_with(kUser) ? name : "");
}

// Those of the guest may not be mistaken for ours.
bool reserved(SecurityModel security, std::string_view name) {
  return security == SecurityModel::kMappedXattr && name.starts_with(kOwn);
}

}  // namespace

int LocalFs::get_xattr(const Place& place, const std::string& name,
                       std::vector<uint8_t>& value) const {
  if (reserved(options_.security, name)) return -ENODATA;
  const std::string host = host_name(options_.security, name);
  if (host.empty()) return -EOPNOTSUPP;
  value.resize(kMaxXattr);
  const ssize_t size = at_place(place, [&](const std::string& path, bool follow) {
    return follow ? getxattr(path.c_str(), host.c_str(), value.data(), value.size())
                  : lgetxattr(path.c_str(), host.c_str(), value.data(), value.size());
  });
  if (size < 0) return -errno;
  value.resize(static_cast<size_t>(size));
  return 0;
}

int LocalFs::list_xattrs(const Place& place, std::vector<uint8_t>& names) const {
  std::vector<char> host(kMaxXattr);
  const ssize_t size = at_place(place, [&](const std::string& path, bool follow) {
    return follow ? listxattr(path.c_str(), host.data(), host.size())
                  : llistxattr(path.c_str(), host.data(), host.size());
  });
  if (size < 0) return -errno;
  names.clear();
  std::string_view rest(host.data(), static_cast<size_t>(size));
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    std::string shown(name);
    if (options_.security == SecurityModel::kMappedXattr && name.starts_with(kMappedAcl))
      shown = std::string(kAcl).append(name.substr(kMappedAcl.size()));
    else if (reserved(options_.security, name))
      continue;
    if (host_name(options_.security, shown) != name) continue;
    names.insert(names.end(), shown.begin(), shown.end());
    names.push_back(0);
  }
  return 0;
}

int LocalFs::set_xattr(const Place& place, const std::string& name,
                       const std::vector<uint8_t>& value, int flags) const {
  if (reserved(options_.security, name)) return -EACCES;
  const std::string host = host_name(options_.security, name);
  if (host.empty()) return -EOPNOTSUPP;
  const int done = at_place(place, [&](const std::string& path, bool follow) {
    return follow ? setxattr(path.c_str(), host.c_str(), value.data(), value.size(), flags)
                  : lsetxattr(path.c_str(), host.c_str(), value.data(), value.size(), flags);
  });
  return done == 0 ? 0 : -errno;
}

int LocalFs::remove_xattr(const Place& place, const std::string& name) const {
  if (reserved(options_.security, name)) return -EACCES;
  const std::string host = host_name(options_.security, name);
  if (host.empty()) return -EOPNOTSUPP;
  const int done = at_place(place, [&](const std::string& path, bool follow) {
    return follow ? removexattr(path.c_str(), host.c_str())
                  : lremovexattr(path.c_str(), host.c_str());
  });
  return done == 0 ? 0 : -errno;
}

}  // namespace hv
