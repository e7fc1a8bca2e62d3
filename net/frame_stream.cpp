#include "net/frame_stream.h"

#include <algorithm>
#include <cstring>

#include "net/frame.h"

namespace hv {

std::span<uint8_t> FrameReader::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  // What is left of a frame moves to the front before it would run into the end.
  if (begin_ > 0 && buffer_.size() - end_ < kPrefix + kMaxLength) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

size_t FrameReader::next_length() const {
  uint32_t length = 0;
  std::memcpy(&length, buffer_.data() + begin_, sizeof length);
  return __builtin_bswap32(length);
}

std::optional<std::span<const uint8_t>> FrameReader::frame() {
  if (bogus_ || end_ - begin_ < kPrefix) return std::nullopt;
  const size_t length = next_length();
  if (length == 0 || length > kMaxLength) {
    bogus_ = true;
    return std::nullopt;
  }
  if (end_ - begin_ - kPrefix < length) return std::nullopt;
  return std::span(buffer_).subspan(begin_ + kPrefix, length);
}

void FrameReader::drop() {
  begin_ += kPrefix + next_length();
}

void append_framed(std::vector<uint8_t>& stream, std::span<const iovec> frame) {
  const size_t length = frame_length(frame);
  const size_t at = stream.size();
  stream.resize(at + sizeof(uint32_t) + length);
  const uint32_t prefix = __builtin_bswap32(static_cast<uint32_t>(length));
  std::memcpy(&stream[at], &prefix, sizeof prefix);
  copy_frame(frame, &stream[at + sizeof prefix], length);
}

}  // namespace hv
