// One request of a P9Server on its way. For the server's own files.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "fs9p/server.h"
#include "io/iov.h"

namespace hv {

struct P9Server::Call {
  enum Progress : int { kQueued, kRunning, kCancelled };
  struct Access {
    uint32_t fid;
    bool exclusive;
  };
  struct Step {
    HandleRef directory;
    struct stat info;
  };

  P9Frame* frame = nullptr;  // null once replied
  uint8_t type = 0;
  uint16_t tag = 0;
  uint32_t size = 0;           // of the frame, as its header says
  std::vector<uint8_t> bytes;  // the fields; messages point into it
  uint64_t session = 0;
  std::array<Access, 2> accesses;
  unsigned access_count = 0;
  bool counted = false;  // begin_request() was called
  bool parked = false;   // waits, or is on a worker
  std::atomic<int> progress{kQueued};
  std::vector<Call*> flushes;  // Tflush calls that wait for this one

  // What work() is made from and leaves behind.
  Place place;
  HandleRef directory, other_directory, made;
  NodeRef node;
  struct stat info;
  struct statfs fs_info;
  std::vector<iovec> data;
  std::vector<uint8_t> buffer;
  std::string text;
  std::vector<Step> steps;
  AttributeChange change;
};

template <class Work, class Finish>
void P9Server::run(Call& call, Cost cost, Work work, Finish finish) {
  const int64_t begin_ns = monotonic_now_ns();
  if (cost == Cost::kBlocking || !pace_.calm(begin_ns))
    return hand_over(call, std::move(work), std::move(finish));
  const int result = work();
  pace_.took(begin_ns, monotonic_now_ns());
  finish(result);
}

template <class Message>
void P9Server::reply(Call& call, const Message& message, uint32_t data_size) {
  p9::encode(scratch_, call.tag, message, data_size);
  P9Frame& frame = *std::exchange(call.frame, nullptr);
  const size_t size = scratch_.size();
  if (size + data_size > msize_ || copy_to_pieces(frame.reply, 0, scratch_.data(), size) != size) {
    p9::encode(scratch_, call.tag, p9::Rlerror{EMSGSIZE});
    copy_to_pieces(frame.reply, 0, scratch_.data(), scratch_.size());
    return frame.replied(static_cast<uint32_t>(scratch_.size()));
  }
  frame.replied(static_cast<uint32_t>(size) + data_size);
}

}  // namespace hv
