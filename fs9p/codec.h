// 9P2000.L messages and the bytes they are on the wire.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hv::p9 {

using U8 = uint8_t;
using U16 = uint16_t;
using U32 = uint32_t;
using U64 = uint64_t;

// The bytes of Text and Name stay in the frame that was decoded.
using Text = std::string_view;
// One path component: not empty, not "." or "..", without '/' and NUL.
struct Name {
  std::string_view text;
};
constexpr unsigned kMaxWalk = 16;
struct Names {
  uint16_t count = 0;
  std::array<std::string_view, kMaxWalk> items;
};

struct Qid {
  uint8_t type = 0;
  uint32_t version = 0;
  uint64_t path = 0;
};
inline constexpr uint8_t kQidDirectory = 0x80;
inline constexpr uint8_t kQidSymlink = 0x02;
struct Qids {
  uint16_t count = 0;
  std::array<Qid, kMaxWalk> items;
};

// Every frame begins with size[4] type[1] tag[2]; the size counts itself.
struct Header {
  uint32_t size;
  uint8_t type;
  uint16_t tag;
};
inline constexpr uint32_t kHeaderSize = 7;
// Up to the data: of Twrite; of Rread and Rreaddir, and the whole of Rlerror.
inline constexpr uint32_t kWriteHeaderSize = kHeaderSize + 4 + 8 + 4;
inline constexpr uint32_t kReadHeaderSize = kHeaderSize + 4;
inline constexpr uint16_t kNoTag = 0xffff;
inline constexpr uint32_t kNoFid = 0xffffffff;

#define FIELD(type, name) type name{};
#define MESSAGE(name, id, fields)               \
  struct name {                                 \
    static constexpr uint8_t kId = id;          \
    static constexpr const char* kName = #name; \
    fields                                      \
  };
#include "fs9p/messages.inc"

// visit_fields(message, visitor): visitor("name", field) for each field in wire order.
#define FIELD(type, name) visitor(#name, message.name);
#define MESSAGE(name, id, fields)                       \
  template <class Visitor>                              \
  void visit_fields(name& message, Visitor&& visitor) { \
    fields                                              \
  }
#include "fs9p/messages.inc"

// "Twalk", or "?" for a type there is not.
const char* message_name(uint8_t type);

// Takes fields off a flat copy of a frame. Once something is missing or wrong, error() is an errno
// value and everything else reads as nothing: EINVAL for a frame that ends too early or names too
// many things, ENOENT for a name that is no path component (as QEMU answers it).
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  int error() const { return error_; }
  bool at_end() const { return rest_.empty(); }

  template <class T>
  void operator()(const char*, T& field) {
    get(field);
  }

 private:
  void get(U8& value) { number(value); }
  void get(U16& value) { number(value); }
  void get(U32& value) { number(value); }
  void get(U64& value) { number(value); }
  void get(Text& text);
  void get(Name& name);
  void get(Names& names);
  void get(Qid& qid);
  void get(Qids& qids);
  template <class T>
  void number(T& value) {
    if (const uint8_t* at = take(sizeof value)) std::memcpy(&value, at, sizeof value);
  }
  const uint8_t* take(size_t size);
  void fail(int error);

  std::span<const uint8_t> rest_;
  int error_ = 0;
};

// The fields of one message out of the bytes behind the header; 0 or an errno value.
template <class Message>
int decode(std::span<const uint8_t> body, Message& message) {
  Reader reader(body);
  visit_fields(message, reader);
  if (reader.error() == 0 && !reader.at_end()) return EINVAL;
  return reader.error();
}

// Appends fields to a buffer.
class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& to) : to_(to) {}
  template <class T>
  void operator()(const char*, const T& field) {
    put(field);
  }

 private:
  void put(U8 value) { to_.push_back(value); }
  void put(U16 value) { bytes(&value, sizeof value); }
  void put(U32 value) { bytes(&value, sizeof value); }
  void put(U64 value) { bytes(&value, sizeof value); }
  void put(const Text& text);
  void put(const Name& name) { put(name.text); }
  void put(const Names& names);
  void put(const Qid& qid);
  void put(const Qids& qids);
  void bytes(const void* from, size_t size);

  std::vector<uint8_t>& to_;
};

// The whole frame but for its data, of which `data_size` bytes follow. Texts must be shorter than
// 64 KiB.
template <class Message>
void encode(std::vector<uint8_t>& frame, uint16_t tag, Message message, uint32_t data_size = 0) {
  frame.assign(kHeaderSize, 0);
  Writer writer(frame);
  visit_fields(message, writer);
  const uint32_t size = static_cast<uint32_t>(frame.size()) + data_size;
  std::memcpy(frame.data(), &size, sizeof size);
  frame[4] = Message::kId;
  std::memcpy(frame.data() + 5, &tag, sizeof tag);
}

// "Tlopen fid=3 flags=32768", for logs.
class Describer {
 public:
  explicit Describer(std::string& text) : text_(text) {}
  template <class T>
  void operator()(const char* name, const T& field) {
    text_ += ' ';
    text_ += name;
    text_ += '=';
    add(field);
  }

 private:
  void add(uint64_t value) { text_ += std::to_string(value); }
  void add(const Text& text);
  void add(const Name& name) { add(name.text); }
  void add(const Names& names);
  void add(const Qid& qid);
  void add(const Qids& qids) { add(qids.count); }

  std::string& text_;
};

template <class Message>
std::string describe(Message message) {
  std::string text = Message::kName;
  visit_fields(message, Describer(text));
  return text;
}

}  // namespace hv::p9
