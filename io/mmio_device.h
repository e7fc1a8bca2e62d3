// A device's register window.
#pragma once

#include <cstdint>

namespace hv {

// Registers of a device, called on the hart thread that touches them, several harts at once: the
// implementation locks its own state, shortly, and never blocks on host I/O.
class MmioDevice {
 public:
  // `offset` is from the start of the window; `size` is 1, 2, 4 or 8, within the sizes the window
  // was registered with, and the access lies inside the window, naturally aligned.
  virtual uint64_t mmio_read(uint64_t offset, unsigned size) = 0;
  virtual void mmio_write(uint64_t offset, unsigned size, uint64_t value) = 0;

 protected:
  ~MmioDevice() = default;
};

}  // namespace hv
