// Requests about attributes: getattr, setattr, readlink, statfs, extended attributes.
#include <sys/xattr.h>

#include <cerrno>
#include <utility>

#include "fs9p/server_call.h"

namespace hv {

namespace {

constexpr uint64_t kStatsBasic = 0x7ff;  // what Rgetattr always has
// Tsetattr's bits.
constexpr uint32_t kSetMode = 1, kSetUid = 2, kSetGid = 4, kSetSize = 8, kSetAtime = 0x10,
                   kSetMtime = 0x20, kSetCtime = 0x40, kSetAtimeValue = 0x80,
                   kSetMtimeValue = 0x100;
constexpr uint32_t kXattrCreate = 1, kXattrReplace = 2;

timespec time_of(bool set, bool to_value, uint64_t seconds, uint64_t nanoseconds) {
  if (!set) return {0, UTIME_OMIT};
  if (!to_value) return {0, UTIME_NOW};
  return {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)};
}

}  // namespace

void P9Server::on(Call& call, const p9::Tgetattr& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !place_of(call, *fid)) return;
  run(
      call, Cost::kShort, [this, &call] { return fs_->stat(call.place, call.info); },
      [this, &call](int result) {
        if (failed(call, result)) return;
        const struct stat& info = call.info;
        int error = 0;
        p9::Rgetattr answer;
        answer.qid = qid_of(info, error);
        if (failed(call, error)) return;
        answer.valid = kStatsBasic;
        answer.mode = info.st_mode;
        answer.uid = info.st_uid;
        answer.gid = info.st_gid;
        answer.nlink = info.st_nlink;
        answer.rdev = info.st_rdev;
        answer.size = static_cast<uint64_t>(info.st_size);
        answer.blksize = io_unit();
        answer.blocks = static_cast<uint64_t>(info.st_blocks);
        answer.atime_sec = static_cast<uint64_t>(info.st_atim.tv_sec);
        answer.atime_nsec = static_cast<uint64_t>(info.st_atim.tv_nsec);
        answer.mtime_sec = static_cast<uint64_t>(info.st_mtim.tv_sec);
        answer.mtime_nsec = static_cast<uint64_t>(info.st_mtim.tv_nsec);
        answer.ctime_sec = static_cast<uint64_t>(info.st_ctim.tv_sec);
        answer.ctime_nsec = static_cast<uint64_t>(info.st_ctim.tv_nsec);
        reply(call, answer);
      });
}

void P9Server::on(Call& call, const p9::Tsetattr& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !may_write(call) || !place_of(call, *fid)) return;
  AttributeChange& change = call.change = {};
  const uint32_t valid = message.valid;
  if (valid & kSetMode) change.mode = message.mode;
  if (valid & kSetUid) change.uid = message.uid;
  if (valid & kSetGid) change.gid = message.gid;
  if (valid & kSetSize) change.size = message.size;
  change.times = valid & (kSetAtime | kSetMtime);
  change.atime =
      time_of(valid & kSetAtime, valid & kSetAtimeValue, message.atime_sec, message.atime_nsec);
  change.mtime =
      time_of(valid & kSetMtime, valid & kSetMtimeValue, message.mtime_sec, message.mtime_nsec);
  change.touch = valid == kSetCtime;
  // Such times could be mistaken for UTIME_NOW and UTIME_OMIT.
  if ((valid & kSetAtimeValue && message.atime_nsec >= 1'000'000'000) ||
      (valid & kSetMtimeValue && message.mtime_nsec >= 1'000'000'000))
    return reply_error(call, EINVAL);
  if (fid->open && fid->writable) call.made = fid->open;
  run(
      call, Cost::kShort,
      [this, &call] { return fs_->set_attributes(call.place, call.change, call.made); },
      [this, &call](int result) {
        if (!failed(call, result)) reply(call, p9::Rsetattr{});
      });
}

void P9Server::on(Call& call, const p9::Treadlink& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !place_of(call, *fid)) return;
  run(
      call, Cost::kShort, [this, &call] { return fs_->read_link(call.place, call.text); },
      [this, &call](int result) {
        if (!failed(call, result)) reply(call, p9::Rreadlink{call.text});
      });
}

void P9Server::on(Call& call, const p9::Tstatfs& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !place_of(call, *fid)) return;
  run(
      call, Cost::kShort, [this, &call] { return fs_->statfs(call.place, call.fs_info); },
      [this, &call](int result) {
        if (failed(call, result)) return;
        const struct statfs& info = call.fs_info;
        uint64_t id;
        static_assert(sizeof info.f_fsid == sizeof id);
        std::memcpy(&id, &info.f_fsid, sizeof id);
        reply(call,
              p9::Rstatfs{static_cast<uint32_t>(info.f_type), static_cast<uint32_t>(info.f_bsize),
                          info.f_blocks, info.f_bfree, info.f_bavail, info.f_files, info.f_ffree,
                          id, static_cast<uint32_t>(info.f_namelen)});
      });
}

void P9Server::on(Call& call, const p9::Txattrwalk& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !new_fid(call, message.newfid) || !place_of(call, *fid)) return;
  if (xattr_bytes_ + LocalFs::kMaxXattr > kMaxXattrBytes) return reply_error(call, ENOSPC);
  call.text = message.name;
  run(
      call, Cost::kShort,
      [this, &call] {
        return call.text.empty() ? fs_->list_xattrs(call.place, call.buffer)
                                 : fs_->get_xattr(call.place, call.text, call.buffer);
      },
      [this, &call, message](int result) {
        if (failed(call, result)) return;
        // Others may have been read meanwhile.
        const uint64_t size = call.buffer.size();
        if (xattr_bytes_ + size > kMaxXattrBytes) return reply_error(call, ENOSPC);
        const Fid& from = *fids_.find(message.fid);
        const NodeRef node = from.node;
        const uint32_t uid = from.uid;
        Fid& made = fids_.add(message.newfid);
        made.kind = Fid::Kind::kXattrRead;
        made.node = node;
        made.uid = uid;
        made.xattr = call.buffer;
        made.xattr_size = size;
        xattr_bytes_ += size;
        reply(call, p9::Rxattrwalk{size});
      });
}

// The value comes by Twrite and is set when the fid is clunked; none at all removes the attribute.
void P9Server::on(Call& call, const p9::Txattrcreate& message) {
  Fid* fid = path_fid(call, message.fid);
  if (!fid || !may_write(call)) return;
  if (message.flags & ~(kXattrCreate | kXattrReplace)) return reply_error(call, EINVAL);
  if (message.size > LocalFs::kMaxXattr) return reply_error(call, E2BIG);
  if (xattr_bytes_ + message.size > kMaxXattrBytes) return reply_error(call, ENOSPC);
  fid->kind = Fid::Kind::kXattrWrite;
  fid->xattr_name = message.name;
  fid->xattr_size = message.size;
  fid->xattr_flags = (message.flags & kXattrCreate ? XATTR_CREATE : 0) |
                     (message.flags & kXattrReplace ? XATTR_REPLACE : 0);
  xattr_bytes_ += message.size;
  reply(call, p9::Rxattrcreate{});
}

}  // namespace hv
