// Takes a fuzzer's input apart.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace hv {

// Reads past the end give zeroes.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}
  bool empty() const { return rest_.empty(); }

  template <class T>
  T take() {
    T value{};
    const size_t size = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }
  std::span<const uint8_t> bytes(size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace hv
