// What a device type declares so that one line in hw/device_list.inc makes it known everywhere.
//
// The class has: kType (DeviceTypeNames), Config (defaults in its initialisers), kProps (a tuple of
// Prop), and
//   static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext&, const Config&);
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "hw/device.h"
#include "io/guest_memory.h"
#include "io/property.h"
#include "io/result.h"
#include "io/system_control.h"

namespace hv {

struct DeviceTypeNames {
  std::string_view name;
  std::array<std::string_view, 1> alias_slots;  // "": none
  std::string_view category;                    // heading in -device help
  std::string_view description;

  std::span<const std::string_view> aliases() const {
    return std::span(alias_slots).first(alias_slots[0].empty() ? 0 : 1);
  }
};

// What a virtio device is created from, besides its own Config.
struct VirtioContext {
  GuestMemory& memory;
  Backends& backends;
  SystemControl* control = nullptr;  // nullptr: nobody controls the machine (tests)
};

}  // namespace hv
