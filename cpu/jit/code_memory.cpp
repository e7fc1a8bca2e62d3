#include "cpu/jit/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace hv::jit {

std::unique_ptr<CodeMemory> CodeMemory::create(size_t size) {
  const int file = memfd_create("hartvisor-code", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  void* writable = MAP_FAILED;
  void* executable = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(size)) == 0) {
    writable = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    executable = mmap(nullptr, size, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
  }
  close(file);
  if (writable != MAP_FAILED && executable != MAP_FAILED)
    return std::unique_ptr<CodeMemory>(
        new CodeMemory(static_cast<uint8_t*>(writable), static_cast<uint8_t*>(executable), size));
  if (writable != MAP_FAILED) munmap(writable, size);
  if (executable != MAP_FAILED) munmap(executable, size);
  return nullptr;
}

CodeMemory::~CodeMemory() {
  munmap(writable_, size_);
  munmap(executable_, size_);
}

const uint8_t* CodeMemory::next(size_t size) const {
  return size <= size_ - used_ ? executable_ + used_ : nullptr;
}

void CodeMemory::add(const uint8_t* bytes, size_t size) {
  std::memcpy(writable_ + used_, bytes, size);
  constexpr size_t kAlign = 16;
  used_ = (used_ + size + kAlign - 1) / kAlign * kAlign;
}

}  // namespace hv::jit
