// The types that -device knows: create, list, describe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/device.h"
#include "hw/virtio/transport_mmio.h"
#include "io/guest_memory.h"
#include "io/key_values.h"
#include "io/property.h"
#include "io/result.h"
#include "io/system_control.h"

namespace hv {

// What a board gives to the devices of its -device options.
struct DeviceContext {
  GuestMemory& memory;
  Backends& backends;
  // Element N is virtio-mmio-bus.N. A device without bus= takes the last empty one, as in QEMU.
  std::span<VirtioMmioTransport* const> virtio_mmio;
  SystemControl* control = nullptr;
};

// A device that now sits in its slot, which owns it: the slot's reset(), quiesce() and resume() are
// the device's.
struct CreatedDevice {
  std::string type;  // "virtio-blk-device"
  std::string id;    // "" when none was given
  std::string slot;  // "virtio-mmio-bus.7"
};

// One -device option: `driver` names the type; `id`, `bus` and the type's properties are taken.
// Main thread, before the memory map is frozen. Fails with one line naming the device or property
// that is unknown, or the back end that is missing. Whether an id is used twice is the caller's
// matter.
Result<CreatedDevice> create_device(const DeviceContext& context, KeyValues options);

// One type for help and introspection.
struct DeviceTypeInfo {
  std::string_view name;
  std::span<const std::string_view> aliases;
  std::string_view category;  // as QEMU groups them: "Storage", "Network", "Misc" ...
  std::string_view bus;       // "virtio-bus"
  std::string_view description;
  std::vector<PropInfo> properties;
};
std::vector<DeviceTypeInfo> device_types();

// Text of "-device help" and of "-device NAME,help"; the latter fails on an unknown name.
std::string device_list_help();
Result<std::string> device_help(std::string_view name);

}  // namespace hv
