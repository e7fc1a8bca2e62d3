// A stream of any bytes in pieces of any size, and frames of any content on their way to libslirp.
#include <cstdlib>
#include <vector>

#include "fuzz_input.h"
#include "net/checksum.h"
#include "net/frame_stream.h"
#include "net/tcp_frames.h"

namespace {

// What reader finds must not depend on how the stream was cut.
std::vector<std::vector<uint8_t>> frames_of(std::span<const uint8_t> stream, size_t step) {
  static hv::FrameReader reader;
  std::vector<std::vector<uint8_t>> frames;
  reader.clear();
  while (!stream.empty() && !reader.bogus()) {
    const auto room = reader.room();
    if (room.empty()) std::abort();
    const size_t part = std::min({step, room.size(), stream.size()});
    std::memcpy(room.data(), stream.data(), part);
    reader.filled(part);
    stream = stream.subspan(part);
    while (const auto frame = reader.frame()) {
      frames.emplace_back(frame->begin(), frame->end());
      reader.drop();
    }
  }
  return frames;
}

void bend(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> frame(bytes.begin(), bytes.end());
  hv::VnetHeader header;
  if (frame.size() >= sizeof header)
    std::memcpy(static_cast<void*>(&header), frame.data(), sizeof header);
  (void)hv::complete_checksum(header, frame);
  (void)hv::strip_urgent(frame);
  hv::raise_mss(frame, 32000);
  (void)hv::describe_long_segment(frame, frame.size() + 5000, header);
  for (const auto& fragment : hv::fragment_ipv4(frame))
    if (fragment.size() > hv::kEthernetHeader + hv::kLinkMtu) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  const auto frames = frames_of(input, size);
  if (frames_of(input, 1u + data[0]) != frames) std::abort();
  for (const auto& frame : frames) bend(frame);
  bend(input);
  return 0;
}
