// Guest RAM and the ways to touch it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "io/result.h"
#include "io/sanitizer.h"

namespace hv {

// Copies between host memory and guest RAM. The guest may race with us on its own RAM at will, so
// these do it in relaxed atomic pieces where the sanitizer watches; a plain memcpy otherwise.
void copy_from_guest(void* to, const void* guest, size_t size);
void copy_to_guest(void* guest, const void* from, size_t size);

// The same for one T at any address, inline.
template <class T>
T read_unaligned(const void* guest) {
  T value;
#ifdef HV_THREAD_SANITIZER
  copy_from_guest(&value, guest, sizeof(T));
#else
  std::memcpy(&value, guest, sizeof(T));
#endif
  return value;
}
template <class T>
void write_unaligned(void* guest, T value) {
#ifdef HV_THREAD_SANITIZER
  copy_to_guest(guest, &value, sizeof(T));
#else
  std::memcpy(guest, &value, sizeof(T));
#endif
}

// Told of stores into RAM that no hart has made.
class WriteWatcher {
 public:
  // [address, address + length) in RAM may have changed; later reads see it as it is now. Any
  // thread.
  virtual void written(uint64_t address, uint64_t length) = 0;

 protected:
  ~WriteWatcher() = default;
};

// One block of RAM, anonymous memory of the host, zero at start.
//
// Thread-safe: the mapping never moves. Harts reach it through their TLBs; devices through host()
// and read()/write(), which is the only way for device DMA, so DMA never reaches a register window.
class GuestMemory {
 public:
  static constexpr uint64_t kPageSize = 4096;

  // `size` a multiple of kPageSize.
  static Result<std::unique_ptr<GuestMemory>> create(uint64_t base, uint64_t size);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  uint64_t base() const { return base_; }
  uint64_t size() const { return size_; }
  uint8_t* data() const { return host_; }

  // The whole range lies in RAM; safe against wrap-around.
  bool contains(uint64_t address, uint64_t length) const {
    const uint64_t offset = address - base_;
    return offset <= size_ && length <= size_ - offset;
  }

  // Host pointer to [address, address+length), nullptr when any of it is outside RAM.
  uint8_t* host(uint64_t address, uint64_t length) const {
    return contains(address, length) ? host_ + (address - base_) : nullptr;
  }

  // Device DMA and loaders; false (and nothing copied) when any of the range is outside RAM.
  bool read(uint64_t address, void* to, size_t length) const;
  bool write(uint64_t address, const void* from, size_t length) const;

  // Who is told of what devices and loaders write. nullptr: nobody. Before any of them runs.
  void set_watcher(WriteWatcher* watcher) { watcher_ = watcher; }
  // To be called after a write through host() by anyone but a hart, before the guest is told of it.
  void note_written(uint64_t address, uint64_t length) const {
    if (watcher_ && length) watcher_->written(address, length);
  }

  // -overcommit mem-lock=on: all pages are there and stay in the host's memory. Before harts run.
  Result<> lock();
  bool locked() const { return locked_; }

  // Gives the whole pages of the host within the range back to the host; they read as zero and cost
  // nothing until they are touched again. A range outside RAM is ignored, and
  // so are all once locked. Any thread.
  void discard(uint64_t address, uint64_t length) const;

  // Returns all pages to zero (machine reset that reloads images). No hart or device may run.
  void clear();

 private:
  GuestMemory(uint64_t base, uint64_t size, uint8_t* host)
      : base_(base), size_(size), host_(host) {}

  uint64_t base_;
  uint64_t size_;
  uint8_t* host_;
  WriteWatcher* watcher_ = nullptr;
  bool locked_ = false;
};

}  // namespace hv
