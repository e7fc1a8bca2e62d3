#include "hw/machine/image_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>

#include "io/unique_fd.h"
#include "main-loop/socket_address.h"

namespace hv {

namespace {

constexpr std::string_view kGzipMagic{"\x1f\x8b", 2};
constexpr std::string_view kZstdMagic{"\x28\xb5\x2f\xfd", 4};
constexpr size_t kChunk = 1 << 20;

Result<> grow(const std::string& name, Bytes& out, size_t used, uint64_t max_size) {
  if (used < out.size()) return {};
  if (out.size() >= max_size)
    return fail("{}: unpacks to more than the {} MiB of guest memory; raise -m", name,
                max_size >> 20);
  out.resize(std::min<uint64_t>(max_size, std::max(out.size() * 2, kChunk)));
  return {};
}

Result<Bytes> unpack_gzip(const std::string& name, std::span<const uint8_t> in, uint64_t max_size) {
  z_stream stream{};
  constexpr int kGzipWrapper = 16;
  if (inflateInit2(&stream, MAX_WBITS + kGzipWrapper) != Z_OK)
    return fail("{}: out of memory while unpacking", name);
  std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  Bytes out;
  size_t consumed = 0, produced = 0;
  for (;;) {
    HV_TRY(grow(name, out, produced, max_size));
    const size_t in_piece = std::min(in.size() - consumed, kChunk);
    const size_t out_piece = std::min(out.size() - produced, kChunk);
    stream.next_in = const_cast<uint8_t*>(in.data()) + consumed;
    stream.avail_in = static_cast<unsigned>(in_piece);
    stream.next_out = out.data() + produced;
    stream.avail_out = static_cast<unsigned>(out_piece);
    const int status = inflate(&stream, Z_NO_FLUSH);
    consumed += in_piece - stream.avail_in;
    produced += out_piece - stream.avail_out;
    if (status == Z_STREAM_END) break;
    if (status == Z_BUF_ERROR || (status == Z_OK && consumed == in.size() && stream.avail_out))
      return fail("{}: truncated: its gzip data ends too early", name);
    if (status != Z_OK) return fail("{}: damaged gzip data", name);
  }
  out.resize(produced);
  return out;
}

Result<Bytes> unpack_zstd(const std::string& name, std::span<const uint8_t> in, uint64_t max_size) {
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                  ZSTD_freeDStream);
  if (!stream) return fail("{}: out of memory while unpacking", name);
  // Kernels are packed with windows of up to 128 MiB (zstd -22 --ultra).
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 27);
  Bytes out;
  size_t produced = 0;
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  for (;;) {
    HV_TRY(grow(name, out, produced, max_size));
    ZSTD_outBuffer output{out.data(), out.size(), produced};
    const size_t status = ZSTD_decompressStream(stream.get(), &output, &input);
    produced = output.pos;
    if (status == 0) break;
    if (ZSTD_isError(status))
      return fail("{}: damaged zstd data: {}", name, ZSTD_getErrorName(status));
    if (input.pos == input.size && output.pos < output.size)
      return fail("{}: truncated: its zstd data ends too early", name);
  }
  out.resize(produced);
  return out;
}

// An EFI application that unpacks a kernel: header fields of zboot-header.S.
struct Zboot {
  uint64_t offset;
  uint64_t size;
  std::string compression;
};

std::optional<Zboot> find_zboot(const Bytes& file) {
  if (!has_magic(file, 0, "MZ") || !has_magic(file, 4, "zimg")) return std::nullopt;
  Zboot zboot{read_le(file, 8, 4), read_le(file, 12, 4), {}};
  constexpr size_t kNameOffset = 0x18, kNameSize = 0x20;
  for (size_t i = kNameOffset; i < kNameOffset + kNameSize && i < file.size() && file[i]; ++i)
    zboot.compression.push_back(static_cast<char>(file[i]));
  return zboot;
}

}  // namespace

uint64_t read_le(const Bytes& bytes, uint64_t offset, unsigned size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return 0;
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= static_cast<uint64_t>(bytes[offset + i]) << (8 * i);
  return value;
}

bool has_magic(const Bytes& bytes, uint64_t offset, std::string_view magic) {
  return offset <= bytes.size() && bytes.size() - offset >= magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<ptrdiff_t>(offset),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

Result<Bytes> read_image_file(const std::string& name, const std::string& path, uint64_t max_size) {
  // A pipe may come late or never: waiting is left to wait_ready(), which the user can end.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return fail_errno(errno, "{}", name);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return fail_errno(errno, "{}", name);
  if (S_ISDIR(info.st_mode)) return fail("{}: is a directory, not a file", name);
  const bool may_wait = S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode);
  Bytes bytes(S_ISREG(info.st_mode) ? std::min<uint64_t>(info.st_size, max_size) + 1 : kChunk);
  size_t used = 0;
  for (;;) {
    if (used > max_size)
      return fail("{}: {} MiB are more than the {} MiB of guest memory; raise -m", name,
                  std::max<uint64_t>(info.st_size, used) >> 20, max_size >> 20);
    if (used == bytes.size()) bytes.resize(bytes.size() * 2);
    if (may_wait)
      if (const auto ready = wait_ready(fd.get(), POLLIN); !ready)
        return fail("{}: {}", name, ready.error().message);
    const ssize_t got = read(fd.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail_errno(errno, "{}", name);
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  if (used == 0) return fail("{}: the file is empty", name);
  bytes.resize(used);
  return bytes;
}

Result<Bytes> unpack_image(const std::string& name, Bytes file, uint64_t max_size) {
  std::span<const uint8_t> payload = file;
  if (const auto zboot = find_zboot(file)) {
    if (zboot->offset > file.size() || file.size() - zboot->offset < zboot->size)
      return fail("{}: truncated: its EFI-zboot payload ends at byte {}, the file at {}", name,
                  zboot->offset + zboot->size, file.size());
    payload = payload.subspan(zboot->offset, zboot->size);
    if (zboot->compression != "gzip" && zboot->compression != "zstd" &&
        zboot->compression != "zstd22")
      return fail("{}: EFI-zboot with compression \"{}\"; gzip and zstd are understood", name,
                  zboot->compression);
    return zboot->compression == "gzip" ? unpack_gzip(name, payload, max_size)
                                        : unpack_zstd(name, payload, max_size);
  }
  if (has_magic(file, 0, kGzipMagic)) return unpack_gzip(name, payload, max_size);
  if (has_magic(file, 0, kZstdMagic)) return unpack_zstd(name, payload, max_size);
  return file;
}

}  // namespace hv
