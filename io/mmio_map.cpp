#include "io/mmio_map.h"

#include <algorithm>

namespace hv {

Result<> MmioMap::add(std::string_view name, uint64_t base, uint64_t size, MmioDevice& device,
                      unsigned min_size, unsigned max_size) {
  auto next = std::upper_bound(windows_.begin(), windows_.end(), base,
                               [](uint64_t b, const Window& w) { return b < w.base; });
  const bool hits_next = next != windows_.end() && next->base - base < size;
  const bool hits_previous =
      next != windows_.begin() && base - std::prev(next)->base < std::prev(next)->size;
  if (hits_next || hits_previous) {
    const Window& other = hits_next ? *next : *std::prev(next);
    return fail("{}: address {:#x} is taken by {}", name, base, other.name);
  }
  windows_.insert(next, Window{std::string(name), base, size, &device,
                               static_cast<uint8_t>(min_size), static_cast<uint8_t>(max_size)});
  return {};
}

void MmioMap::add_doorbell(uint64_t address, unsigned size, std::vector<EventNotifier*> notifiers) {
  doorbells_.push_back({address, size, std::move(notifiers)});
}

void MmioMap::freeze() {
  std::sort(doorbells_.begin(), doorbells_.end(),
            [](const Doorbell& a, const Doorbell& b) { return a.address < b.address; });
}

const MmioMap::Window* MmioMap::find(uint64_t address) const {
  auto next = std::upper_bound(windows_.begin(), windows_.end(), address,
                               [](uint64_t a, const Window& w) { return a < w.base; });
  if (next == windows_.begin()) return nullptr;
  const Window& window = *std::prev(next);
  return address - window.base < window.size ? &window : nullptr;
}

bool MmioMap::fits(const Window& window, uint64_t address, unsigned size) {
  return size >= window.min_size && size <= window.max_size && address % size == 0 &&
         window.size - (address - window.base) >= size;
}

bool MmioMap::read(uint64_t address, unsigned size, uint64_t& value) const {
  const Window* window = find(address);
  if (!window || !fits(*window, address, size)) return false;
  value = window->device->mmio_read(address - window->base, size);
  return true;
}

bool MmioMap::write(uint64_t address, unsigned size, uint64_t value) const {
  auto bell = std::lower_bound(doorbells_.begin(), doorbells_.end(), address,
                               [](const Doorbell& d, uint64_t a) { return d.address < a; });
  if (bell != doorbells_.end() && bell->address == address && bell->size == size &&
      value < bell->notifiers.size()) {
    bell->notifiers[value]->set();
    return true;
  }
  const Window* window = find(address);
  if (!window || !fits(*window, address, size)) return false;
  window->device->mmio_write(address - window->base, size, value);
  return true;
}

}  // namespace hv
