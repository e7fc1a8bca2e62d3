// The guest-physical address space outside RAM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/event_notifier.h"
#include "io/mmio_device.h"
#include "io/result.h"

namespace hv {

// Register windows and doorbells by guest-physical address.
//
// Built by the board before harts start; after freeze() it never changes, so any thread may look up
// without a lock.
class MmioMap {
 public:
  struct Window {
    std::string name;
    uint64_t base;
    uint64_t size;
    MmioDevice* device;
    uint8_t min_size;  // smallest and largest access width in bytes
    uint8_t max_size;
  };

  // Fails when it overlaps another window.
  Result<> add(std::string_view name, uint64_t base, uint64_t size, MmioDevice& device,
               unsigned min_size = 1, unsigned max_size = 8);

  // Doorbell (ioeventfd): a store of `size` bytes to `address` with a value v < notifiers.size()
  // sets notifiers[v] and goes no further; other values reach the window's device. The notifiers
  // must live as long as the map.
  void add_doorbell(uint64_t address, unsigned size, std::vector<EventNotifier*> notifiers);

  void freeze();

  // False: nothing there, or a width or alignment the device does not take (an access fault for the
  // guest). Any thread after freeze().
  bool read(uint64_t address, unsigned size, uint64_t& value) const;
  bool write(uint64_t address, unsigned size, uint64_t value) const;
  // nullptr: no window holds this address.
  const Window* find(uint64_t address) const;
  const std::vector<Window>& windows() const { return windows_; }

 private:
  struct Doorbell {
    uint64_t address;
    unsigned size;
    std::vector<EventNotifier*> notifiers;
  };
  static bool fits(const Window& window, uint64_t address, unsigned size);

  std::vector<Window> windows_;      // sorted by base
  std::vector<Doorbell> doorbells_;  // sorted by address
};

}  // namespace hv
