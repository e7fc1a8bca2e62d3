// Owners and modes as QEMU lays them out on disk, in both directions.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "p9_rig.h"

using namespace hv;
using R = P9Rig;

namespace {

struct Seen {
  uint32_t mode, uid, gid;
  uint64_t rdev;
};

Seen look(R& rig, const std::string& name) {
  REQUIRE(rig.walk(0, 77, {name})->error() == 0);
  auto reply = rig.send(FrameBytes(R::kGetattr).u32(77).u64(0x7ff));
  REQUIRE(reply->type() == 25);
  rig.clunk(77);
  return {reply->u32(28), reply->u32(32), reply->u32(36), reply->u64(48)};
}

std::vector<uint8_t> xattr(const std::string& path, const std::string& name) {
  std::vector<uint8_t> value(64);
  const ssize_t size = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  value.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return value;
}

mode_t host_mode(const std::string& path) {
  struct stat info{};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info.st_mode;
}

void make_some(R& rig) {
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.create(1, "f", 2, 04751) == 0);
  rig.clunk(1);
  REQUIRE(rig.send(FrameBytes(R::kMkdir).u32(0).str("d").u32(01777).u32(9))->type() == 73);
  REQUIRE(rig.send(FrameBytes(R::kSymlink).u32(0).str("l").str("../any/where").u32(9))->type() ==
          17);
  REQUIRE(rig.send(FrameBytes(R::kMknod).u32(0).str("c").u32(S_IFCHR | 0640).u32(4).u32(65).u32(9))
              ->type() == 19);
}

std::string read_link(R& rig, const std::string& name) {
  REQUIRE(rig.walk(0, 78, {name})->error() == 0);
  auto reply = rig.send(FrameBytes(R::kReadlink).u32(78));
  rig.clunk(78);
  if (reply->type() != 23) return "";
  return {reply->out.begin() + 9, reply->out.begin() + reply->length};
}

void check_seen(R& rig) {
  const Seen f = look(rig, "f"), d = look(rig, "d"), l = look(rig, "l"), c = look(rig, "c");
  CHECK(f.mode == (S_IFREG | 04751));
  CHECK(f.uid == 1000);
  CHECK(f.gid == 1001);
  CHECK(d.mode == (S_IFDIR | 01777));
  CHECK(d.gid == 9);
  CHECK(l.mode == (S_IFLNK | 0777));
  CHECK(c.mode == (S_IFCHR | 0640));
  CHECK(c.rdev == makedev(4, 65));
  CHECK(read_link(rig, "l") == "../any/where");
}

}  // namespace

TEST_CASE("mapped-xattr keeps owners and modes in QEMU's attributes") {
  R rig(SecurityModel::kMappedXattr);
  rig.start();
  make_some(rig);
  check_seen(rig);
  using Bytes = std::vector<uint8_t>;
  const std::string f = rig.files.in_share("f");
  CHECK(host_mode(f) == (S_IFREG | 0600));
  CHECK(host_mode(rig.files.in_share("d")) == (S_IFDIR | 0700));
  CHECK(host_mode(rig.files.in_share("l")) == (S_IFREG | 0600));
  CHECK(host_mode(rig.files.in_share("c")) == (S_IFREG | 0600));
  CHECK(TemporaryShare::get(rig.files.in_share("l")) == "../any/where");
  CHECK(xattr(f, "user.virtfs.uid") == Bytes{0xe8, 3, 0, 0});
  CHECK(xattr(f, "user.virtfs.gid") == Bytes{0xe9, 3, 0, 0});
  CHECK(xattr(f, "user.virtfs.mode") == Bytes{0xe9, 0x89, 0, 0});  // 0104751
  CHECK(xattr(rig.files.in_share("c"), "user.virtfs.rdev") == Bytes{0x41, 4, 0, 0, 0, 0, 0, 0});
  // The other way: as QEMU left it.
  const std::string q = rig.files.in_share("q");
  TemporaryShare::put(q, "");
  const uint8_t uid[] = {1, 2, 0, 0}, mode[] = {0xb6, 0x11, 0, 0};  // 0010666: a FIFO
  REQUIRE(setxattr(q.c_str(), "user.virtfs.uid", uid, 4, 0) == 0);
  REQUIRE(setxattr(q.c_str(), "user.virtfs.mode", mode, 4, 0) == 0);
  const Seen seen = look(rig, "q");
  CHECK(seen.uid == 513);
  CHECK(seen.mode == (S_IFIFO | 0666));
  // The guest neither sees nor sets them.
  REQUIRE(rig.walk(0, 2, {"f"})->error() == 0);
  auto names = rig.send(FrameBytes(R::kXattrwalk).u32(2).u32(3).str(""));
  CHECK(names->u64(7) == 0);
  CHECK(rig.send(FrameBytes(R::kXattrwalk).u32(2).u32(4).str("user.virtfs.uid"))->error() ==
        ENODATA);
  REQUIRE(
      rig.send(FrameBytes(R::kXattrcreate).u32(2).str("user.virtfs.uid").u64(0).u32(0))->type() ==
      33);
  CHECK(rig.clunk(2) == EACCES);
}

TEST_CASE("mapped-file keeps them in QEMU's files, which the guest does not see") {
  R rig(SecurityModel::kMappedFile);
  rig.start();
  make_some(rig);
  check_seen(rig);
  const auto metadata = [&](const std::string& name) {
    return TemporaryShare::get(rig.files.in_share(".virtfs_metadata/") + name);
  };
  CHECK(metadata("f") == "virtfs.uid=1000\nvirtfs.gid=1001\nvirtfs.mode=35305\n");
  CHECK(metadata("c") == "virtfs.uid=1000\nvirtfs.gid=9\nvirtfs.mode=8608\nvirtfs.rdev=1089\n");
  CHECK(host_mode(rig.files.in_share("f")) == (S_IFREG | 0600));
  TemporaryShare::put(rig.files.in_share("q"), "");
  TemporaryShare::put(rig.files.in_share(".virtfs_metadata/q"),
                      "virtfs.mode=41471\nvirtfs.uid=7\n");
  CHECK(look(rig, "q").mode == (S_IFLNK | 0777));
  CHECK(look(rig, "q").uid == 7);
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.open(1, 0) == 0);
  for (const auto& name : rig.list(1)) CHECK(name.find("virtfs") == name.npos);
  CHECK(rig.walk(0, 2, {".virtfs_metadata"})->error() == ENOENT);
  CHECK(rig.send(FrameBytes(R::kMkdir).u32(0).str(".virtfs_metadata").u32(0755).u32(9))->error() ==
        EINVAL);
  // They go with the file.
  REQUIRE(rig.send(FrameBytes(R::kRenameat).u32(0).str("f").u32(0).str("g"))->type() == 75);
  CHECK(look(rig, "g").mode == (S_IFREG | 04751));
  REQUIRE(rig.walk(0, 3, {"g"})->error() == 0);
  REQUIRE(rig.send(FrameBytes(R::kLink).u32(0).u32(3).str("h"))->type() == 71);
  CHECK(look(rig, "h").uid == 1000);
  REQUIRE(rig.send(FrameBytes(R::kUnlink).u32(0).str("g").u32(0))->type() == 77);
  CHECK(metadata("g").empty());
  // A directory with nothing but metadata is empty to the guest.
  REQUIRE(rig.walk(0, 4, {"d"})->error() == 0);
  REQUIRE(rig.create(4, "x") == 0);
  rig.clunk(4);
  CHECK(rig.send(FrameBytes(R::kUnlink).u32(0).str("d").u32(0x200))->error() == ENOTEMPTY);
  REQUIRE(rig.walk(0, 4, {"d"})->error() == 0);
  REQUIRE(rig.send(FrameBytes(R::kUnlink).u32(4).str("x").u32(0))->type() == 77);
  CHECK(rig.send(FrameBytes(R::kUnlink).u32(0).str("d").u32(0x200))->type() == 77);
}

TEST_CASE("passthrough sets owners and modes on the host") {
  if (geteuid() != 0) return;
  R rig(SecurityModel::kPassthrough);
  rig.start();
  make_some(rig);
  check_seen(rig);
  struct stat info{};
  REQUIRE(lstat(rig.files.in_share("f").c_str(), &info) == 0);
  CHECK(info.st_uid == 1000);
  CHECK(info.st_mode == (S_IFREG | 04751));
  CHECK(S_ISLNK(host_mode(rig.files.in_share("l"))));
  CHECK(S_ISCHR(host_mode(rig.files.in_share("c"))));
}
