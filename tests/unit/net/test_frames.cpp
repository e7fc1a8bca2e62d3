// Checksums, TCP frames and framing, against sums worked out by hand and by the standards' text.
#include "net/checksum.h"
#include "net/frame_stream.h"
#include "net/tcp_frames.h"
#include "net_test.h"

namespace hv {

namespace {

// The plain definition in RFC 1071: 16-bit big-endian words, end-around carry.
uint16_t reference_sum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

void put16(Bytes& bytes, size_t at, size_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// A TCP frame with right checksums. `options` are padded to words.
Bytes tcp_frame(bool ipv6, Bytes options, size_t payload, uint8_t flags) {
  while (options.size() % 4) options.push_back(0);
  const size_t ip = ipv6 ? 40 : 20, tcp = 20 + options.size();
  Bytes frame(14 + ip + tcp + payload);
  put16(frame, 12, ipv6 ? 0x86dd : 0x0800);
  Bytes pseudo;
  if (ipv6) {
    frame[14] = 0x60;
    put16(frame, 18, tcp + payload);
    frame[20] = 6;
    for (int i = 0; i < 32; ++i) frame[22u + i] = static_cast<uint8_t>(i * 3);
    pseudo.assign(frame.begin() + 22, frame.begin() + 54);
  } else {
    frame[14] = 0x45;
    put16(frame, 16, ip + tcp + payload);
    frame[23] = 6;
    for (int i = 0; i < 8; ++i) frame[26u + i] = static_cast<uint8_t>(10 + i);
    put16(frame, 24, ~reference_sum(Bytes(frame.begin() + 14, frame.begin() + 34)) & 0xffff);
    pseudo.assign(frame.begin() + 26, frame.begin() + 34);
  }
  const size_t at = 14 + ip;
  frame[at + 12] = static_cast<uint8_t>(tcp / 4 << 4);
  frame[at + 13] = flags;
  std::copy(options.begin(), options.end(), frame.begin() + static_cast<ptrdiff_t>(at + 20));
  for (size_t i = at + tcp; i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(i);
  pseudo.insert(pseudo.end(), {0, 6, static_cast<uint8_t>((tcp + payload) >> 8),
                               static_cast<uint8_t>(tcp + payload)});
  pseudo.insert(pseudo.end(), frame.begin() + static_cast<ptrdiff_t>(at), frame.end());
  put16(frame, at + 16, ~reference_sum(pseudo) & 0xffff);
  return frame;
}

// Whether the TCP checksum is right: the sum over all is then all ones.
bool tcp_sum_is_right(const Bytes& frame, bool ipv6) {
  const size_t at = ipv6 ? 54 : 34;
  Bytes all(frame.begin() + (ipv6 ? 22 : 26), frame.end());
  const size_t length = frame.size() - at;
  all.insert(all.begin(), {0, 6, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
  return reference_sum(all) == 0xffff;
}

constexpr uint8_t kSyn = 2, kAck = 0x10, kUrg = 0x20;

}  // namespace

TEST_CASE("Checksum: as the plain definition, at any length") {
  Bytes bytes;
  for (size_t size = 0; size < 130; ++size) {
    const uint16_t sum = ones_complement_sum(bytes);
    const uint16_t expected = __builtin_bswap16(reference_sum(bytes));
    INFO(size);
    // 0 and 0xffff stand for the same sum.
    CHECK(sum % 0xffff == expected % 0xffff);
    bytes.push_back(static_cast<uint8_t>(255 - size * 31));
  }
  CHECK(ones_complement_sum(Bytes(65535, 0xff)) == 0x00ff);  // {0xff, 0} as it lies in memory
}

TEST_CASE("Checksum: an offloaded one is completed, one outside the frame refused") {
  for (const bool ipv6 : {false, true}) {
    Bytes frame = tcp_frame(ipv6, {}, 101, kAck);
    const Bytes whole = frame;
    VnetHeader header;
    REQUIRE(describe_long_segment(frame, frame.size(), header));
    CHECK(header.csum_start == (ipv6 ? 54 : 34));
    CHECK(frame != whole);
    REQUIRE(complete_checksum(header, frame));
    CHECK(frame == whole);
  }
  Bytes frame(60);
  CHECK_FALSE(complete_checksum({.csum_start = 50, .csum_offset = 9}, frame));
  CHECK_FALSE(complete_checksum({.csum_start = 0xffff, .csum_offset = 0xffff}, frame));
  CHECK(complete_checksum({.csum_start = 50, .csum_offset = 8}, frame));
}

TEST_CASE("TCP frames: a full MSS is raised, and the checksum stays right") {
  for (const bool ipv6 : {false, true}) {
    const size_t full = ipv6 ? 1440 : 1460;
    for (const Bytes& before : {Bytes{}, Bytes{1}, Bytes{1, 1}, Bytes{8, 3, 9}}) {
      Bytes options = before;
      options.insert(options.end(),
                     {2, 4, static_cast<uint8_t>(full >> 8), static_cast<uint8_t>(full)});
      Bytes frame = tcp_frame(ipv6, options, 0, kSyn);
      REQUIRE(tcp_sum_is_right(frame, ipv6));
      raise_mss(frame, 32000);
      const size_t at = (ipv6 ? 74u : 54u) + before.size();
      CHECK((frame[at + 2] << 8 | frame[at + 3]) == 32000);
      CHECK(tcp_sum_is_right(frame, ipv6));
    }
    // A narrower link behind the guest keeps its own; so does anything but a SYN.
    for (const auto& [mss, flags] : {std::pair<size_t, uint8_t>{1400, kSyn}, {full, kAck}}) {
      Bytes frame = tcp_frame(
          ipv6, {2, 4, static_cast<uint8_t>(mss >> 8), static_cast<uint8_t>(mss)}, 0, flags);
      const Bytes before = frame;
      raise_mss(frame, 32000);
      CHECK(frame == before);
    }
  }
  // Options that lie about their length.
  for (const Bytes& options :
       {Bytes{2}, Bytes{2, 0, 0, 0}, Bytes{5, 200, 1, 1}, Bytes{1, 1, 1, 2}}) {
    Bytes frame = tcp_frame(false, options, 0, kSyn);
    raise_mss(frame, 32000);
  }
  for (size_t size = 0; size < 80; ++size) {
    Bytes frame = tcp_frame(false, {2, 4, 5, 180}, 0, kSyn);
    frame.resize(std::min(size, frame.size()));
    raise_mss(frame, 32000);
  }
}

TEST_CASE("TCP frames: urgent data loses its mark, fragments of segments are refused") {
  for (const bool ipv6 : {false, true}) {
    Bytes frame = tcp_frame(ipv6, {}, 9, kAck | kUrg);
    const size_t at = ipv6 ? 54 : 34;
    // With a pointer, the sum made right again.
    put16(frame, at + 18, 0xfff0);
    VnetHeader header;
    REQUIRE(describe_long_segment(frame, frame.size(), header));
    REQUIRE(complete_checksum(header, frame));
    REQUIRE(tcp_sum_is_right(frame, ipv6));
    CHECK(strip_urgent(frame));
    CHECK(frame[at + 13] == kAck);
    CHECK((frame[at + 18] | frame[at + 19]) == 0);
    CHECK(tcp_sum_is_right(frame, ipv6));
  }
  Bytes fragment = tcp_frame(false, {}, 9, kAck);
  fragment[20] = 0x20;  // more fragments
  CHECK_FALSE(strip_urgent(fragment));
  fragment[20] = 0, fragment[21] = 1;  // a later one
  CHECK_FALSE(strip_urgent(fragment));
  fragment[23] = 17;  // of UDP
  CHECK(strip_urgent(fragment));
}

TEST_CASE("TCP frames: a long IPv4 packet is cut as RFC 791 says") {
  Bytes frame = tcp_frame(false, {}, 4000, kAck);
  frame[23] = 17;
  const Bytes data(frame.begin() + 34, frame.end());
  const auto fragments = fragment_ipv4(frame);
  REQUIRE(fragments.size() == 3);
  Bytes joined;
  for (size_t i = 0; i < fragments.size(); ++i) {
    const Bytes& part = fragments[i];
    CHECK(part.size() <= 1514);
    CHECK(reference_sum(Bytes(part.begin() + 14, part.begin() + 34)) == 0xffff);
    CHECK((part[16] << 8 | part[17]) == static_cast<int>(part.size() - 14));
    CHECK((part[20] >> 5) == (i + 1 < fragments.size() ? 1 : 0));
    CHECK(((part[20] & 0x1f) << 8 | part[21]) * 8u == joined.size());
    joined.insert(joined.end(), part.begin() + 34, part.end());
  }
  CHECK(joined == data);
  frame[20] = 0x40;  // must not be cut
  CHECK(fragment_ipv4(frame).empty());
}

TEST_CASE("Framing: frames come out whole, however the stream is cut") {
  std::vector<uint8_t> stream;
  std::vector<Bytes> sent;
  for (size_t size : {14u, 60u, 1514u, 65550u, 15u, 69632u, 14u}) {
    sent.push_back(test_frame(size, static_cast<uint8_t>(size)));
    const iovec piece{sent.back().data(), size};
    append_framed(stream, {&piece, 1});
  }
  for (size_t step : {size_t{1}, size_t{3}, size_t{1000}, size_t{70000}, stream.size()}) {
    FrameReader reader;
    std::vector<Bytes> got;
    for (size_t at = 0; at < stream.size();) {
      const auto room = reader.room();
      const size_t part = std::min({step, room.size(), stream.size() - at});
      REQUIRE(part > 0);
      std::memcpy(room.data(), stream.data() + at, part);
      reader.filled(part);
      at += part;
      while (const auto frame = reader.frame()) {
        got.emplace_back(frame->begin(), frame->end());
        reader.drop();
      }
    }
    CHECK(got == sent);
    CHECK_FALSE(reader.bogus());
  }
}

TEST_CASE("Framing: a length that no frame has is noticed") {
  for (const uint32_t length : {0u, 69633u, 0x7fffffffu, 0xffffffffu}) {
    FrameReader reader;
    const uint32_t prefix = htonl(length);
    std::memcpy(reader.room().data(), &prefix, 4);
    reader.filled(4);
    CHECK_FALSE(reader.frame());
    CHECK(reader.bogus());
  }
}

}  // namespace hv
