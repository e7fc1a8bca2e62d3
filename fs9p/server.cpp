#include "fs9p/server.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "fs9p/server_call.h"
#include "io/iov.h"
#include "io/log.h"

namespace hv {

namespace {

constexpr unsigned kWorkers = 8;
constexpr uint32_t kDefaultMsize = 8192;  // of a client that has not said Tversion
// Room that a call's buffers may keep for the next one.
constexpr size_t kKeepBytes = 64 << 10;

using Access = std::pair<uint32_t, bool>;  // fid, exclusively

// How messages use the fids they name: see the order rules at P9Server.
template <class Message>
unsigned accesses_of(const Message& m, std::array<Access, 2>& to) {
  using namespace p9;
  const auto one = [&](uint32_t fid, bool exclusive) {
    to[0] = {fid, exclusive};
    return 1u;
  };
  const auto two = [&](uint32_t first, bool first_exclusive, uint32_t second, bool exclusive) {
    to = {{{first, first_exclusive}, {second, exclusive}}};
    return 2u;
  };
  if constexpr (std::is_same_v<Message, Tversion> || std::is_same_v<Message, Tflush> ||
                std::is_same_v<Message, Tauth>)
    return 0;
  else if constexpr (std::is_same_v<Message, Twalk> || std::is_same_v<Message, Txattrwalk>)
    return two(m.fid, m.fid == m.newfid, m.newfid, true);
  else if constexpr (std::is_same_v<Message, Trename>)
    return two(m.fid, true, m.dfid, false);
  else if constexpr (std::is_same_v<Message, Tlink>)
    return two(m.fid, false, m.dfid, false);
  else if constexpr (std::is_same_v<Message, Trenameat>)
    return two(m.olddirfid, false, m.newdirfid, false);
  else
    return one(m.fid, std::is_same_v<Message, Tlopen> || std::is_same_v<Message, Tlcreate> ||
                          std::is_same_v<Message, Tattach> || std::is_same_v<Message, Treaddir> ||
                          std::is_same_v<Message, Tsetattr> ||
                          std::is_same_v<Message, Txattrcreate> ||
                          std::is_same_v<Message, Tclunk> || std::is_same_v<Message, Tremove>);
}

dev_t device_of(const LocalFs& fs) {
  struct stat info{};
  fstat(fs.root()->fd(), &info);
  return info.st_dev;
}

}  // namespace

P9Server::P9Server(std::unique_ptr<LocalFs> fs, P9Client& client)
    : fs_(std::move(fs)),
      client_(client),
      pace_(fs_->local()),
      nodes_(*fs_),
      qids_(fs_->options(), device_of(*fs_)) {}

P9Server::~P9Server() {
  assert(under_way_.empty() && waiting_.empty());
}

void P9Server::attach(EventLoop& loop) {
  loop_ = &loop;
  pool_ = std::make_unique<WorkerPool>("9p-" + fs_->options().id, kWorkers);
}

void P9Server::detach() {
  pool_.reset();
  loop_ = nullptr;
}

void P9Server::reset() {
  assert(under_way_.empty() && waiting_.empty());
  new_session();
  msize_ = 0;
}

// Nothing of the old session is answered with success any more.
void P9Server::new_session() {
  ++session_;
  for (Call* call : std::exchange(waiting_, {})) {
    reply_error(*call, EINTR);
    release(*call);
  }
  for (Call* call : under_way_) {
    int expected = Call::kQueued;
    if (call->frame && call->progress.compare_exchange_strong(expected, Call::kCancelled))
      reply_error(*call, EINTR);
  }
  fids_.clear();
  xattr_bytes_ = 0;
}

P9Server::Call& P9Server::take_call(P9Frame& frame) {
  if (free_.empty()) {
    calls_.push_back(std::make_unique<Call>());
    free_.push_back(calls_.back().get());
  }
  Call& call = *free_.back();
  free_.pop_back();
  call.frame = &frame;
  call.session = session_;
  call.progress = Call::kQueued;
  return call;
}

bool P9Server::submit(P9Frame& frame) {
  uint8_t raw[p9::kHeaderSize];
  if (copy_from_pieces(frame.request, 0, raw, sizeof raw) != sizeof raw ||
      total_length(frame.reply) < p9::kReadHeaderSize)
    return false;
  Call& call = take_call(frame);
  std::memcpy(&call.size, raw, sizeof call.size);
  call.type = raw[4];
  std::memcpy(&call.tag, raw + 5, sizeof call.tag);
  const uint32_t limit = msize_ ? msize_ : kDefaultMsize;
  if (call.size < p9::kHeaderSize || call.size > limit || call.size > total_length(frame.request)) {
    log(kLogGuestErrors, "9p: {} with a size of {} bytes", p9::message_name(call.type), call.size);
    reply_error(call, EINVAL);
    release(call);
    return true;
  }
  // The data of a write stays in guest memory.
  const uint32_t fields =
      call.type == p9::Twrite::kId ? std::min(call.size, p9::kWriteHeaderSize) : call.size;
  call.bytes.resize(fields - p9::kHeaderSize);
  copy_from_pieces(frame.request, p9::kHeaderSize, call.bytes.data(), call.bytes.size());
  dispatch(call, true);
  return true;
}

void P9Server::dispatch(Call& call, bool may_wait) {
  call.parked = false;
  switch (call.type) {
#define FIELD(type, name)
#define REPLY(name, id, fields)
#define REQUEST(name, id, fields)             \
  case id:                                    \
    decode_and_run<p9::name>(call, may_wait); \
    break;
#include "fs9p/messages.inc"
    default:
      reply_error(call, EOPNOTSUPP);
  }
  assert(call.parked || !call.frame);
  if (!call.parked) release(call);
}

template <class Message>
void P9Server::decode_and_run(Call& call, bool may_wait) {
  Message message;
  if (const int error = p9::decode(call.bytes, message)) {
    log(kLogGuestErrors, "9p: a bad {}", Message::kName);
    return reply_error(call, error);
  }
  if (msize_ == 0 && !std::is_same_v<Message, p9::Tversion>) return reply_error(call, EINVAL);
  if (may_wait) {
    std::array<Access, 2> accesses;
    call.access_count = accesses_of(message, accesses);
    for (unsigned i = 0; i < call.access_count; ++i)
      call.accesses[i] = {accesses[i].first, accesses[i].second};
    if (call.access_count && conflicts(call, waiting_.size())) {
      count(call);
      call.parked = true;
      waiting_.push_back(&call);
      return;
    }
  }
  on(call, message);
}

bool P9Server::conflicts(const Call& call, size_t waiting_before) const {
  const auto with = [&](const Call& other) {
    for (unsigned i = 0; i < call.access_count; ++i)
      for (unsigned j = 0; j < other.access_count; ++j)
        if (call.accesses[i].fid == other.accesses[j].fid &&
            (call.accesses[i].exclusive || other.accesses[j].exclusive))
          return true;
    return false;
  };
  for (const Call* other : under_way_)
    if (with(*other)) return true;
  for (size_t i = 0; i < waiting_before; ++i)
    if (with(*waiting_[i])) return true;
  return false;
}

void P9Server::resume_waiting() {
  for (size_t i = 0; i < waiting_.size();) {
    Call& call = *waiting_[i];
    if (conflicts(call, i)) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    dispatch(call, false);
  }
}

void P9Server::count(Call& call) {
  if (!std::exchange(call.counted, true)) client_.begin_request();
}

void P9Server::release(Call& call) {
  assert(!call.frame);
  call.place = {};
  call.directory = call.other_directory = call.made = nullptr;
  call.node = nullptr;
  call.steps.clear();
  if (call.bytes.capacity() > kKeepBytes) call.bytes = {};
  if (call.buffer.capacity() > kKeepBytes) call.buffer = {};
  const bool counted = std::exchange(call.counted, false);
  free_.push_back(&call);
  if (counted) client_.end_request();
}

void P9Server::hand_over(Call& call, std::function<int()> work, std::function<void(int)> finish) {
  count(call);
  call.parked = true;
  under_way_.push_back(&call);
  pool_->submit(
      *loop_,
      [&call, work = std::move(work)] {
        int expected = Call::kQueued;
        if (!call.progress.compare_exchange_strong(expected, Call::kRunning)) return 0;
        return work();
      },
      [this, &call, finish = std::move(finish)](int result) { worker_done(call, result, finish); });
}

void P9Server::worker_done(Call& call, int result, const std::function<void(int)>& finish) {
  under_way_.erase(std::ranges::find(under_way_, &call));
  if (call.frame) {
    if (call.session == session_)
      finish(result);
    else
      reply_error(call, EINTR);
  }
  for (Call* flush : std::exchange(call.flushes, {})) {
    reply(*flush, p9::Rflush{});
    release(*flush);
  }
  // The last of a burst is released last: it may be what others wait for.
  resume_waiting();
  release(call);
}

void P9Server::reply_error(Call& call, int error) {
  p9::encode(scratch_, call.tag, p9::Rlerror{static_cast<uint32_t>(error)});
  P9Frame& frame = *std::exchange(call.frame, nullptr);
  copy_to_pieces(frame.reply, 0, scratch_.data(), scratch_.size());
  frame.replied(static_cast<uint32_t>(scratch_.size()));
}

bool P9Server::failed(Call& call, int result) {
  if (result >= 0) return false;
  reply_error(call, -result);
  return true;
}

void P9Server::on(Call& call, const p9::Tversion& message) {
  if (message.msize < kMinMsize) return reply_error(call, EMSGSIZE);
  new_session();
  call.session = session_;
  msize_ = std::min(message.msize, kMaxMsize);
  const bool known = message.version == "9P2000.L";
  reply(call, p9::Rversion{msize_, known ? message.version : "unknown"});
  if (!known) msize_ = 0;
}

void P9Server::on(Call& call, const p9::Tflush& message) {
  const auto named = [&](const Call* other) {
    return other->frame && other != &call && other->tag == message.oldtag;
  };
  if (const auto it = std::ranges::find_if(waiting_, named); it != waiting_.end()) {
    Call& other = **it;
    waiting_.erase(it);
    reply_error(other, EINTR);
    release(other);
    reply(call, p9::Rflush{});
    return resume_waiting();
  }
  if (const auto it = std::ranges::find_if(under_way_, named); it != under_way_.end()) {
    Call& other = **it;
    int expected = Call::kQueued;
    if (!other.progress.compare_exchange_strong(expected, Call::kCancelled)) {
      count(call);
      call.parked = true;
      other.flushes.push_back(&call);
      return;
    }
    reply_error(other, EINTR);
  }
  reply(call, p9::Rflush{});
}

}  // namespace hv
