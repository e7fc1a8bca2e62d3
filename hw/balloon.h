// The memory balloon as the machine's owner sees it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hv {

// Main thread.
class Balloon {
 public:
  // Tags of virtio 1.2, section 5.5.6.3, and those that Linux has added.
  static constexpr unsigned kStatCount = 16;
  static constexpr uint64_t kUnknown = UINT64_MAX;
  struct Stats {
    std::array<uint64_t, kStatCount> values;  // kUnknown: the guest did not say
    int64_t last_update = 0;                  // seconds of the epoch; 0: never
  };

  // Asks the guest to keep `bytes` of its memory, and tells what it has.
  virtual void set_target(uint64_t bytes) = 0;
  virtual uint64_t actual() const = 0;
  virtual Stats stats() = 0;
  // How often the guest is asked; 0: never.
  virtual uint32_t stats_interval() const = 0;
  virtual void set_stats_interval(uint32_t seconds) = 0;

 protected:
  ~Balloon() = default;
};

}  // namespace hv
