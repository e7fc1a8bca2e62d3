// Memory for code: one range, mapped twice, so that nothing is writable and executable at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hv::jit {

// Hart thread only.
class CodeMemory {
 public:
  // nullptr: the host refuses. `size` in bytes, a multiple of the page size.
  static std::unique_ptr<CodeMemory> create(size_t size);
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // Where code that is added next will run; nullptr: no room for `size` bytes.
  const uint8_t* next(size_t size) const;
  // Puts `size` bytes there.
  void add(const uint8_t* bytes, size_t size);
  // Forgets what was added after `mark`, a former used().
  void rewind(size_t mark) { used_ = mark; }
  size_t used() const { return used_; }

 private:
  CodeMemory(uint8_t* writable, uint8_t* executable, size_t size)
      : writable_(writable), executable_(executable), size_(size) {}

  uint8_t* const writable_;
  uint8_t* const executable_;
  const size_t size_;
  size_t used_ = 0;
};

}  // namespace hv::jit
