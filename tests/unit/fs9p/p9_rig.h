// A server on a temporary share beside a file it must never reach, and a client that speaks raw
// frames.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "fs9p/codec.h"
#include "fs9p/server.h"
#include "main-loop/event_loop.h"

namespace hv {

// "outer" holds the share in "outer/share" and a secret beside it.
class TemporaryShare {
 public:
  TemporaryShare() {
    path_ = "/var/tmp/hartvisor-9p-XXXXXX";
    REQUIRE(mkdtemp(path_.data()));
    std::filesystem::create_directory(share());
    put(secret(), "secret");
  }
  ~TemporaryShare() { std::filesystem::remove_all(path_); }
  std::string share() const { return path_ + "/share"; }
  std::string secret() const { return path_ + "/secret"; }
  std::string in_share(const std::string& name) const { return share() + "/" + name; }
  static void put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string get(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string path_;
};

// Frames are made by hand, byte by byte, after the protocol's description: nothing of the codec.
class FrameBytes {
 public:
  explicit FrameBytes(uint8_t type, uint16_t tag = 1) { u32(0).u8(type).u16(tag); }
  FrameBytes& u8(uint8_t v) { return raw(&v, 1); }
  FrameBytes& u16(uint16_t v) { return raw(&v, 2); }
  FrameBytes& u32(uint32_t v) { return raw(&v, 4); }
  FrameBytes& u64(uint64_t v) { return raw(&v, 8); }
  FrameBytes& str(const std::string& s) {
    return u16(static_cast<uint16_t>(s.size())).raw(s.data(), s.size());
  }
  FrameBytes& raw(const void* from, size_t size) {
    const auto* at = static_cast<const uint8_t*>(from);
    bytes_.insert(bytes_.end(), at, at + size);
    return *this;
  }
  std::vector<uint8_t> done() {
    const auto size = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &size, 4);
    return bytes_;
  }

 private:
  std::vector<uint8_t> bytes_;
};

struct TestFrame final : P9Frame {
  std::vector<uint8_t> in, out;
  std::vector<iovec> in_pieces, out_pieces;
  int times = 0;
  uint32_t length = 0;
  // Cut into pieces of `cut` bytes, as a guest may.
  TestFrame(std::vector<uint8_t> bytes, size_t room, size_t cut = 7) : in(std::move(bytes)) {
    out.assign(room, 0xee);
    split(in, cut, in_pieces);
    split(out, cut * 3, out_pieces);
    request = in_pieces;
    reply = out_pieces;
  }
  static void split(std::vector<uint8_t>& bytes, size_t cut, std::vector<iovec>& to) {
    for (size_t at = 0; at < bytes.size(); at += cut)
      to.push_back({bytes.data() + at, std::min(cut, bytes.size() - at)});
  }
  void replied(uint32_t n) override {
    ++times;
    length = n;
  }
  uint8_t type() const { return out[4]; }
  uint32_t u32(size_t at) const {
    uint32_t value;
    std::memcpy(&value, out.data() + at, 4);
    return value;
  }
  uint64_t u64(size_t at) const {
    uint64_t value;
    std::memcpy(&value, out.data() + at, 8);
    return value;
  }
  // The errno of an Rlerror, 0 for anything else.
  uint32_t error() const { return type() == 7 ? u32(7) : 0; }
};

struct P9Rig : P9Client {
  static constexpr uint8_t kVersion = 100, kAttach = 104, kWalk = 110, kOpen = 12, kCreate = 14,
                           kRead = 116, kWrite = 118, kClunk = 120, kGetattr = 24, kMkdir = 72,
                           kSymlink = 16, kReadlink = 22, kUnlink = 76, kRename = 20,
                           kRenameat = 74, kReaddir = 40, kFsync = 50, kFlush = 108, kMknod = 18,
                           kSetattr = 26, kXattrwalk = 30, kXattrcreate = 32, kLink = 70,
                           kRemove = 122, kStatfs = 8;
  TemporaryShare files;
  std::unique_ptr<EventLoop> loop = *EventLoop::create("p9-test");
  std::shared_ptr<FdBudget> budget;
  std::unique_ptr<P9Server> server;
  unsigned under_way = 0;
  uint32_t msize = 65536;

  explicit P9Rig(SecurityModel security = SecurityModel::kNone, bool read_only = false,
                 unsigned descriptors = 1000)
      : P9Rig(
            [&](FsOptions& options) {
              options.security = security;
              options.read_only = read_only;
            },
            descriptors) {}
  // `change` has the last word on the options.
  explicit P9Rig(const std::function<void(FsOptions&)>& change, unsigned descriptors = 1000)
      : budget(std::make_shared<FdBudget>(descriptors)) {
    FsOptions options;
    options.id = "fs0";
    options.path = files.share();
    change(options);
    auto fs = LocalFs::create(options, budget);
    REQUIRE(fs);
    server = std::make_unique<P9Server>(std::move(*fs), *this);
    server->attach(*loop);
  }
  ~P9Rig() {
    settle();
    server->reset();
    server->detach();
  }
  void begin_request() override { ++under_way; }
  void end_request() override { --under_way; }
  void settle() {
    while (under_way) loop->run_once();
  }

  std::unique_ptr<TestFrame> send(FrameBytes frame, size_t room = 65536, size_t cut = 7) {
    auto sent = std::make_unique<TestFrame>(frame.done(), room, cut);
    REQUIRE(server->submit(*sent));
    while (!sent->times) loop->run_once();
    REQUIRE(sent->times == 1);
    return sent;
  }
  void start() {
    auto version = send(FrameBytes(kVersion, 0xffff).u32(msize).str("9P2000.L"));
    REQUIRE(version->type() == 101);
    REQUIRE(attach(0) == 0);
  }
  uint32_t attach(uint32_t fid) {
    return send(FrameBytes(kAttach).u32(fid).u32(~0u).str("root").str("").u32(1000))->error();
  }
  std::unique_ptr<TestFrame> walk(uint32_t fid, uint32_t newfid, std::vector<std::string> names) {
    FrameBytes frame(kWalk);
    frame.u32(fid).u32(newfid).u16(static_cast<uint16_t>(names.size()));
    for (const auto& name : names) frame.str(name);
    return send(frame);
  }
  uint32_t open(uint32_t fid, uint32_t flags) {
    return send(FrameBytes(kOpen).u32(fid).u32(flags))->error();
  }
  // The fid of the directory becomes the file.
  uint32_t create(uint32_t fid, const std::string& name, uint32_t flags = 2, uint32_t mode = 0644) {
    return send(FrameBytes(kCreate).u32(fid).str(name).u32(flags).u32(mode).u32(1001))->error();
  }
  uint32_t write(uint32_t fid, uint64_t offset, const std::string& data) {
    FrameBytes frame(kWrite);
    frame.u32(fid).u64(offset).u32(static_cast<uint32_t>(data.size()));
    return send(frame.raw(data.data(), data.size()), 64, 61)->error();
  }
  std::string read(uint32_t fid, uint64_t offset, uint32_t count) {
    auto reply = send(FrameBytes(kRead).u32(fid).u64(offset).u32(count));
    REQUIRE(reply->type() == 117);
    REQUIRE(reply->length == 11 + reply->u32(7));
    return {reply->out.begin() + 11, reply->out.begin() + reply->length};
  }
  uint32_t clunk(uint32_t fid) { return send(FrameBytes(kClunk).u32(fid))->error(); }
  // Names of a directory.
  std::vector<std::string> list(uint32_t fid, uint32_t count = 8192) {
    std::vector<std::string> names;
    for (uint64_t offset = 0;;) {
      auto reply = send(FrameBytes(kReaddir).u32(fid).u64(offset).u32(count));
      REQUIRE(reply->type() == 41);
      const uint32_t size = reply->u32(7);
      REQUIRE(size <= count);
      if (size == 0) return names;
      for (size_t at = 11; at < 11 + size;) {
        offset = reply->u64(at + 13);
        const size_t length = reply->out[at + 22] | reply->out[at + 23] << 8;
        names.emplace_back(reinterpret_cast<char*>(&reply->out[at + 24]), length);
        at += 24 + length;
      }
    }
  }
};

}  // namespace hv
