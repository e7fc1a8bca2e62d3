// Requests about names: attach, walk, making, moving and removing entries.
#include <sys/sysmacros.h>

#include <cerrno>
#include <utility>

#include "fs9p/host_call.h"
#include "fs9p/server_call.h"

namespace hv {

static constexpr uint32_t kRemoveDirectory = 0x200;  // Tunlinkat's flag

// --- what calls need

Fid* P9Server::fid_of(Call& call, uint32_t number) {
  Fid* fid = fids_.find(number);
  if (!fid) reply_error(call, EBADF);
  return fid;
}

// One that stands for a name: not open.
Fid* P9Server::path_fid(Call& call, uint32_t number) {
  Fid* fid = fid_of(call, number);
  if (!fid || fid->kind == Fid::Kind::kPath) return fid;
  reply_error(call, EINVAL);
  return nullptr;
}

bool P9Server::new_fid(Call& call, uint32_t number) {
  if (number == p9::kNoFid || fids_.find(number)) {
    reply_error(call, EINVAL);
    return false;
  }
  if (!fids_.full()) return true;
  reply_error(call, ENFILE);
  return false;
}

bool P9Server::place_of(Call& call, const Fid& fid) {
  int error = 0;
  if (!nodes_.place(fid.node, call.place, error)) {
    // An open file needs no name.
    if (!fid.open) return !failed(call, error);
  }
  if (fid.open) call.place.self = fid.open;
  return true;
}

HandleRef P9Server::directory_of(Call& call, const NodeRef& node) {
  int error = 0;
  HandleRef handle = nodes_.directory(node, error);
  if (!handle) failed(call, error);
  return handle;
}

bool P9Server::may_write(Call& call) {
  if (fs_->options().read_only) reply_error(call, EROFS);
  return !fs_->options().read_only;
}

// Names that are the share's own are none of the guest's.
bool P9Server::may_name(Call& call, std::string_view name) {
  const bool hidden = fs_->hidden(name);
  if (hidden) reply_error(call, EINVAL);
  return !hidden;
}

p9::Qid P9Server::qid_of(const struct stat& info, int& error) {
  const auto qid = qids_.qid(info);
  if (!qid) error = fs_->options().multi_devices == MultiDevices::kForbid ? -ENODEV : -ENFILE;
  return qid.value_or(p9::Qid{});
}

void P9Server::drop_fid(uint32_t number) {
  if (Fid* fid = fids_.find(number)) xattr_bytes_ -= fid->xattr_size;
  fids_.remove(number);
}

// --- walking

void P9Server::on(Call& call, const p9::Tauth&) {
  reply_error(call, EOPNOTSUPP);
}

void P9Server::on(Call& call, const p9::Tattach& message) {
  if (message.afid != p9::kNoFid) return reply_error(call, EBADF);
  if (!new_fid(call, message.fid)) return;
  call.place = {fs_->root(), nullptr, {}};
  run(
      call, Cost::kShort, [this, &call] { return fs_->stat(call.place, call.info, true); },
      [this, &call, message](int result) {
        if (failed(call, result)) return;
        int error = 0;
        const p9::Qid qid = qid_of(call.info, error);
        if (failed(call, error)) return;
        Fid& fid = fids_.add(message.fid);
        fid.node = nodes_.root();
        fid.uid = message.n_uname;
        reply(call, p9::Rattach{qid});
      });
}

void P9Server::on(Call& call, const p9::Twalk& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  const bool has_name = fid->kind != Fid::Kind::kXattrRead && fid->kind != Fid::Kind::kXattrWrite;
  if (!has_name || (message.fid == message.newfid && fid->kind != Fid::Kind::kPath))
    return reply_error(call, EINVAL);
  if (message.fid != message.newfid && !new_fid(call, message.newfid)) return;
  if (message.names.count == 0) return walk(call, message, 0);
  for (unsigned i = 0; i < message.names.count; ++i)
    if (fs_->hidden(message.names.items[i])) return reply_error(call, ENOENT);
  const FdBudget& budget = fs_->budget();
  if (message.names.count > 1 && budget.used() + p9::kMaxWalk > budget.limit()) nodes_.reclaim();
  call.directory = directory_of(call, fid->node);
  if (!call.directory) return;
  run(
      call, Cost::kShort,
      [this, &call, message] {
        int error = 0;
        HandleRef at = call.directory;
        for (unsigned i = 0; i < message.names.count; ++i) {
          // What is walked through is kept open, what is walked to is only looked at.
          if (i > 0) {
            at = fs_->open_directory(*at, call.place.name, error);
            // Too few descriptors do not mean that there is no such file.
            if (!at) return error == -EMFILE || error == -ENFILE ? error : static_cast<int>(i);
            call.steps[i - 1].directory = at;
          }
          call.place = {nullptr, at, std::string(message.names.items[i])};
          struct stat info;
          error = fs_->stat(call.place, info, true);
          if (error < 0) return i > 0 ? static_cast<int>(i) : error;
          call.steps.push_back({nullptr, info});
        }
        return static_cast<int>(message.names.count);
      },
      [this, &call, message](int result) {
        if (!failed(call, result)) walk(call, message, result);
      });
}

// `steps` names were found.
void P9Server::walk(Call& call, const p9::Twalk& message, int steps) {
  Fid* from = fids_.find(message.fid);
  NodeRef node = from->node;
  p9::Rwalk answer;
  int error = 0;
  for (int i = 0; i < steps; ++i) {
    Call::Step& step = call.steps[static_cast<size_t>(i)];
    answer.qids.items[static_cast<size_t>(i)] = qid_of(step.info, error);
    if (failed(call, error)) return;
    node = nodes_.find(node, message.names.items[static_cast<size_t>(i)], step.info);
    if (step.directory) nodes_.keep(*node, std::move(step.directory));
  }
  answer.qids.count = static_cast<uint16_t>(steps);
  if (steps == message.names.count) {
    const uint32_t uid = from->uid;
    Fid& to = message.fid == message.newfid ? *from : fids_.add(message.newfid);
    to.node = std::move(node);
    to.uid = uid;
  }
  reply(call, answer);
}

void P9Server::on(Call& call, const p9::Tclunk& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  if (fid->kind == Fid::Kind::kXattrWrite) {
    if (fid->xattr.size() != fid->xattr_size) {
      drop_fid(message.fid);
      return reply_error(call, EINVAL);
    }
    call.text = fid->xattr_name;
    call.buffer = std::move(fid->xattr);
    const int flags = fid->xattr_flags;
    const bool placed = place_of(call, *fid);
    drop_fid(message.fid);
    if (!placed) return;
    return run(
        call, Cost::kShort,
        [this, &call, flags] {
          return call.buffer.empty() ? fs_->remove_xattr(call.place, call.text)
                                     : fs_->set_xattr(call.place, call.text, call.buffer, flags);
        },
        [this, &call](int result) {
          if (!failed(call, result)) reply(call, p9::Rclunk{});
        });
  }
  // A last close may have to write back.
  call.made = std::move(fid->open);
  drop_fid(message.fid);
  run(
      call, call.made && !fs_->local() ? Cost::kBlocking : Cost::kShort,
      [&call] {
        call.made = nullptr;
        return 0;
      },
      [this, &call](int) { reply(call, p9::Rclunk{}); });
}

// --- making

// make() of an entry in the directory that `number` stands for; it leaves stat data.
template <class Reply, class Make>
void P9Server::make_entry(Call& call, uint32_t number, uint32_t gid, std::string_view name,
                          Make make) {
  Fid* fid = path_fid(call, number);
  if (!fid || !may_write(call) || !may_name(call, name)) return;
  call.directory = directory_of(call, fid->node);
  if (!call.directory) return;
  call.text = name;
  const Owner owner{fid->uid, gid, 0};
  run(
      call, Cost::kShort, [owner, make] { return make(owner); },
      [this, &call](int result) {
        if (failed(call, result)) return;
        int error = 0;
        const p9::Qid qid = qid_of(call.info, error);
        if (!failed(call, error)) reply(call, Reply{qid});
      });
}

void P9Server::on(Call& call, const p9::Tmkdir& message) {
  make_entry<p9::Rmkdir>(call, message.fid, message.gid, message.name.text,
                         [this, &call, mode = message.mode](Owner owner) {
                           owner.mode = mode;
                           return fs_->make_directory(call.directory, call.text, owner, call.info);
                         });
}

void P9Server::on(Call& call, const p9::Tmknod& message) {
  make_entry<p9::Rmknod>(call, message.fid, message.gid, message.name.text,
                         [this, &call, message](Owner owner) {
                           owner.mode = message.mode;
                           return fs_->make_node(call.directory, call.text, owner,
                                                 makedev(message.major, message.minor), call.info);
                         });
}

void P9Server::on(Call& call, const p9::Tsymlink& message) {
  if (message.target.find('\0') != message.target.npos) return reply_error(call, EINVAL);
  make_entry<p9::Rsymlink>(call, message.fid, message.gid, message.name.text,
                           [this, &call, target = message.target](const Owner& owner) {
                             return fs_->make_symlink(call.directory, call.text,
                                                      std::string(target), owner, call.info);
                           });
}

void P9Server::on(Call& call, const p9::Tlink& message) {
  Fid* directory = path_fid(call, message.dfid);
  Fid* from = directory ? fid_of(call, message.fid) : nullptr;
  if (!from || !may_write(call) || !may_name(call, message.name.text) || !place_of(call, *from))
    return;
  call.directory = directory_of(call, directory->node);
  if (!call.directory) return;
  call.text = message.name.text;
  run(
      call, Cost::kShort,
      [this, &call] { return fs_->link(call.place, call.directory, call.text); },
      [this, &call](int result) {
        if (!failed(call, result)) reply(call, p9::Rlink{});
      });
}

// --- removing and moving

void P9Server::remove_entry(Call& call, const NodeRef& parent, std::string name, bool* is_directory,
                            std::function<void()> done) {
  call.directory = directory_of(call, parent);
  if (!call.directory) return;
  call.node = parent;
  call.text = std::move(name);
  const int known = is_directory ? *is_directory : -1;
  run(
      call, Cost::kShort,
      [this, &call, known] {
        bool directory = known == 1;
        if (known < 0) {
          const int error = fs_->stat({nullptr, call.directory, call.text}, call.info, true);
          if (error < 0) return error;
          directory = S_ISDIR(call.info.st_mode);
        }
        return fs_->unlink(call.directory, call.text, directory);
      },
      [this, &call, done = std::move(done)](int result) {
        if (failed(call, result)) return;
        nodes_.removed(call.node, call.text);
        done();
      });
}

void P9Server::on(Call& call, const p9::Tunlinkat& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid || !may_write(call) || !may_name(call, message.name.text)) return;
  if (message.flags & ~kRemoveDirectory) return reply_error(call, EINVAL);
  bool directory = message.flags & kRemoveDirectory;
  remove_entry(call, fid->node, std::string(message.name.text), &directory,
               [this, &call] { reply(call, p9::Runlinkat{}); });
}

// The fid is gone whatever becomes of the file.
void P9Server::on(Call& call, const p9::Tremove& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  const NodeRef node = fid->node;
  call.made = fid->open;
  drop_fid(message.fid);
  if (!may_write(call)) return;
  if (!node->parent) return reply_error(call, node == nodes_.root() ? EINVAL : ENOENT);
  remove_entry(call, node->parent, node->name, nullptr,
               [this, &call] { reply(call, p9::Rremove{}); });
}

template <class Reply>
void P9Server::rename_entry(Call& call, const NodeRef& from, std::string old_name, uint32_t to_fid,
                            std::string_view new_name) {
  Fid* to = fid_of(call, to_fid);
  if (!to || !may_write(call) || !may_name(call, new_name) || !may_name(call, old_name)) return;
  call.directory = directory_of(call, from);
  if (!call.directory) return;
  call.other_directory = directory_of(call, to->node);
  if (!call.other_directory) return;
  call.node = from;
  call.text = std::move(old_name);
  const NodeRef target = to->node;
  run(
      call, Cost::kShort,
      [this, &call, new_name] {
        return fs_->rename(call.directory, call.text, call.other_directory, std::string(new_name));
      },
      [this, &call, target, new_name](int result) {
        if (failed(call, result)) return;
        nodes_.renamed(call.node, call.text, target, new_name);
        reply(call, Reply{});
      });
}

void P9Server::on(Call& call, const p9::Trenameat& message) {
  Fid* from = fid_of(call, message.olddirfid);
  if (from)
    rename_entry<p9::Rrenameat>(call, from->node, std::string(message.oldname.text),
                                message.newdirfid, message.newname.text);
}

void P9Server::on(Call& call, const p9::Trename& message) {
  Fid* fid = fid_of(call, message.fid);
  if (!fid) return;
  const NodeRef node = fid->node;
  if (!node->parent) return reply_error(call, node == nodes_.root() ? EINVAL : ENOENT);
  rename_entry<p9::Rrename>(call, node->parent, node->name, message.dfid, message.name.text);
}

}  // namespace hv
