#include "hw/device_registry.h"

#include <algorithm>
#include <array>

#include "hw/device_type.h"
#include "hw/virtio/virtio_9p.h"
#include "hw/virtio/virtio_balloon.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_net.h"
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/virtio_serial.h"

namespace hv {

namespace {

constexpr std::string_view kVirtioBus = "virtio-bus";

// What one -device option asks for, besides the type and its properties.
struct Request {
  const DeviceContext& context;
  std::string what;  // "-device virtio-blk-device", for messages
  std::string id;
  std::string bus;  // "": none was named
};

struct TypeRow {
  const DeviceTypeNames& names;
  std::string_view bus;  // the type of bus it sits on
  std::string_view bus_help;
  std::vector<PropInfo> (*properties)();
  // Returns the name of the bus.
  Result<std::string> (*create)(const Request& request, KeyValues& options);
};

Result<VirtioMmioTransport*> choose_slot(const Request& request);

std::vector<DeviceBus*> buses_of_type(const DeviceContext& context, std::string_view type) {
  std::vector<DeviceBus*> buses;
  for (VirtioMmioTransport* slot : context.virtio_mmio) {
    DeviceBus* bus = slot->device_bus();
    if (bus && bus->bus_type() == type) buses.push_back(bus);
  }
  return buses;
}

template <class T>
Result<typename T::Config> take_config(KeyValues& options) {
  HV_TRY_ASSIGN(const auto config, take_props<typename T::Config>(options, T::kProps));
  if (!options.empty())
    return fail("{}: {} has no property '{}'; see -device {},help", options.option(), T::kType.name,
                options.items().front().first, T::kType.name);
  return config;
}

template <class T>
Result<std::string> create_in_slot(const Request& request, KeyValues& options) {
  HV_TRY_ASSIGN(VirtioMmioTransport * slot, choose_slot(request));
  HV_TRY_ASSIGN(const auto config, take_config<T>(options));
  HV_TRY_ASSIGN(auto device, T::create({request.context.memory, request.context.backends,
                                        request.context.control},
                                       config));
  if (DeviceBus* bus = device->bus()) {
    const std::string_view type = bus->bus_type();
    const auto named_by_type = [&](DeviceBus* other) {
      return other->bus_name().starts_with(fmt::format("{}.", type));
    };
    const auto number = std::ranges::count_if(buses_of_type(request.context, type), named_by_type);
    bus->set_bus_name(request.id.empty() ? fmt::format("{}.{}", type, number) : request.id + ".0");
  }
  slot->plug(std::move(device));
  return slot->bus_name();
}

// Slots are taken from the last to the first, so the oldest of several buses sits in the last one;
// that is where QEMU puts what names no bus.
template <class T>
Result<std::string> create_on_bus(const Request& request, KeyValues& options) {
  using Bus = typename T::Bus;
  HV_TRY_ASSIGN(const auto config, take_config<T>(options));
  std::vector<Bus*> buses;
  for (DeviceBus* bus : buses_of_type(request.context, Bus::kBusType))
    buses.push_back(static_cast<Bus*>(bus));
  if (buses.empty())
    return fail("there is no {} for it; put the device that brings one before it", Bus::kBusType);
  auto chosen = buses.end() - 1;
  if (!request.bus.empty()) chosen = std::ranges::find(buses, request.bus, &Bus::bus_name);
  if (chosen == buses.end()) {
    std::string list;
    for (Bus* bus : buses) list += (list.empty() ? "" : ", ") + bus->bus_name();
    return fail("there is no {} '{}'; there is: {}", Bus::kBusType, request.bus, list);
  }
  HV_TRY(T::plug(**chosen, buses, request.context.backends, request.id, config));
  return (*chosen)->bus_name();
}

template <class T>
constexpr TypeRow row() {
  constexpr auto properties = [] { return describe_props<typename T::Config>(T::kProps); };
  if constexpr (requires { typename T::Bus; })
    return {T::kType, T::Bus::kBusType, "bus of a device with an id: ID.0", properties,
            &create_on_bus<T>};
  else
    return {T::kType, kVirtioBus, "slot to sit in: virtio-mmio-bus.N", properties,
            &create_in_slot<T>};
}

constexpr TypeRow kTypes[] = {
#define DEVICE(type) row<type>(),
#include "hw/device_list.inc"
#undef DEVICE
};

const TypeRow* find_type(std::string_view name) {
  for (const TypeRow& type : kTypes)
    if (type.names.name == name || std::ranges::count(type.names.aliases(), name)) return &type;
  return nullptr;
}

// Models of QEMU that people name on this board and that do not exist here; '*' ends a prefix. A
// name outside this list is taken for a mistake in writing.
constexpr std::string_view kAbsent[] = {
    "virtio-*",      "vhost-*",
    "pcie-*",        "pci-*",
    "ioh3420",       "e1000",
    "e1000e",        "igb",
    "nvme",          "nvme-ns",
    "ahci",          "ich9-*",
    "qemu-xhci",     "nec-usb-xhci",
    "usb-*",         "scsi-*",
    "ide-*",         "lsi53c895a",
    "megasas",       "sdhci-pci",
    "bochs-display", "VGA",
    "secondary-vga", "ramfb",
    "rtl8139",       "vmxnet3",
    "intel-hda",     "ivshmem-*",
    "edu",           "loader",
    "guest-loader",  "vmcoreinfo",
    "vfio-pci",      "riscv-iommu-pci",
};

bool known_absent(std::string_view name) {
  return std::ranges::any_of(kAbsent, [&](std::string_view pattern) {
    return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                  : name == pattern;
  });
}

std::unexpected<Error> no_such_type(std::string_view option, std::string_view name) {
  if (known_absent(name))
    return fail("{}: hartvisor does not have the device '{}'; see -device help", option, name);
  return fail("{}: '{}' is not a device model; see -device help", option, name);
}

Result<VirtioMmioTransport*> choose_slot(const Request& request) {
  const auto slots = request.context.virtio_mmio;
  const std::string& bus = request.bus;
  if (bus.empty()) {
    for (size_t i = slots.size(); i-- > 0;)
      if (!slots[i]->occupied()) return slots[i];
    return fail("all {} virtio-mmio slots are taken", slots.size());
  }
  for (VirtioMmioTransport* slot : slots) {
    if (slot->bus_name() != bus) continue;
    if (slot->occupied()) return fail("bus={} already holds a device", bus);
    return slot;
  }
  if (slots.empty()) return fail("this board has no virtio-mmio slots");
  return fail("there is no bus '{}'; use virtio-mmio-bus.0 to virtio-mmio-bus.{}", bus,
              slots.size() - 1);
}

}  // namespace

Result<CreatedDevice> create_device(const DeviceContext& context, KeyValues options) {
  const auto driver = options.take("driver");
  if (!driver) return fail("{}: names no device; see -device help", options.option());
  const TypeRow* type = find_type(*driver);
  if (!type) return no_such_type(options.option(), *driver);
  const Request request{.context = context,
                        .what = fmt::format("{} {}", options.option(), type->names.name),
                        .id = options.take("id").value_or(""),
                        .bus = options.take("bus").value_or("")};
  auto bus = type->create(request, options);
  if (!bus) {
    // What a back end says does not name the device that asked for it.
    const std::string& message = bus.error().message;
    return message.starts_with('-') ? fail("{}", message) : fail("{}: {}", request.what, message);
  }
  return CreatedDevice{std::string(type->names.name), request.id, *bus};
}

std::vector<DeviceTypeInfo> device_types() {
  std::vector<DeviceTypeInfo> types;
  for (const TypeRow& type : kTypes)
    types.push_back({type.names.name, type.names.aliases(), type.names.category, type.bus,
                     type.names.description, type.properties()});
  return types;
}

std::string device_list_help() {
  std::string text;
  std::vector<std::string_view> categories;
  for (const TypeRow& type : kTypes)
    if (!std::ranges::count(categories, type.names.category))
      categories.push_back(type.names.category);
  for (std::string_view category : categories) {
    text += fmt::format("{}{} devices:\n", text.empty() ? "" : "\n", category);
    for (const TypeRow& type : kTypes) {
      if (type.names.category != category) continue;
      text += fmt::format("name \"{}\", bus {}", type.names.name, type.bus);
      for (std::string_view alias : type.names.aliases())
        text += fmt::format(", alias \"{}\"", alias);
      text += fmt::format(", desc \"{}\"\n", type.names.description);
    }
  }
  return text;
}

Result<std::string> device_help(std::string_view name) {
  const TypeRow* type = find_type(name);
  if (!type) return no_such_type("-device", name);
  std::string text = fmt::format("{} options:\n", type->names.name);
  auto properties = type->properties();
  properties.push_back({"bus", "str", std::string(type->bus_help), ""});
  properties.push_back({"id", "str", "name of this device", ""});
  std::ranges::sort(properties, {}, &PropInfo::name);
  for (const PropInfo& property : properties) {
    const std::string left = fmt::format("{}=<{}>", property.name, property.type);
    text += fmt::format("  {:<22} - {}", left, property.help);
    if (!property.default_value.empty())
      text += fmt::format(" (default: {})", property.default_value);
    text += '\n';
  }
  return text;
}

}  // namespace hv
