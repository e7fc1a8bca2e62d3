// Requests about contents: open, read, write, directories, fsync, locks.
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <utility>

#include "fs9p/server_call.h"

namespace hv {

namespace {

// open(2)'s flags as 9P2000.L has them: Linux' own on most architectures.
constexpr uint32_t kOpenMode = 3, kOpenExclusive = 0200, kOpenTruncate = 01000, kOpenAppend = 02000,
                   kOpenDataSync = 010000, kOpenDirectory = 0200000, kOpenNoAccessTime = 01000000,
                   kOpenSync = 04000000;

// Locks: 9P2000.L's numbers.
constexpr uint8_t kLockSuccess = 0, kLockUnlock = 2;
constexpr uint32_t kLockFlagBlock = 1;

// Reply headers and data share a message; QEMU reserves this much for headers.
constexpr uint32_t kIoHeader = 24;
constexpr uint32_t kPage = 4096;
// One getdents() at most.
constexpr size_t kMaxDirectoryRead = 64 << 10;
// A page cache knows which parts of a page it has in units of this and larger.
constexpr uint64_t kSmallestBlock = 512;
constexpr uint64_t kMaxOffset = INT64_MAX;

int host_flags(uint32_t flags) {
  int host = static_cast<int>(flags & kOpenMode);
  if (flags & kOpenExclusive) host |= O_EXCL;
  if (flags & kOpenTruncate) host |= O_TRUNC;
  if (flags & kOpenAppend) host |= O_APPEND;
  if (flags & kOpenDataSync) host |= O_DSYNC;
  if (flags & kOpenDirectory) host |= O_DIRECTORY;
  if (flags & kOpenNoAccessTime) host |= O_NOATIME;
  if ((flags & kOpenSync) == kOpenSync) host |= O_SYNC;
  return host;
}

bool changes_files(uint32_t flags) {
  return (flags & kOpenMode) != O_RDONLY || (flags & kOpenTruncate);
}

// The part [offset, offset + size) of scatter lists, or as much of it as one system call takes;
// returns how much.
uint32_t sub_pieces(std::span<const iovec> pieces, uint64_t offset, uint64_t size,
                    std::vector<iovec>& to) {
  to.clear();
  uint64_t taken = 0;
  for (const iovec& piece : pieces) {
    if (taken == size || to.size() == IOV_MAX) break;
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    const uint64_t part = std::min<uint64_t>(piece.iov_len - offset, size - taken);
    to.push_back({static_cast<uint8_t*>(piece.iov_base) + offset, part});
    taken += part;
    offset = 0;
  }
  return static_cast<uint32_t>(taken);
}

// Moves all of the pieces; fewer only at the end of the file or after an error. Consumes them.
template <class Move>
int move_all(std::vector<iovec>& pieces, uint64_t offset, Move move) {
  int moved = 0;
  size_t first = 0;
  while (first < pieces.size()) {
    const int count = static_cast<int>(pieces.size() - first);
    ssize_t n = move(&pieces[first], count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return moved ? moved : -errno;
    if (n == 0) break;
    moved += static_cast<int>(n);
    offset += static_cast<uint64_t>(n);
    for (; n > 0; ++first) {
      iovec& piece = pieces[first];
      const size_t part = std::min<size_t>(piece.iov_len, static_cast<size_t>(n));
      piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + part;
      piece.iov_len -= part;
      n -= static_cast<ssize_t>(part);
      if (piece.iov_len) break;
    }
  }
  return moved;
}

struct RawEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];  // ends with NUL, within `length`
};

}  // namespace

Fid* P9Server::open_fid(Call& call, uint32_t number, Fid::Kind kind) {
  Fid* fid = fid_of(call, number);
  if (!fid || fid->kind == kind) return fid;
  reply_error(call, EBADF);
  return nullptr;
}

// Data of whole pages per message, so that a client that splits its transfers does so at pages.
uint32_t P9Server::io_unit() const {
  return (msize_ - kIoHeader) / kPage * kPage;
}

// Descriptors of open files are not given up again: they leave some for directories.
bool P9Server::may_open(Call& call) {
  const FdBudget& budget = fs_->budget();
  const unsigned limit = budget.limit() - budget.limit() / 4;
  while (budget.used() >= limit)
    if (!nodes_.reclaim()) {
      reply_error(call, EMFILE);
      return false;
    }
  return true;
}

void P9Server::set_open(Fid& fid, HandleRef handle, int flags, bool directory) {
  auto& opens = fid.node->opens;
  std::erase_if(opens, [](const auto& open) { return open.expired(); });
  opens.push_back(handle);
  fid.open = std::move(handle);
  fid.kind = directory ? Fid::Kind::kDirectory : Fid::Kind::kFile;
  fid.writable = (flags & O_ACCMODE) != O_RDONLY;
  fid.synchronous = flags & O_DSYNC;
  fid.directory_position = 0;
}

void P9Server::on(Call& call, const p9::Tlopen& message) {
  Fid* fid = path_fid(call, message.fid);
  if (!fid || (changes_files(message.flags) && !may_write(call)) || !may_open(call) ||
      !place_of(call, *fid))
    return;
  const int flags = host_flags(message.flags) & ~O_EXCL;
  run(
      call, Cost::kShort,
      [this, &call, flags] {
        int error = 0;
        call.made = fs_->open(call.place, flags, error);
        if (!call.made) return error;
        call.place.self = call.made;
        return fs_->stat(call.place, call.info, true);
      },
      [this, &call, flags, number = message.fid](int result) {
        if (failed(call, result)) return;
        int error = 0;
        const p9::Qid qid = qid_of(call.info, error);
        if (failed(call, error)) return;
        set_open(*fids_.find(number), std::move(call.made), flags, S_ISDIR(call.info.st_mode));
        reply(call, p9::Rlopen{qid, io_unit()});
      });
}

void P9Server::on(Call& call, const p9::Tlcreate& message) {
  Fid* fid = path_fid(call, message.fid);
  if (!fid || !may_write(call) || !may_name(call, message.name.text) || !may_open(call)) return;
  call.directory = directory_of(call, fid->node);
  if (!call.directory) return;
  const int flags = host_flags(message.flags) & ~O_DIRECTORY;
  const Owner owner{fid->uid, message.gid, message.mode};
  call.text = message.name.text;
  run(
      call, Cost::kShort,
      [this, &call, flags, owner] {
        int error = 0;
        call.made = fs_->create_file(call.directory, call.text, flags, owner, call.info, error);
        return call.made ? 0 : error;
      },
      [this, &call, flags, number = message.fid](int result) {
        if (failed(call, result)) return;
        int error = 0;
        const p9::Qid qid = qid_of(call.info, error);
        if (failed(call, error)) return;
        Fid& made = *fids_.find(number);
        made.node = nodes_.find(made.node, call.text, call.info);
        set_open(made, std::move(call.made), flags, S_ISDIR(call.info.st_mode));
        reply(call, p9::Rlcreate{qid, io_unit()});
      });
}

// What the page cache has is copied to the guest at once; a worker waits for the rest.
void P9Server::on(Call& call, const p9::Tread& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  const uint64_t room =
      std::min<uint64_t>(msize_, total_length(call.frame->reply)) - p9::kReadHeaderSize;
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(message.count, room));
  if (fid->kind == Fid::Kind::kXattrRead) {
    const auto& value = fid->xattr;
    const uint64_t begin = std::min<uint64_t>(message.offset, value.size());
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(count, value.size() - begin));
    copy_to_pieces(call.frame->reply, p9::kReadHeaderSize, value.data() + begin, part);
    return reply(call, p9::Rread{part}, part);
  }
  if (fid->kind != Fid::Kind::kFile)
    return reply_error(call, fid->kind == Fid::Kind::kDirectory ? EISDIR : EBADF);
  if (message.offset > kMaxOffset - count) return reply_error(call, EINVAL);
  uint32_t done = 0;
  while (fs_->local() && done < count) {
    const uint32_t want =
        sub_pieces(call.frame->reply, p9::kReadHeaderSize + done, count - done, call.data);
    const ssize_t n = preadv2(fid->open->fd(), call.data.data(), static_cast<int>(call.data.size()),
                              static_cast<off_t>(message.offset + done), RWF_NOWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EOPNOTSUPP)
      return done ? reply(call, p9::Rread{done}, done) : reply_error(call, errno);
    if (n < 0) break;
    done += static_cast<uint32_t>(n);
    // It ends where no block ends: that is the end of the file.
    const bool cut = n < want && (message.offset + done) % kSmallestBlock != 0;
    if (n == 0 || cut) return reply(call, p9::Rread{done}, done);
  }
  if (done == count) return reply(call, p9::Rread{done}, done);
  read_rest(call, fid->open, message.offset, done, count);
}

void P9Server::read_rest(Call& call, const HandleRef& file, uint64_t offset, uint32_t done,
                         uint32_t count) {
  sub_pieces(call.frame->reply, p9::kReadHeaderSize + done, count - done, call.data);
  call.made = file;
  run(
      call, Cost::kBlocking,
      [&call, offset, done] {
        return move_all(call.data, offset + done, [&](const iovec* pieces, int n, off_t at) {
          return preadv(call.made->fd(), pieces, n, at);
        });
      },
      [this, &call, done](int result) {
        if (result < 0 && done == 0) return reply_error(call, -result);
        const uint32_t all = done + static_cast<uint32_t>(std::max(result, 0));
        reply(call, p9::Rread{all}, all);
      });
}

void P9Server::on(Call& call, const p9::Twrite& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  if (message.count > call.size - p9::kWriteHeaderSize) return reply_error(call, EINVAL);
  if (fid->kind == Fid::Kind::kXattrWrite) {
    if (message.offset != fid->xattr.size() || message.count > fid->xattr_size - fid->xattr.size())
      return reply_error(call, ENOSPC);
    fid->xattr.resize(fid->xattr.size() + message.count);
    copy_from_pieces(call.frame->request, p9::kWriteHeaderSize, fid->xattr.data() + message.offset,
                     message.count);
    return reply(call, p9::Rwrite{message.count});
  }
  if (fid->kind != Fid::Kind::kFile || !fid->writable) return reply_error(call, EBADF);
  if (message.offset > kMaxOffset - message.count) return reply_error(call, EFBIG);
  sub_pieces(call.frame->request, p9::kWriteHeaderSize, message.count, call.data);
  call.made = fid->open;
  const bool through = fs_->options().write_through;
  run(
      call, fid->synchronous || through ? Cost::kBlocking : Cost::kShort,
      [&call, offset = message.offset, through] {
        const int written = move_all(call.data, offset, [&](const iovec* pieces, int n, off_t at) {
          return pwritev(call.made->fd(), pieces, n, at);
        });
        if (through && written > 0)
          sync_file_range(call.made->fd(), static_cast<off_t>(offset), written,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
        return written;
      },
      [this, &call](int result) {
        if (!failed(call, result)) reply(call, p9::Rwrite{static_cast<uint32_t>(result)});
      });
}

void P9Server::on(Call& call, const p9::Treaddir& message) {
  Fid* fid = open_fid(call, message.fid, Fid::Kind::kDirectory);
  if (!fid) return;
  const uint64_t room =
      std::min<uint64_t>(msize_, total_length(call.frame->reply)) - p9::kReadHeaderSize;
  const uint64_t count = std::min<uint64_t>({message.count, room, kMaxDirectoryRead});
  if (message.offset > kMaxOffset) return reply_error(call, EINVAL);
  // An entry takes up to 4 bytes more on the wire than from the host, which are 28 or more there.
  call.buffer.resize(count / 7 * 6);
  call.made = fid->open;
  const bool seek = fid->directory_position != message.offset;
  // Until it is known where the next read begins.
  fid->directory_position = UINT64_MAX;
  run(
      call, Cost::kShort,
      [this, &call, seek, offset = message.offset] {
        const int fd = call.made->fd();
        if (seek && lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) return -errno;
        for (;;) {
          const long size = syscall(SYS_getdents64, fd, call.buffer.data(), call.buffer.size());
          if (size <= 0) return size < 0 ? -errno : 0;
          // Nothing but hidden names is not the end.
          for (long at = 0; at < size;) {
            const uint8_t* entry = call.buffer.data() + at;
            if (!fs_->hidden(reinterpret_cast<const char*>(entry) + offsetof(RawEntry, name)))
              return static_cast<int>(size);
            uint16_t length;
            std::memcpy(&length, entry + offsetof(RawEntry, length), sizeof length);
            at += length;
          }
        }
      },
      [this, &call, number = message.fid](int result) {
        if (!failed(call, result)) reply_entries(call, number, result);
      });
}

// The entries getdents() left in the buffer, as the client knows them.
void P9Server::reply_entries(Call& call, uint32_t number, int size) {
  Fid& fid = *fids_.find(number);
  struct stat info{};
  if (fstat(call.made->fd(), &info) != 0) return reply_error(call, errno);
  const bool at_root = fid.node == nodes_.root();
  std::vector<uint8_t> entries;
  entries.reserve(static_cast<size_t>(size) / 6 * 7 + 32);
  p9::Writer writer(entries);
  for (int at = 0; at < size;) {
    const uint8_t* raw = call.buffer.data() + at;
    RawEntry entry;
    std::memcpy(&entry, raw, offsetof(RawEntry, name));
    const std::string_view name = reinterpret_cast<const char*>(raw) + offsetof(RawEntry, name);
    at += entry.length;
    fid.directory_position = static_cast<uint64_t>(entry.offset);
    if (fs_->hidden(name)) continue;
    // What is above the share is not told.
    const ino_t inode = at_root && name == ".." ? info.st_ino : entry.inode;
    const auto path = qids_.path(info.st_dev, inode);
    // Types are as the host has them where the guest's are no others.
    const uint8_t type = fs_->mapped() ? uint8_t{DT_UNKNOWN} : entry.type;
    const uint8_t qid_type = entry.type == DT_DIR ? p9::kQidDirectory
                             : type == DT_LNK     ? p9::kQidSymlink
                                                  : uint8_t{0};
    writer("qid", p9::Qid{qid_type, 0, path.value_or(0)});
    writer("offset", static_cast<uint64_t>(entry.offset));
    writer("type", type);
    writer("name", p9::Text(name));
  }
  if (size == 0) fid.directory_position = UINT64_MAX;
  const auto length = static_cast<uint32_t>(entries.size());
  copy_to_pieces(call.frame->reply, p9::kReadHeaderSize, entries.data(), length);
  reply(call, p9::Rreaddir{length}, length);
}

void P9Server::on(Call& call, const p9::Tfsync& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  if (!fid->open) return reply_error(call, EINVAL);
  call.made = fid->open;
  run(
      call, Cost::kBlocking,
      [&call, data_only = message.datasync != 0] {
        const int fd = call.made->fd();
        return (data_only ? fdatasync(fd) : fsync(fd)) == 0 ? 0 : -errno;
      },
      [this, &call](int result) {
        if (!failed(call, result)) reply(call, p9::Rfsync{});
      });
}

// The client's kernel keeps locks among its own processes before it asks; as with QEMU, they do not
// reach further.
void P9Server::on(Call& call, const p9::Tlock& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  if (!fid->open || (message.flags & ~kLockFlagBlock) || message.type > kLockUnlock)
    return reply_error(call, EINVAL);
  reply(call, p9::Rlock{kLockSuccess});
}

void P9Server::on(Call& call, const p9::Tgetlock& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  if (!fid->open) return reply_error(call, EINVAL);
  reply(call, p9::Rgetlock{kLockUnlock, message.start, message.length, message.proc_id,
                           message.client_id});
}

}  // namespace hv
