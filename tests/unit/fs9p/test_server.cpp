#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "p9_rig.h"

using namespace hv;
using R = P9Rig;

TEST_CASE("Tversion settles the message size and begins anew") {
  R rig;
  CHECK(rig.attach(0) == EINVAL);
  auto small = rig.send(FrameBytes(R::kVersion).u32(4095).str("9P2000.L"));
  CHECK(small->error() == EMSGSIZE);
  auto other = rig.send(FrameBytes(R::kVersion).u32(8192).str("9P2000.u"));
  CHECK(std::string(other->out.begin() + 13, other->out.begin() + 20) == "unknown");
  auto large = rig.send(FrameBytes(R::kVersion).u32(0xffffffff).str("9P2000.L"));
  CHECK(large->type() == 101);
  CHECK(large->u32(7) == 1 << 20);
  REQUIRE(rig.attach(0) == 0);
  CHECK(rig.attach(0) == EINVAL);
  rig.start();
  CHECK(rig.server->fid_count() == 1);
}

TEST_CASE("files are created, written, read and closed") {
  R rig;
  rig.start();
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.create(1, "f") == 0);
  std::string data(10000, 'a');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31);
  CHECK(rig.write(1, 0, data) == 0);
  CHECK(rig.write(1, 100000, "end") == 0);
  CHECK(rig.read(1, 0, 10000) == data);
  CHECK(rig.read(1, 99999, 100) == std::string("\0end", 4));
  CHECK(rig.read(1, 100003, 100).empty());
  CHECK(rig.clunk(1) == 0);
  CHECK(rig.clunk(1) == EBADF);
  CHECK(TemporaryShare::get(rig.files.in_share("f")).size() == 100003);
}

TEST_CASE("hostile counts and offsets are refused or cut") {
  R rig;
  rig.start();
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.create(1, "f") == 0);
  REQUIRE(rig.write(1, 0, "0123456789") == 0);
  // More than the frame holds, more than the reply has room for.
  CHECK(rig.send(FrameBytes(R::kWrite).u32(1).u64(0).u32(0xffffffff).u8(1))->error() == EINVAL);
  CHECK(rig.send(FrameBytes(R::kWrite).u32(1).u64(0).u32(2).u8(1))->error() == EINVAL);
  CHECK(rig.read(1, 0, 0xffffffff) == "0123456789");
  auto tight = rig.send(FrameBytes(R::kRead).u32(1).u64(0).u32(4096), 15);
  CHECK(tight->length == 15);
  CHECK(tight->u32(7) == 4);
  auto none = rig.send(FrameBytes(R::kRead).u32(1).u64(0).u32(4096), 11);
  CHECK(none->u32(7) == 0);
  for (uint64_t offset : {UINT64_MAX, UINT64_MAX - 5, uint64_t{1} << 63, uint64_t{INT64_MAX}}) {
    CHECK(rig.send(FrameBytes(R::kRead).u32(1).u64(offset).u32(10))->error() == EINVAL);
    CHECK(rig.write(1, offset, "x") == EFBIG);
  }
  // A frame that says it is longer, or shorter, than it is.
  for (uint32_t size : {0u, 6u, 100u, 0xffffffffu}) {
    auto bytes = FrameBytes(R::kClunk).u32(1).done();
    std::memcpy(bytes.data(), &size, 4);
    TestFrame frame(bytes, 100);
    REQUIRE(rig.server->submit(frame));
    CHECK(frame.error() == EINVAL);
  }
  // What has no header, or no room for an error, cannot be answered.
  TestFrame short_frame({1, 2, 3}, 100), no_room(FrameBytes(R::kClunk).u32(1).done(), 10);
  CHECK_FALSE(rig.server->submit(short_frame));
  CHECK_FALSE(rig.server->submit(no_room));
  CHECK(rig.send(FrameBytes(99))->error() == EOPNOTSUPP);
  CHECK(rig.send(FrameBytes(7).u32(1))->error() == EOPNOTSUPP);
}

TEST_CASE("a walk answers as far as it came") {
  R rig;
  rig.start();
  std::filesystem::create_directories(rig.files.in_share("a/b"));
  TemporaryShare::put(rig.files.in_share("a/b/c"), "x");
  auto all = rig.walk(0, 1, {"a", "b", "c"});
  CHECK(all->length == 9 + 3 * 13);
  auto part = rig.walk(0, 2, {"a", "x", "c"});
  CHECK(part->length == 9 + 13);
  CHECK(rig.clunk(2) == EBADF);
  CHECK(rig.walk(0, 2, {"x"})->error() == ENOENT);
  CHECK(rig.walk(1, 2, {"below a file"})->error() == ENOTDIR);
  CHECK(rig.walk(0, 1, {"a"})->error() == EINVAL);  // taken
  CHECK(rig.walk(9, 10, {})->error() == EBADF);
  REQUIRE(rig.walk(0, 3, {"a"})->error() == 0);
  REQUIRE(rig.walk(3, 3, {"b"})->error() == 0);  // in place
  REQUIRE(rig.walk(3, 4, {"c"})->error() == 0);
}

TEST_CASE("fids follow a rename, and open files an unlink") {
  R rig;
  rig.start();
  std::filesystem::create_directories(rig.files.in_share("old/sub"));
  TemporaryShare::put(rig.files.in_share("old/sub/f"), "text");
  REQUIRE(rig.walk(0, 1, {"old", "sub", "f"})->error() == 0);
  REQUIRE(rig.walk(0, 2, {"old"})->error() == 0);
  REQUIRE(rig.send(FrameBytes(R::kRename).u32(2).u32(0).str("new"))->type() == 21);
  REQUIRE(rig.send(FrameBytes(R::kRenameat).u32(2).str("sub").u32(0).str("top"))->type() == 75);
  // Without a descriptor of its own, by the names as they are now.
  CHECK(rig.send(FrameBytes(R::kGetattr).u32(1).u64(0x7ff))->type() == 25);
  REQUIRE(rig.walk(1, 3, {})->error() == 0);
  REQUIRE(rig.open(3, 0) == 0);
  REQUIRE(rig.walk(0, 4, {"top"})->error() == 0);
  REQUIRE(rig.send(FrameBytes(R::kUnlink).u32(4).str("f").u32(0))->type() == 77);
  CHECK(rig.read(3, 0, 100) == "text");
  // The fid that was not opened goes on with the open file, as Linux' fstat() needs.
  CHECK(rig.send(FrameBytes(R::kGetattr).u32(1).u64(0x7ff))->type() == 25);
  CHECK(rig.send(FrameBytes(R::kUnlink).u32(0).str("top").u32(0x200))->type() == 77);
  CHECK_FALSE(std::filesystem::exists(rig.files.in_share("top")));
}

TEST_CASE("a directory of many names is read in parts, each name once") {
  R rig;
  rig.start();
  std::vector<std::string> expected{".", ".."};
  for (int i = 0; i < 500; ++i) {
    expected.push_back("n" + std::string(static_cast<size_t>(i % 40), 'x') + std::to_string(i));
    TemporaryShare::put(rig.files.in_share(expected.back()), "");
  }
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  CHECK(rig.send(FrameBytes(R::kReaddir).u32(1).u64(0).u32(100))->error() == EBADF);
  REQUIRE(rig.open(1, 0) == 0);
  std::ranges::sort(expected);
  for (uint32_t count : {400u, 4096u, 65536u}) {
    auto names = rig.list(1, count);
    std::ranges::sort(names);
    CHECK(names == expected);
  }
  CHECK(rig.send(FrameBytes(R::kReaddir).u32(1).u64(UINT64_MAX).u32(100))->error() == EINVAL);
  CHECK(rig.send(FrameBytes(R::kReaddir).u32(1).u64(0).u32(3))->error() == EINVAL);
}

TEST_CASE("a client that takes all fids gets ENFILE") {
  R rig;
  rig.start();
  uint32_t error = 0;
  for (uint32_t fid = 1; error == 0 && fid < 1'000'000; ++fid) {
    TestFrame frame(FrameBytes(R::kWalk).u32(0).u32(fid * 64).u16(0).done(), 64, 64);
    REQUIRE(rig.server->submit(frame));
    error = frame.error();
  }
  CHECK(error == ENFILE);
  CHECK(rig.server->fid_count() == FidTable::kMaxFids);
  CHECK(rig.budget->used() < 10);
}

TEST_CASE("descriptors of a share are bounded; those of directories come back") {
  R rig(SecurityModel::kNone, false, 200);
  rig.start();
  for (int i = 0; i < 400; ++i)
    std::filesystem::create_directories(rig.files.in_share("d" + std::to_string(i)) + "/e");
  // Walking through a directory opens it.
  for (uint32_t i = 0; i < 400; ++i)
    REQUIRE(rig.walk(0, 1 + i, {"d" + std::to_string(i), "e"})->error() == 0);
  CHECK(rig.budget->used() <= 200);
  for (uint32_t i = 0; i < 400; ++i)
    REQUIRE(rig.send(FrameBytes(R::kGetattr).u32(1 + i).u64(0x7ff))->type() == 25);
  // Open files are the guest's matter.
  uint32_t error = 0, opened = 0;
  for (uint32_t i = 0; i < 400 && error == 0; ++i) {
    error = rig.open(1 + i, 0);
    opened += error == 0;
  }
  CHECK(error == EMFILE);
  CHECK(opened > 100);
  CHECK(rig.budget->used() <= 200);
  REQUIRE(rig.walk(0, 1000, {"d7", "e"})->error() == 0);
}

TEST_CASE("extended attributes are read and written, and their memory is bounded") {
  R rig;
  rig.start();
  TemporaryShare::put(rig.files.in_share("f"), "x");
  const auto set = [&](const std::string& name, const std::string& value, uint64_t size) {
    REQUIRE(rig.walk(0, 5, {"f"})->error() == 0);
    auto made = rig.send(FrameBytes(R::kXattrcreate).u32(5).str(name).u64(size).u32(0));
    if (made->error()) {
      rig.clunk(5);
      return made->error();
    }
    if (!value.empty()) rig.write(5, 0, value);
    return rig.clunk(5);
  };
  CHECK(set("user.color", "blue", 4) == 0);
  CHECK(set("user.color", "blue", 9) == EINVAL);
  CHECK(set("security.x", "blue", 4) == EOPNOTSUPP);
  CHECK(set("user.x", "", 65537) == E2BIG);
  REQUIRE(rig.walk(0, 1, {"f"})->error() == 0);
  auto walk = rig.send(FrameBytes(R::kXattrwalk).u32(1).u32(2).str("user.color"));
  CHECK(walk->u64(7) == 4);
  CHECK(rig.read(2, 0, 100) == "blue");
  CHECK(rig.read(2, 2, 1) == "u");
  CHECK(rig.read(2, UINT64_MAX, 1).empty());
  auto names = rig.send(FrameBytes(R::kXattrwalk).u32(1).u32(3).str(""));
  CHECK(rig.read(3, 0, 100) == std::string("user.color\0", 11));
  CHECK(rig.send(FrameBytes(R::kXattrwalk).u32(1).u32(4).str("user.none"))->error() == ENODATA);
  // Removed by a value of no bytes.
  CHECK(set("user.color", "", 0) == 0);
  CHECK(rig.send(FrameBytes(R::kXattrwalk).u32(1).u32(4).str("user.color"))->error() == ENODATA);
  // 16 MiB of promised values and no more.
  uint32_t error = 0, promised = 0;
  for (uint32_t fid = 100; error == 0 && fid < 1000; ++fid, ++promised) {
    REQUIRE(rig.walk(0, fid, {"f"})->error() == 0);
    error = rig.send(FrameBytes(R::kXattrcreate).u32(fid).str("user.y").u64(65536).u32(0))->error();
  }
  CHECK(error == ENOSPC);
  CHECK(promised <= 257);
}

// fsync always goes to a worker; what depends on its fid waits, and a flush waits for it or
// cancels what has not begun.
TEST_CASE("requests under way are answered once, flushed ones before the flush") {
  R rig;
  rig.start();
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.create(1, "f") == 0);
  std::vector<std::unique_ptr<TestFrame>> frames;
  const auto submit = [&](FrameBytes bytes) {
    frames.push_back(std::make_unique<TestFrame>(bytes.done(), 100));
    REQUIRE(rig.server->submit(*frames.back()));
  };
  for (int round = 0; round < 20; ++round) {
    frames.clear();
    for (uint16_t tag = 10; tag < 40; ++tag) submit(FrameBytes(R::kFsync, tag).u32(1).u32(0));
    submit(FrameBytes(R::kSetattr, 50)
               .u32(1)
               .u32(8)
               .u32(0)
               .u32(0)
               .u32(0)
               .u64(5)
               .u64(0)
               .u64(0)
               .u64(0)
               .u64(0));
    submit(FrameBytes(R::kGetattr, 51).u32(1).u64(0x7ff));
    CHECK(frames[30]->times == 0);
    CHECK(frames[31]->times == 0);
    submit(FrameBytes(R::kFlush, 60).u16(51));
    CHECK(frames[31]->error() == EINTR);
    CHECK(frames[32]->type() == 109);
    for (uint16_t tag = 10; tag < 40; ++tag) submit(FrameBytes(R::kFlush, tag + 100).u16(tag));
    submit(FrameBytes(R::kFlush, 61).u16(999));
    CHECK(frames.back()->type() == 109);
    while (rig.under_way) {
      rig.loop->run_once();
      for (size_t i = 0; i < 30; ++i)
        if (frames[33 + i]->times) CHECK(frames[i]->times == 1);
    }
    for (auto& frame : frames) CHECK(frame->times == 1);
    CHECK(frames[30]->type() == 27);
  }
}

TEST_CASE("a new session ends what is under way with an error") {
  R rig;
  rig.start();
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.create(1, "f") == 0);
  TestFrame sync(FrameBytes(R::kFsync, 5).u32(1).u32(0).done(), 100);
  TestFrame clunk(FrameBytes(R::kClunk, 6).u32(1).done(), 100);
  REQUIRE(rig.server->submit(sync));
  REQUIRE(rig.server->submit(clunk));
  CHECK(clunk.times == 0);
  rig.start();
  CHECK(clunk.error() == EINTR);
  rig.settle();
  CHECK(sync.times == 1);
  CHECK(sync.error() == EINTR);
  CHECK(rig.clunk(1) == EBADF);
}
