#include <catch2/catch.hpp>

#include "p9_rig.h"

using namespace hv;
using namespace hv::p9;

namespace {

std::span<const uint8_t> body(const std::vector<uint8_t>& frame) {
  return std::span(frame).subspan(kHeaderSize);
}

// Fills every field with something of its own.
struct Filler {
  uint64_t next = 0x1122334455667788;
  template <class T>
  void operator()(const char*, T& field) {
    if constexpr (std::is_integral_v<T>)
      field = static_cast<T>(next++);
    else if constexpr (std::is_same_v<T, Text>)
      field = "a text/with .. anything";
    else if constexpr (std::is_same_v<T, Name>)
      field.text = "name";
    else if constexpr (std::is_same_v<T, Names>)
      field = {2, {"one", "two"}};
    else if constexpr (std::is_same_v<T, Qid>)
      field = {0x80, 7, next++};
    else
      field = {1, {Qid{2, 3, next++}}};
  }
};

template <class Message>
void round_trip() {
  INFO(Message::kName);
  Message message;
  visit_fields(message, Filler());
  std::vector<uint8_t> frame, again;
  encode(frame, 0x1234, message);
  CHECK(frame[4] == Message::kId);
  Message decoded;
  REQUIRE(decode(body(frame), decoded) == 0);
  encode(again, 0x1234, decoded);
  CHECK(frame == again);
  CHECK(describe(decoded).starts_with(Message::kName));
  // Each shorter frame is refused, and one with something left over.
  for (size_t size = 0; size < body(frame).size(); ++size)
    CHECK(decode(body(frame).first(size), decoded) == EINVAL);
  frame.push_back(0);
  CHECK(decode(body(frame), decoded) == EINVAL);
}

}  // namespace

TEST_CASE("every 9P message survives encoding and decoding") {
#define FIELD(type, name)
#define MESSAGE(name, id, fields) round_trip<name>();
#include "fs9p/messages.inc"
}

TEST_CASE("9P fields lie where the protocol has them") {
  const auto frame = FrameBytes(110, 5).u32(3).u32(4).u16(2).str("usr").str("bin").done();
  Twalk walk;
  REQUIRE(decode(body(frame), walk) == 0);
  CHECK(walk.fid == 3);
  CHECK(walk.newfid == 4);
  REQUIRE(walk.names.count == 2);
  CHECK(walk.names.items[1] == "bin");
  std::vector<uint8_t> out;
  encode(out, 5, walk);
  CHECK(out == frame);
}

TEST_CASE("names that are no path component do not decode") {
  using namespace std::string_literals;
  for (const auto& name : {""s, "."s, ".."s, "/"s, "a/b"s, "../x"s, "/etc"s, "a\0b"s, "\0"s}) {
    INFO(name);
    Tmkdir message;
    CHECK(decode(body(FrameBytes(72).u32(0).str(name).u32(0).u32(0).done()), message) == ENOENT);
    Twalk walk;
    CHECK(decode(body(FrameBytes(110).u32(0).u32(1).u16(1).str(name).done()), walk) == ENOENT);
  }
  Tmkdir message;
  CHECK(decode(body(FrameBytes(72).u32(0).str("...").u32(0).u32(0).done()), message) == 0);
}

TEST_CASE("lengths beyond the frame and too many names do not decode") {
  Twalk walk;
  CHECK(decode(body(FrameBytes(110).u32(0).u32(1).u16(17).done()), walk) == EINVAL);
  CHECK(decode(body(FrameBytes(110).u32(0).u32(1).u16(0xffff).done()), walk) == EINVAL);
  Tversion version;
  CHECK(decode(body(FrameBytes(100).u32(0).u16(0xffff).u8('x').done()), version) == EINVAL);
}
