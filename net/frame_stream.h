// Frames in a byte stream, each behind its length in 4 bytes, the highest first: the format of
// QEMU's `socket` and `stream` and of passt. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/endpoint.h"

namespace hv {

// Takes a stream apart. Holds one frame and what was read behind it.
class FrameReader {
 public:
  // The longest frame that is believed: QEMU's limit.
  static constexpr size_t kMaxLength = 4096 + 65536;

  // Where the next bytes of the stream go, never empty unless a frame waits to be taken; and that
  // `size` of them came.
  std::span<uint8_t> room();
  void filled(size_t size) { end_ += size; }

  // The first frame, until room() or drop(); nullopt when it is not there yet in whole, or never
  // will be: bogus().
  std::optional<std::span<const uint8_t>> frame();
  void drop();
  // The stream says a length that no frame has. It cannot be read any further.
  bool bogus() const { return bogus_; }

  void clear() {
    begin_ = end_ = 0;
    bogus_ = false;
  }

 private:
  static constexpr size_t kPrefix = 4;
  static constexpr size_t kBuffer = 2 * (kPrefix + kMaxLength);

  size_t next_length() const;

  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(kBuffer);
  size_t begin_ = 0, end_ = 0;
  bool bogus_ = false;
};

// Appends a frame, which may lie in guest memory.
void append_framed(std::vector<uint8_t>& stream, std::span<const iovec> frame);

}  // namespace hv
