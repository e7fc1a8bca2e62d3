#include "cpu/jit/code_memory.h"

#include <sys/mman.h>

#include <cstring>

namespace hv::jit {

std::unique_ptr<CodeMemory> CodeMemory::create(size_t size) {
  // No memfd: perf would look for the names of the code in that file, not in /tmp/perf-PID.map.
  void* const writable =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (writable == MAP_FAILED) return nullptr;
  // An old size of 0 maps the same pages once more.
  void* const executable = mremap(writable, 0, size, MREMAP_MAYMOVE);
  if (executable != MAP_FAILED && mprotect(executable, size, PROT_READ | PROT_EXEC) == 0)
    return std::unique_ptr<CodeMemory>(
        new CodeMemory(static_cast<uint8_t*>(writable), static_cast<uint8_t*>(executable), size));
  if (executable != MAP_FAILED) munmap(executable, size);
  munmap(writable, size);
  return nullptr;
}

CodeMemory::~CodeMemory() {
  munmap(writable_, size_);
  munmap(executable_, size_);
}

void CodeMemory::write(size_t offset, const uint8_t* bytes, size_t size) {
  std::memcpy(writable_ + offset, bytes, size);
}

}  // namespace hv::jit
