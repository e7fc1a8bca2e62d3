#include "fs9p/codec.h"

#include <bit>

// Fields are copied as they lie in memory.
static_assert(std::endian::native == std::endian::little);

namespace hv::p9 {

const char* message_name(uint8_t type) {
  switch (type) {
#define MESSAGE(name, id, fields) \
  case id:                        \
    return #name;
#include "fs9p/messages.inc"
  }
  return "?";
}

static bool is_component(std::string_view text) {
  if (text.empty() || text == "." || text == "..") return false;
  return text.find('/') == text.npos && text.find('\0') == text.npos;
}

void Reader::fail(int error) {
  if (error_ == 0) error_ = error;
  rest_ = {};
}

const uint8_t* Reader::take(size_t size) {
  if (error_ != 0 || rest_.size() < size) {
    fail(EINVAL);
    return nullptr;
  }
  const uint8_t* at = rest_.data();
  rest_ = rest_.subspan(size);
  return at;
}

void Reader::get(Text& text) {
  U16 length = 0;
  get(length);
  if (const uint8_t* at = take(length)) text = {reinterpret_cast<const char*>(at), length};
}

void Reader::get(Name& name) {
  get(name.text);
  if (error_ == 0 && !is_component(name.text)) fail(ENOENT);
}

void Reader::get(Names& names) {
  get(names.count);
  if (names.count > kMaxWalk) return fail(EINVAL);
  for (unsigned i = 0; i < names.count; ++i) {
    Name name;
    get(name);
    names.items[i] = name.text;
  }
}

void Reader::get(Qid& qid) {
  get(qid.type);
  get(qid.version);
  get(qid.path);
}

void Reader::get(Qids& qids) {
  get(qids.count);
  if (qids.count > kMaxWalk) return fail(EINVAL);
  for (unsigned i = 0; i < qids.count; ++i) get(qids.items[i]);
}

void Writer::bytes(const void* from, size_t size) {
  const auto* at = static_cast<const uint8_t*>(from);
  to_.insert(to_.end(), at, at + size);
}

void Writer::put(const Text& text) {
  put(static_cast<U16>(text.size()));
  bytes(text.data(), static_cast<U16>(text.size()));
}

void Writer::put(const Names& names) {
  put(names.count);
  for (unsigned i = 0; i < names.count; ++i) put(names.items[i]);
}

void Writer::put(const Qid& qid) {
  put(qid.type);
  put(qid.version);
  put(qid.path);
}

void Writer::put(const Qids& qids) {
  put(qids.count);
  for (unsigned i = 0; i < qids.count; ++i) put(qids.items[i]);
}

// What a guest sends can hold anything: a log line keeps to plain characters.
void Describer::add(const Text& text) {
  text_ += '\'';
  for (const char c : text.substr(0, 64)) text_ += c >= ' ' && c <= '~' ? c : '?';
  text_ += '\'';
}

void Describer::add(const Names& names) {
  for (unsigned i = 0; i < names.count; ++i) add(names.items[i]);
}

void Describer::add(const Qid& qid) {
  add(qid.path);
}

}  // namespace hv::p9
