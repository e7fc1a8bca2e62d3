// Back ends without a descriptor: null and ringbuf.
#include <algorithm>
#include <bit>

#include "io/guest_memory.h"
#include "io/thread_safety.h"
#include "main-loop/char_backends.h"

namespace hv {
namespace {

// Takes everything and forgets it.
class NullChar : public CharBackend {
 public:
  void set_frontend(CharFrontend*) override {}
  size_t write(std::span<const uint8_t> bytes) override { return bytes.size(); }
  size_t output_room() const override { return SIZE_MAX; }
  void accept_input() override {}
  void drain(int) override {}
};

// Takes everything and keeps the newest bytes.
class RingbufChar final : public NullChar {
 public:
  explicit RingbufChar(size_t size) : ring_(size) {}

  // Always there, unlike null, which is as good as no peer: both as in QEMU.
  void set_frontend(CharFrontend* frontend) override {
    if (frontend) frontend->opened();
  }

  size_t write(std::span<const uint8_t> bytes) override {
    MutexLock lock(mutex_);
    // What would be overwritten at once is not even copied.
    const size_t skipped = bytes.size() - std::min(bytes.size(), ring_.size());
    produced_ += skipped;
    for (auto rest = bytes.subspan(skipped); !rest.empty();) {
      const size_t at = produced_ & (ring_.size() - 1);
      const size_t part = std::min(rest.size(), ring_.size() - at);
      copy_from_guest(&ring_[at], rest.data(), part);
      produced_ += part;
      rest = rest.subspan(part);
    }
    if (produced_ - consumed_ > ring_.size()) consumed_ = produced_ - ring_.size();
    return bytes.size();
  }

  std::vector<uint8_t> read(size_t max) {
    MutexLock lock(mutex_);
    std::vector<uint8_t> bytes(std::min<uint64_t>(max, produced_ - consumed_));
    for (uint8_t& byte : bytes) byte = ring_[consumed_++ & (ring_.size() - 1)];
    return bytes;
  }

 private:
  Mutex mutex_;
  std::vector<uint8_t> ring_ HV_GUARDED_BY(mutex_);  // a power of two
  uint64_t produced_ HV_GUARDED_BY(mutex_) = 0;
  uint64_t consumed_ HV_GUARDED_BY(mutex_) = 0;
};

constexpr uint64_t kDefaultRingSize = 64 << 10;
constexpr uint64_t kMaxRingSize = 1 << 30;

}  // namespace

CharResult create_null(const CharContext&, KeyValues&) {
  return std::make_unique<NullChar>();
}

CharResult create_ringbuf(const CharContext&, KeyValues& options) {
  HV_TRY_ASSIGN(const auto given, options.take_size("size"));
  const uint64_t size = given.value_or(kDefaultRingSize);
  if (!std::has_single_bit(size) || size > kMaxRingSize)
    return fail("size={}: it must be a power of two, at most 1G", size);
  return std::make_unique<RingbufChar>(size);
}

std::optional<std::vector<uint8_t>> ringbuf_read(CharBackend& backend, size_t max) {
  auto* ringbuf = dynamic_cast<RingbufChar*>(&backend);
  if (!ringbuf) return std::nullopt;
  return ringbuf->read(max);
}

}  // namespace hv
