// A list that grows without moving what is in it, for things that compiled code points at.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace hv::jit {

// Neighbours lie side by side, and an empty list takes no memory beyond itself: there are as many
// lists as there is compiled code, and harts look at what is in them.
template <class T>
class Pinned {
 public:
  Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  // A value-initialized element.
  T& add() {
    if (used_ == last_size()) {
      chunks_.push_back(std::make_unique<T[]>(chunk_size(chunks_.size())));
      used_ = 0;
    }
    return chunks_.back()[used_++];
  }
  template <class Fn>
  void each(Fn fn) {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      const size_t count = i + 1 == chunks_.size() ? used_ : chunk_size(i);
      for (size_t n = 0; n < count; ++n) fn(chunks_[i][n]);
    }
  }

 private:
  static constexpr size_t chunk_size(size_t chunk) { return size_t{4} << chunk; }
  size_t last_size() const { return chunks_.empty() ? 0 : chunk_size(chunks_.size() - 1); }

  std::vector<std::unique_ptr<T[]>> chunks_;
  size_t used_ = 0;  // of the last chunk
};

}  // namespace hv::jit
