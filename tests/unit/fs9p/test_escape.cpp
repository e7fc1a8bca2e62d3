// A hostile client: nothing outside the share is reached, nothing is opened that acts when opened.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "p9_rig.h"

using namespace hv;
using R = P9Rig;

TEST_CASE("a client cannot walk above the share") {
  R rig;
  rig.start();
  for (const char* name : {"..", ".", "", "../secret", "/etc", "a/../..", "/"})
    CHECK(rig.walk(0, 1, {name})->error() == ENOENT);
  std::filesystem::create_directory(rig.files.in_share("d"));
  CHECK(rig.walk(0, 1, {"d", "..", ".."})->error() == ENOENT);
  CHECK(rig.walk(0, 1, {std::string("d\0x", 3)})->error() == ENOENT);
}

TEST_CASE("links out of the share are links, not ways") {
  R rig;
  rig.start();
  REQUIRE(symlink(rig.files.secret().c_str(), rig.files.in_share("file").c_str()) == 0);
  REQUIRE(symlink("..", rig.files.in_share("up").c_str()) == 0);
  REQUIRE(symlink("/", rig.files.in_share("root").c_str()) == 0);
  // A link can be looked at and read, but neither opened nor walked through.
  REQUIRE(rig.walk(0, 1, {"file"})->error() == 0);
  CHECK(rig.open(1, 0) == ELOOP);
  auto target = rig.send(FrameBytes(R::kReadlink).u32(1));
  CHECK(target->type() == 23);
  auto through = rig.walk(0, 2, {"up", "secret"});
  CHECK(through->type() == 111);
  CHECK((through->out[7] | through->out[8] << 8) == 1);
  CHECK(rig.clunk(2) == EBADF);
  REQUIRE(rig.walk(0, 3, {"root"})->error() == 0);
  CHECK(rig.walk(3, 4, {"etc"})->error() != 0);
  CHECK(rig.open(3, 0) == ELOOP);
  for (const char* name : {"file", "up", "root"}) {
    // Creating through a link, and truncating, changing mode or time of what it points to.
    REQUIRE(rig.walk(0, 5, {})->error() == 0);
    CHECK(rig.create(5, name, 01002) != 0);
    rig.clunk(5);
    REQUIRE(rig.walk(0, 6, {name})->error() == 0);
    constexpr uint32_t kMode = 1, kSize = 8;
    for (const uint32_t valid : {kSize, kMode}) {
      FrameBytes setattr(R::kSetattr);
      setattr.u32(6).u32(valid).u32(0777).u32(0).u32(0);
      for (int field = 0; field < 5; ++field) setattr.u64(0);
      CHECK(rig.send(setattr)->error() != 0);
    }
    rig.clunk(6);
  }
  // An entry of a link to a directory.
  CHECK(rig.send(FrameBytes(R::kMkdir).u32(3).str("x").u32(0755).u32(0))->error() != 0);
  CHECK(rig.send(FrameBytes(R::kUnlink).u32(3).str("secret").u32(0))->error() != 0);
  CHECK(TemporaryShare::get(rig.files.secret()) == "secret");
}

// A directory that the host replaces by a link after it was walked to.
TEST_CASE("a directory swapped for a link leads nowhere") {
  R rig;
  rig.start();
  std::filesystem::create_directory(rig.files.in_share("d"));
  REQUIRE(rig.walk(0, 1, {"d"})->error() == 0);
  std::filesystem::remove(rig.files.in_share("d"));
  REQUIRE(symlink("..", rig.files.in_share("d").c_str()) == 0);
  CHECK(rig.walk(1, 2, {"secret"})->error() != 0);
  REQUIRE(rig.walk(0, 3, {"d"})->error() == 0);
  CHECK(rig.walk(3, 4, {"secret"})->error() != 0);
}

TEST_CASE("the entry above the root has the root's own number") {
  R rig;
  rig.start();
  REQUIRE(rig.walk(0, 1, {})->error() == 0);
  REQUIRE(rig.open(1, 0) == 0);
  struct stat root{};
  REQUIRE(stat(rig.files.share().c_str(), &root) == 0);
  auto reply = rig.send(FrameBytes(R::kReaddir).u32(1).u64(0).u32(8192));
  for (size_t at = 11; at < reply->length;) {
    const size_t length = reply->out[at + 22];
    CHECK(reply->u64(at + 5) == root.st_ino);
    at += 24 + length;
  }
}

TEST_CASE("FIFOs, sockets and devices are not opened on the host") {
  R rig(SecurityModel::kPassthrough);
  rig.start();
  REQUIRE(mkfifo(rig.files.in_share("fifo").c_str(), 0666) == 0);
  std::vector<std::string> names{"fifo"};
  if (mknod(rig.files.in_share("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0)
    names.emplace_back("null");
  for (const auto& name : names) {
    INFO(name);
    REQUIRE(rig.walk(0, 1, {name})->error() == 0);
    CHECK(rig.open(1, 0) == ENXIO);
    CHECK(rig.open(1, 1) == ENXIO);
    rig.clunk(1);
    // By way of a creation that finds it there.
    REQUIRE(rig.walk(0, 2, {})->error() == 0);
    CHECK(rig.create(2, name, 0) == ENXIO);
    rig.clunk(2);
  }
}

TEST_CASE("a read-only share does not change") {
  R rig(SecurityModel::kNone, true);
  TemporaryShare::put(rig.files.in_share("f"), "data");
  rig.start();
  REQUIRE(rig.walk(0, 1, {"f"})->error() == 0);
  for (uint32_t flags : {1u, 2u, 01000u, 01001u}) CHECK(rig.open(1, flags) == EROFS);
  CHECK(rig.send(FrameBytes(R::kMkdir).u32(0).str("d").u32(0755).u32(0))->error() == EROFS);
  CHECK(rig.send(FrameBytes(R::kUnlink).u32(0).str("f").u32(0))->error() == EROFS);
  CHECK(rig.send(FrameBytes(R::kRename).u32(1).u32(0).str("g"))->error() == EROFS);
  CHECK(rig.send(FrameBytes(R::kSymlink).u32(0).str("l").str("f").u32(0))->error() == EROFS);
  CHECK(rig.send(FrameBytes(R::kXattrcreate).u32(1).str("user.x").u64(1).u32(0))->error() == EROFS);
  CHECK(rig.create(0, "new") == EROFS);
  REQUIRE(rig.open(1, 0) == 0);
  CHECK(rig.read(1, 0, 100) == "data");
  CHECK(rig.write(1, 0, "x") == EBADF);
  CHECK(rig.send(FrameBytes(R::kRemove).u32(1))->error() == EROFS);
  CHECK(TemporaryShare::get(rig.files.in_share("f")) == "data");
}
