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

void CodeMemory::write(size_t offset, const uint8_t* bytes, size_t size) {
  std::memcpy(writable_ + offset, bytes, size);
}

}  // namespace hv::jit
