// A 9P2000.L server for one client: requests in as frames, replies out.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fs9p/codec.h"
#include "fs9p/fid_table.h"
#include "fs9p/local_fs.h"
#include "fs9p/node_table.h"
#include "fs9p/qid_map.h"
#include "io/clock.h"
#include "main-loop/event_loop.h"
#include "main-loop/worker_pool.h"

namespace hv {

// One request as its transport has it: scatter lists in guest memory, which the guest may change at
// any time.
class P9Frame {
 public:
  std::span<const iovec> request;
  std::span<const iovec> reply;  // room for the answer

  // The reply is there, `length` bytes. Loop thread, once; the server forgets the frame.
  virtual void replied(uint32_t length) = 0;

 protected:
  ~P9Frame() = default;
};

// Counts what outlives submit(), frames and the rest: nothing touches frames or guest memory, and
// nothing of the server is under way, when as many have ended as begun. Loop thread.
class P9Client {
 public:
  virtual void begin_request() = 0;
  virtual void end_request() = 0;

 protected:
  ~P9Client() = default;
};

// When system calls that as a rule do not wait may be made on the loop. One that did take long
// (the disk was needed, a journal was full, a writer was throttled) sends the next ones to workers
// for a while, so that a slow disk does not hold up the loop's other devices again and again.
class Pace {
 public:
  explicit Pace(bool local) : local_(local) {}
  bool calm(int64_t now_ns) const { return local_ && now_ns >= workers_until_ns_; }
  void took(int64_t begin_ns, int64_t end_ns) {
    if (end_ns - begin_ns > kSlowNs) workers_until_ns_ = end_ns + kBackOffNs;
  }

 private:
  static constexpr int64_t kSlowNs = 2'000'000;
  static constexpr int64_t kBackOffNs = 100'000'000;
  const bool local_;
  int64_t workers_until_ns_ = INT64_MIN;
};

// Owns the session: fids, nodes, message size. All of it on the loop thread; system calls are made
// either in place, while the share answers from the host's memory (Pace; reads with RWF_NOWAIT), or
// on a worker, which has descriptors of its own to work with and touches nothing of the server. Any
// number of requests may be under way; replies go out in the order of completion.
//
// Order: requests that name the same fid run in the order they came in if one of them changes what
// the fid is (opens, creates, clunks, removes, renames, reads its directory, sets attributes, makes
// it by walking); reads, writes, getattrs and walks from one fid run side by side. Requests on
// different fids are not ordered, nor are they by QEMU; a client that needs it waits for a reply.
//
// Tflush answers after the request it names: one that still waits for its turn or for a worker is
// cancelled and answered with EINTR, one that runs is waited for. Tversion begins a new session;
// what is under way then ends with EINTR.
class P9Server {
 public:
  static constexpr uint32_t kMinMsize = 4096;
  static constexpr uint32_t kMaxMsize = 1 << 20;
  // Values of extended attributes that fids hold together, in bytes.
  static constexpr uint64_t kMaxXattrBytes = 16 << 20;

  P9Server(std::unique_ptr<LocalFs> fs, P9Client& client);
  ~P9Server();

  const LocalFs& fs() const { return *fs_; }
  // Loop thread: before the first and after the last request.
  void attach(EventLoop& loop);
  void detach();

  // False: the frame has no header or no room for an error, and is not answered.
  bool submit(P9Frame& frame);
  // Ends the session; nothing is under way.
  void reset();

  size_t fid_count() const { return fids_.size(); }

 private:
  struct Call;
  enum class Cost { kShort, kBlocking };

  // A call's way through the server.
  Call& take_call(P9Frame& frame);
  void dispatch(Call& call, bool may_wait);
  template <class Message>
  void decode_and_run(Call& call, bool may_wait);
  bool conflicts(const Call& call, size_t waiting_before) const;
  void resume_waiting();
  void count(Call& call);
  void release(Call& call);
  void new_session();

  // Makes system calls and then goes on on the loop: work() -> int on any thread, finish(int).
  template <class Work, class Finish>
  void run(Call& call, Cost cost, Work work, Finish finish);
  void hand_over(Call& call, std::function<int()> work, std::function<void(int)> finish);
  void worker_done(Call& call, int result, const std::function<void(int)>& finish);

  template <class Message>
  void reply(Call& call, const Message& message, uint32_t data_size = 0);
  void reply_error(Call& call, int error);
  // For a negative errno value: replies with it and is true.
  bool failed(Call& call, int result);

  // What calls need; false (or null) after an error reply.
  Fid* fid_of(Call& call, uint32_t number);
  Fid* path_fid(Call& call, uint32_t number);
  Fid* open_fid(Call& call, uint32_t number, Fid::Kind kind);
  bool new_fid(Call& call, uint32_t number);
  bool place_of(Call& call, const Fid& fid);
  HandleRef directory_of(Call& call, const NodeRef& node);
  bool may_write(Call& call);
  bool may_open(Call& call);
  bool may_name(Call& call, std::string_view name);

  p9::Qid qid_of(const struct stat& info, int& error);
  uint32_t io_unit() const;
  void set_open(Fid& fid, HandleRef handle, int flags, bool directory);
  void drop_fid(uint32_t number);
  template <class Reply, class Make>
  void make_entry(Call& call, uint32_t fid, uint32_t gid, std::string_view name, Make make);
  void remove_entry(Call& call, const NodeRef& parent, std::string name, bool* is_directory,
                    std::function<void()> done);
  template <class Reply>
  void rename_entry(Call& call, const NodeRef& from, std::string old_name, uint32_t to_fid,
                    std::string_view new_name);
  void walk(Call& call, const p9::Twalk& message, int steps);
  void read_rest(Call& call, const HandleRef& file, uint64_t offset, uint32_t done, uint32_t count);
  void reply_entries(Call& call, uint32_t number, int size);

#define FIELD(type, name)
#define REQUEST(name, id, fields) void on(Call& call, const p9::name& message);
#define REPLY(name, id, fields)
#include "fs9p/messages.inc"

  const std::unique_ptr<LocalFs> fs_;
  P9Client& client_;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<WorkerPool> pool_;
  Pace pace_;
  NodeTable nodes_;
  QidMap qids_;
  FidTable fids_;
  uint32_t msize_ = 0;  // 0: no Tversion yet
  uint64_t session_ = 0;
  uint64_t xattr_bytes_ = 0;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Call*> free_;
  std::vector<Call*> under_way_;  // on workers, and flushes that wait
  std::deque<Call*> waiting_;     // for others of their fids
  std::vector<uint8_t> scratch_;  // a reply being written
};

}  // namespace hv
