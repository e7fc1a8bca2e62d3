// Cuts a byte stream into JSON texts, as a QMP server has to: clients send several objects in one
// packet, one object in several, and need not end with a newline.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace hv {

// Finds where each top-level value ends; whether it is good JSON is for the parser to say. Strings
// in single quotes, which QEMU's clients may use, come out with double quotes.
//
// Input is hostile: a text is at most kMaxSize bytes and kMaxDepth deep. What is bigger is reported
// once and skipped to its end. A 0xff byte outside or inside a text drops what has come so far
// (clients send it to start afresh), and so does a control character inside a string, such as the
// end of a line on which a quote is missing. Not thread-safe.
class JsonFramer {
 public:
  static constexpr size_t kMaxSize = size_t{1} << 20;
  static constexpr size_t kMaxDepth = 256;

  // Called in the order of the input: either a text, or a fault (`text` empty, `fault` says what).
  using Sink = std::function<void(std::string_view text, std::string_view fault)>;

  void feed(std::span<const uint8_t> bytes, const Sink& sink);
  // A new client: forgets a half text.
  void reset();

 private:
  void take(char c, const Sink& sink);
  void take_in_string(char c, const Sink& sink);
  void start(char c, const Sink& sink);
  void finish(const Sink& sink);
  void append(char c);

  std::string text_;
  size_t depth_ = 0;
  char quote_ = 0;          // the quote that will end the current string, 0 outside
  bool escaped_ = false;    // the last byte was a backslash inside a string
  bool in_scalar_ = false;  // a top-level number or word
  bool oversized_ = false;
};

}  // namespace hv
