#include <zlib.h>
#include <zstd.h>

#include <catch2/catch.hpp>

#include "hw/machine/image_file.h"
#include "tests/unit/machine/image_fixtures.h"
#include "tests/unit/machine/temporary_file.h"

namespace hv {
namespace {

constexpr uint64_t kPlenty = 64 << 20;

Bytes sample(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * i >> 7);
  return bytes;
}

Bytes gzip(const Bytes& data) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<uint8_t*>(data.data());
  stream.avail_in = static_cast<unsigned>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<unsigned>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes zstd(const Bytes& data) {
  Bytes out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

// Linux, drivers/firmware/efi/libstub/zboot-header.S.
Bytes zboot(const Bytes& payload, std::string_view compression) {
  constexpr size_t kPayloadOffset = 0x200;
  Bytes out(kPayloadOffset + payload.size() + 64);
  put_text(out, 0, "MZ");
  put_text(out, 4, "zimg");
  put_le(out, 8, 4, kPayloadOffset);
  put_le(out, 12, 4, payload.size());
  put_text(out, 0x18, compression);
  std::copy(payload.begin(), payload.end(), out.begin() + kPayloadOffset);
  return out;
}

std::string error_of(const Result<Bytes>& result) {
  REQUIRE(!result);
  return result.error().message;
}

TEST_CASE("unpack_image: what is not compressed comes back unchanged") {
  const Bytes plain = sample(5000);
  CHECK(unpack_image("-kernel k", plain, kPlenty).value() == plain);
}

TEST_CASE("unpack_image: gzip, zstd and EFI-zboot payloads are unpacked") {
  // More than one chunk of either decoder.
  const Bytes plain = sample(3'500'000);
  CHECK(unpack_image("k", gzip(plain), kPlenty).value() == plain);
  CHECK(unpack_image("k", zstd(plain), kPlenty).value() == plain);
  CHECK(unpack_image("k", zboot(gzip(plain), "gzip"), kPlenty).value() == plain);
  CHECK(unpack_image("k", zboot(zstd(plain), "zstd"), kPlenty).value() == plain);
  CHECK(unpack_image("k", zboot(zstd(plain), "zstd22"), kPlenty).value() == plain);
}

TEST_CASE("unpack_image: data that fills the limit exactly is taken, one byte more is not") {
  const Bytes plain = sample(1 << 20);
  for (const Bytes& packed : {gzip(plain), zstd(plain)}) {
    CHECK(unpack_image("k", packed, plain.size() + 1).value() == plain);
    CHECK(error_of(unpack_image("-kernel k", packed, plain.size() - 1)) ==
          "-kernel k: unpacks to more than the 0 MiB of guest memory; raise -m");
  }
}

TEST_CASE("unpack_image: truncated data is named as such wherever it was cut") {
  const Bytes plain = sample(300'000);
  for (const Bytes& whole : {gzip(plain), zstd(plain)}) {
    for (size_t size : {whole.size() - 1, whole.size() / 2, size_t{12}}) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      CHECK_THAT(error_of(unpack_image("-kernel k", cut, kPlenty)),
                 Catch::StartsWith("-kernel k: truncated: "));
    }
  }
  Bytes container = zboot(gzip(plain), "gzip");
  container.resize(container.size() / 2);
  CHECK_THAT(error_of(unpack_image("-kernel k", container, kPlenty)),
             Catch::Contains("truncated: its EFI-zboot payload ends at byte"));
}

TEST_CASE("unpack_image: damaged data and unknown compressions are refused") {
  Bytes packed = gzip(sample(300'000));
  for (size_t i = 100; i < 400; ++i) packed[i] ^= 0x55;
  CHECK_THAT(error_of(unpack_image("-kernel k", packed, kPlenty)),
             Catch::Contains("damaged gzip data"));
  CHECK(error_of(unpack_image("-kernel k", zboot(sample(100), "lzma"), kPlenty)) ==
        "-kernel k: EFI-zboot with compression \"lzma\"; gzip and zstd are understood");
  // Offset and size whose sum wraps 32 bits.
  Bytes wrapped = zboot(sample(100), "gzip");
  put_le(wrapped, 8, 4, 0xffffff00);
  put_le(wrapped, 12, 4, 0x200);
  CHECK_THAT(error_of(unpack_image("-kernel k", wrapped, kPlenty)), Catch::Contains("truncated"));
}

TEST_CASE("read_image_file: contents, and one clear line for each kind of failure") {
  const Bytes data = sample(10'000);
  TemporaryFile file(data), empty({});
  CHECK(read_image_file("-kernel k", file.path(), kPlenty).value() == data);
  CHECK(read_image_file("-kernel k", file.path(), data.size()).value() == data);
  CHECK(error_of(read_image_file("-kernel k", file.path(), data.size() - 1)) ==
        "-kernel k: 0 MiB are more than the 0 MiB of guest memory; raise -m");
  CHECK(error_of(read_image_file("-kernel k", empty.path(), kPlenty)) ==
        "-kernel k: the file is empty");
  CHECK(error_of(read_image_file("-kernel /nonexistent", "/nonexistent", kPlenty)) ==
        "-kernel /nonexistent: No such file or directory");
  CHECK(error_of(read_image_file("-kernel /", "/", kPlenty)) ==
        "-kernel /: is a directory, not a file");
}

}  // namespace
}  // namespace hv
