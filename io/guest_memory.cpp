#include "io/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace hv {

#ifdef HV_THREAD_SANITIZER
void copy_from_guest(void* to, const void* guest, size_t size) {
  auto* out = static_cast<uint8_t*>(to);
  auto* in = static_cast<const uint8_t*>(guest);
  for (size_t i = 0; i < size; ++i) out[i] = __atomic_load_n(in + i, __ATOMIC_RELAXED);
}
void copy_to_guest(void* guest, const void* from, size_t size) {
  auto* out = static_cast<uint8_t*>(guest);
  auto* in = static_cast<const uint8_t*>(from);
  for (size_t i = 0; i < size; ++i) __atomic_store_n(out + i, in[i], __ATOMIC_RELAXED);
}
#else
// memcpy() takes no null pointer, not even for nothing.
void copy_from_guest(void* to, const void* guest, size_t size) {
  if (size != 0) std::memcpy(to, guest, size);
}
void copy_to_guest(void* guest, const void* from, size_t size) {
  if (size != 0) std::memcpy(guest, from, size);
}
#endif

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(uint64_t base, uint64_t size) {
  void* host = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (host == MAP_FAILED)
    return fail_errno(errno, "-m: cannot allocate {} MiB of guest memory", size >> 20);
  madvise(host, size, MADV_HUGEPAGE);
  return std::unique_ptr<GuestMemory>(new GuestMemory(base, size, static_cast<uint8_t*>(host)));
}

GuestMemory::~GuestMemory() {
  munmap(host_, size_);
}

bool GuestMemory::read(uint64_t address, void* to, size_t length) const {
  const uint8_t* from = host(address, length);
  if (!from) return false;
  copy_from_guest(to, from, length);
  return true;
}

bool GuestMemory::write(uint64_t address, const void* from, size_t length) const {
  uint8_t* to = host(address, length);
  if (!to) return false;
  copy_to_guest(to, from, length);
  note_written(address, length);
  return true;
}

Result<> GuestMemory::lock() {
  if (mlock(host_, size_) != 0)
    return fail_errno(errno,
                      "-overcommit mem-lock=on: cannot lock {} MiB of guest memory; raise "
                      "the limit (ulimit -l)",
                      size_ >> 20);
  locked_ = true;
  return {};
}

void GuestMemory::discard(uint64_t address, uint64_t length) const {
  // Registered buffers would go on using the pages that were there.
  if (locked_ || !contains(address, length)) return;
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // RAM begins at a page of the host, so offsets are aligned as host addresses are.
  const uint64_t from = (address - base_ + page - 1) / page * page;
  const uint64_t to = (address - base_ + length) / page * page;
  if (from >= to) return;
  madvise(host_ + from, to - from, MADV_DONTNEED);
  note_written(base_ + from, to - from);
}

void GuestMemory::clear() {
  // Locked pages stay where they are, for io_uring may know them.
  if (locked_)
    std::memset(host_, 0, size_);
  else
    madvise(host_, size_, MADV_DONTNEED);
  note_written(base_, size_);
}

}  // namespace hv
