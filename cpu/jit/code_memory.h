// Memory for code: one range, mapped twice, so that nothing is writable and executable at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hv::jit {

class CodeMemory {
 public:
  // nullptr: the host refuses. `size` in bytes, a multiple of the page size.
  static std::unique_ptr<CodeMemory> create(size_t size);
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  size_t size() const { return size_; }
  // Where code at `offset` runs.
  const uint8_t* address(size_t offset) const { return executable_ + offset; }
  // Puts code there, which no hart may be running.
  void write(size_t offset, const uint8_t* bytes, size_t size);

 private:
  CodeMemory(uint8_t* writable, uint8_t* executable, size_t size)
      : writable_(writable), executable_(executable), size_(size) {}

  uint8_t* const writable_;
  uint8_t* const executable_;
  const size_t size_;
};

}  // namespace hv::jit
