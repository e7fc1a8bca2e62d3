#include "block/image_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

namespace hv {

namespace {

constexpr unsigned kSector = 512;
// What every host accepts for O_DIRECT.
constexpr unsigned kSafeAlign = 4096;

// The smallest aligned read that the host takes with O_DIRECT.
unsigned try_block_size(int fd) {
  alignas(kSafeAlign) std::array<char, kSafeAlign> buffer;
  unsigned size = kSector;
  while (size < kSafeAlign && pread(fd, buffer.data(), size, 0) < 0 && errno == EINVAL) size *= 2;
  return size;
}

// O_DIRECT's demands on offsets and on buffers. The first is the smallest sector that the guest can
// be shown, so what the host does not tell is tried out: a disk of 512-byte sectors that became one
// of 4096 would have no partitions.
void find_alignment(ImageFile& file, bool block_device) {
#ifdef STATX_DIOALIGN
  struct statx info;
  if (statx(file.fd.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
      (info.stx_mask & STATX_DIOALIGN) && info.stx_dio_offset_align != 0) {
    file.block_size = std::max(kSector, info.stx_dio_offset_align);
    file.memory_align = std::max(1u, info.stx_dio_mem_align);
    return;
  }
#endif
  int sector = 0;
  if (block_device && ioctl(file.fd.get(), BLKSSZGET, &sector) == 0 && sector > 0)
    file.block_size = static_cast<unsigned>(sector);
  else
    file.block_size = try_block_size(file.fd.get());
  file.memory_align = kSafeAlign;
}

Result<> check_format(const ImageFile& file, int fd) {
  alignas(kSafeAlign) std::array<char, kSafeAlign> head;
  const ssize_t got = pread(fd, head.data(), head.size(), 0);
  if (got < 0) return fail_errno(errno, "{}: cannot read the image", file.name);
  const auto format = probe_format({head.data(), static_cast<size_t>(got)});
  if (format.empty()) return {};
  return fail(
      "{}: looks like a {} image, which hartvisor does not read: convert it to raw, or give "
      "format=raw if the guest should see these bytes",
      file.name, format);
}

}  // namespace

std::string_view probe_format(std::string_view first_bytes) {
  struct Magic {
    size_t offset;
    std::string_view bytes;
    std::string_view format;
  };
  using namespace std::string_view_literals;
  static constexpr Magic kMagics[] = {
      {0, "QFI\xfb"sv, "qcow2"},
      {0, "QED\0"sv, "qed"},
      {0, "KDMV"sv, "vmdk"},
      {0, "COWD"sv, "vmdk"},
      {0, "# Disk DescriptorFile"sv, "vmdk"},
      {0, "vhdxfile"sv, "vhdx"},
      {0, "conectix"sv, "vpc (VHD)"},
      {0x40, "\x7f\x10\xda\xbe"sv, "vdi"},
      {0, "WithoutFreeSpace"sv, "parallels"},
      {0, "WithouFreSpacExt"sv, "parallels"},
      {0, "Bochs Virtual HD Image"sv, "bochs"},
      {0, "LUKS\xba\xbe"sv, "luks"},
  };
  for (const Magic& magic : kMagics)
    if (first_bytes.size() >= magic.offset + magic.bytes.size() &&
        first_bytes.substr(magic.offset, magic.bytes.size()) == magic.bytes)
      return magic.format;
  return "";
}

Result<ImageFile> open_image_file(const DiskOptions& options) {
  ImageFile file;
  file.name = options.filename;
  if (options.filename.empty()) return fail("a disk image needs a file name (file=PATH)");
  if (!options.format.empty() && options.format != "raw")
    return fail("{}: format={} is not supported: convert the image to raw", file.name,
                options.format);
  const int mode = options.read_only || options.snapshot ? O_RDONLY : O_RDWR;
  // Without O_NONBLOCK a FIFO would hang us here.
  file.fd = UniqueFd(::open(options.filename.c_str(), mode | O_CLOEXEC | O_NONBLOCK));
  if (!file.fd.valid()) {
    if (errno == EISDIR) return fail("{}: is a directory, not a disk image", file.name);
    if ((errno == EACCES || errno == EROFS || errno == EPERM) && mode == O_RDWR)
      return fail_errno(errno, "{}: cannot open the image for writing (readonly=on opens it as is)",
                        file.name);
    return fail_errno(errno, "{}: cannot open the image", file.name);
  }
  const int fd = file.fd.get();
  struct stat info;
  if (fstat(fd, &info) != 0) return fail_errno(errno, "{}: cannot stat the image", file.name);
  const bool block_device = S_ISBLK(info.st_mode);
  if (S_ISDIR(info.st_mode)) return fail("{}: is a directory, not a disk image", file.name);
  if (!block_device && !S_ISREG(info.st_mode))
    return fail("{}: is neither a file nor a block device", file.name);

  file.size = static_cast<uint64_t>(info.st_size);
  if (block_device && ioctl(fd, BLKGETSIZE64, &file.size) != 0)
    return fail_errno(errno, "{}: cannot get the size of the block device", file.name);
  if (file.size == 0) return fail("{}: is empty: a disk needs 512 bytes or more", file.name);
  if (options.format.empty()) HV_TRY(check_format(file, fd));

  if (options.direct) {
    if (fcntl(fd, F_SETFL, O_DIRECT) != 0)
      return fail_errno(errno, "{}: its file system does not do O_DIRECT (use cache.direct=off)",
                        file.name);
    find_alignment(file, block_device);
  } else if (fcntl(fd, F_SETFL, 0) != 0) {
    return fail_errno(errno, "{}: cannot set the image's mode", file.name);
  }
  if (file.size % file.block_size != 0)
    return fail("{}: its size, {} bytes, is not a multiple of {}{}", file.name, file.size,
                file.block_size,
                file.block_size > kSector ? " (as cache.direct=on needs here)" : "");
  return file;
}

Result<ImageFile> make_temporary_image(uint64_t size) {
  const char* directory = std::getenv("TMPDIR");
  if (!directory || !*directory) directory = "/var/tmp";
  ImageFile file;
  file.size = size;
  file.fd = UniqueFd(::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.fd.valid()) {
    std::string path = std::string(directory) + "/hartvisor-snapshot-XXXXXX";
    file.fd = UniqueFd(mkostemp(path.data(), O_CLOEXEC));
    if (!file.fd.valid())
      return fail_errno(errno, "snapshot=on: cannot make a temporary file in {} (set TMPDIR)",
                        directory);
    unlink(path.c_str());
  }
  if (ftruncate(file.fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "snapshot=on: cannot make a temporary file of {} bytes in {}", size,
                      directory);
  file.name = std::string(directory) + "/(snapshot)";
  return file;
}

namespace {

// QEMU's block permissions, as far as disks of a guest use them.
constexpr unsigned kPermConsistentRead = 0;
constexpr unsigned kPermWrite = 1;
constexpr unsigned kPermResize = 3;
constexpr unsigned kPermCount = 5;
constexpr off_t kUsedBase = 100;
constexpr off_t kUnsharedBase = 200;

struct flock byte_lock(short type, off_t at, off_t count = 1) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = count;
  return lock;
}

Result<> set_bytes(const ImageFile& file, off_t base, unsigned permissions) {
  for (unsigned p = 0; p < kPermCount; ++p) {
    if (!(permissions & (1u << p))) continue;
    struct flock lock = byte_lock(F_RDLCK, base + p);
    if (fcntl(file.fd.get(), F_OFD_SETLK, &lock) != 0)
      return fail_errno(errno, "{}: cannot lock the image (locking=off goes without)", file.name);
  }
  return {};
}

// True if someone else holds one of these bytes.
bool held_by_other(const ImageFile& file, off_t base, unsigned permissions) {
  for (unsigned p = 0; p < kPermCount; ++p) {
    if (!(permissions & (1u << p))) continue;
    struct flock lock = byte_lock(F_WRLCK, base + p);
    if (fcntl(file.fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) return true;
  }
  return false;
}

void unlock_all(const ImageFile& file) {
  for (const off_t base : {kUsedBase, kUnsharedBase}) {
    struct flock lock = byte_lock(F_UNLCK, base, kPermCount);
    fcntl(file.fd.get(), F_OFD_SETLK, &lock);
  }
}

}  // namespace

// Both sides first take their bytes and then look for the other's, so that of two that come at the
// same time at least one sees the other.
Result<> lock_image(const ImageFile& file, bool read_only, bool share_rw) {
  const unsigned used = (1u << kPermConsistentRead) | (read_only ? 0 : 1u << kPermWrite);
  const unsigned unshared = share_rw ? 0 : (1u << kPermWrite) | (1u << kPermResize);
  unlock_all(file);
  Result<> taken = set_bytes(file, kUsedBase, used);
  if (taken) taken = set_bytes(file, kUnsharedBase, unshared);
  if (taken &&
      (held_by_other(file, kUnsharedBase, used) || held_by_other(file, kUsedBase, unshared)))
    taken = fail("{}: is locked by another process or drive that {} it", file.name,
                 read_only ? "writes to" : "uses");
  if (!taken) unlock_all(file);
  return taken;
}

}  // namespace hv
