#include "monitor/json_framer.h"

namespace hv {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
bool opens(char c) {
  return c == '{' || c == '[';
}
bool closes(char c) {
  return c == '}' || c == ']';
}
bool is_quote(char c) {
  return c == '"' || c == '\'';
}
bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '+' || c == '.' || c == '_';
}

}  // namespace

void JsonFramer::reset() {
  text_.clear();
  depth_ = 0;
  quote_ = 0;
  escaped_ = in_scalar_ = oversized_ = false;
}

void JsonFramer::feed(std::span<const uint8_t> bytes, const Sink& sink) {
  for (const uint8_t byte : bytes) take(static_cast<char>(byte), sink);
}

void JsonFramer::append(char c) {
  if (text_.size() < kMaxSize)
    text_ += c;
  else
    oversized_ = true;
}

void JsonFramer::finish(const Sink& sink) {
  const std::string text = std::move(text_);
  const bool oversized = oversized_;
  reset();
  if (oversized)
    sink({}, "JSON parse error, text is too large or nested too deep");
  else
    sink(text, {});
}

void JsonFramer::start(char c, const Sink& sink) {
  if (is_space(c)) return;
  if (opens(c)) {
    append(c);
    depth_ = 1;
  } else if (is_quote(c)) {
    append('"');
    quote_ = c;
  } else if (closes(c) || c == ',' || c == ':') {
    sink({}, "JSON parse error, expecting value");
  } else if (is_word(c)) {
    append(c);
    in_scalar_ = true;
  } else {
    sink({}, "JSON parse error, stray character");
  }
}

void JsonFramer::take_in_string(char c, const Sink& sink) {
  if (static_cast<uint8_t>(c) < 0x20) {
    // JSON has no bare control characters in strings. A quote is missing: the next line is read as
    // a new text, or a session would be out of step for good.
    reset();
    sink({}, "JSON parse error, control character in a string");
  } else if (escaped_) {
    escaped_ = false;
    // \' is QEMU's own; JSON knows only the bare quote.
    if (c != '\'') append('\\');
    append(c);
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == quote_) {
    append('"');
    quote_ = 0;
    if (depth_ == 0) finish(sink);
  } else {
    if (c == '"') append('\\');
    append(c);
  }
}

void JsonFramer::take(char c, const Sink& sink) {
  if (c == '\xff') {
    reset();
    sink({}, "JSON parse error, stray '\\uFFFD'");
    return;
  }
  if (quote_) return take_in_string(c, sink);
  if (in_scalar_) {
    if (is_word(c)) return append(c);
    finish(sink);
  }
  if (depth_ == 0) return start(c, sink);

  if (is_quote(c)) {
    append('"');
    quote_ = c;
    return;
  }
  append(c);
  if (opens(c)) {
    if (++depth_ > kMaxDepth) oversized_ = true;
  } else if (closes(c)) {
    if (--depth_ == 0) finish(sink);
  }
}

}  // namespace hv
