#include "hw/device_registry.h"

#include <algorithm>
#include <array>

#include "hw/device_type.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_rng.h"

namespace hv {

namespace {

constexpr std::string_view kVirtioBus = "virtio-bus";

struct TypeRow {
  const DeviceTypeNames& names;
  std::vector<PropInfo> (*properties)();
  Result<std::unique_ptr<VirtioDevice>> (*create)(const VirtioContext& context, KeyValues& options);
};

template <class T>
Result<std::unique_ptr<VirtioDevice>> create_one(const VirtioContext& context, KeyValues& options) {
  HV_TRY_ASSIGN(const auto config, take_props<typename T::Config>(options, T::kProps));
  if (!options.empty())
    return fail("{}: {} has no property '{}'; see -device {},help", options.option(), T::kType.name,
                options.items().front().first, T::kType.name);
  return T::create(context, config);
}

template <class T>
constexpr TypeRow row() {
  return {T::kType, [] { return describe_props<typename T::Config>(T::kProps); }, &create_one<T>};
}

constexpr TypeRow kTypes[] = {
#define DEVICE(type) row<type>(),
#include "hw/device_list.inc"
#undef DEVICE
};

const TypeRow* find_type(std::string_view name) {
  for (const TypeRow& type : kTypes)
    if (type.names.name == name || std::ranges::count(type.names.aliases, name)) return &type;
  return nullptr;
}

// Models of QEMU that people name on this board and that do not exist here; '*' ends a prefix. A
// name outside this list is taken for a mistake in writing.
constexpr std::string_view kAbsent[] = {
    "virtio-*",      "vhost-*",       "virtserialport",
    "virtconsole",   "pcie-*",        "pci-*",
    "ioh3420",       "e1000",         "e1000e",
    "igb",           "nvme",          "nvme-ns",
    "ahci",          "ich9-*",        "qemu-xhci",
    "nec-usb-xhci",  "usb-*",         "scsi-*",
    "ide-*",         "lsi53c895a",    "megasas",
    "sdhci-pci",     "bochs-display", "VGA",
    "secondary-vga", "ramfb",         "rtl8139",
    "vmxnet3",       "intel-hda",     "ivshmem-*",
    "edu",           "loader",        "guest-loader",
    "vmcoreinfo",    "vfio-pci",      "riscv-iommu-pci",
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

Result<VirtioMmioTransport*> choose_slot(std::span<VirtioMmioTransport* const> slots,
                                         std::string_view option, std::string_view bus) {
  if (bus.empty()) {
    for (size_t i = slots.size(); i-- > 0;)
      if (!slots[i]->occupied()) return slots[i];
    return fail("{}: all {} virtio-mmio slots are taken", option, slots.size());
  }
  for (VirtioMmioTransport* slot : slots) {
    if (slot->bus_name() != bus) continue;
    if (slot->occupied()) return fail("{}: bus={} already holds a device", option, bus);
    return slot;
  }
  if (slots.empty()) return fail("{}: this board has no virtio-mmio slots", option);
  return fail("{}: there is no bus '{}'; use virtio-mmio-bus.0 to virtio-mmio-bus.{}", option, bus,
              slots.size() - 1);
}

}  // namespace

Result<CreatedDevice> create_device(const DeviceContext& context, KeyValues options) {
  const auto driver = options.take("driver");
  if (!driver) return fail("{}: names no device; see -device help", options.option());
  const TypeRow* type = find_type(*driver);
  if (!type) return no_such_type(options.option(), *driver);
  CreatedDevice created{.type = std::string(type->names.name)};
  if (auto id = options.take("id")) created.id = *id;
  const std::string what = fmt::format("{} {}", options.option(), type->names.name);
  HV_TRY_ASSIGN(VirtioMmioTransport * slot,
                choose_slot(context.virtio_mmio, what, options.take("bus").value_or("")));
  auto device = type->create({context.memory, context.backends, context.control}, options);
  if (!device) {
    // What a back end says does not name the device that asked for it.
    const std::string& message = device.error().message;
    return message.starts_with('-') ? fail("{}", message) : fail("{}: {}", what, message);
  }
  slot->plug(std::move(*device));
  created.slot = slot->bus_name();
  return created;
}

std::vector<DeviceTypeInfo> device_types() {
  std::vector<DeviceTypeInfo> types;
  for (const TypeRow& type : kTypes)
    types.push_back({type.names.name, type.names.aliases, type.names.category, kVirtioBus,
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
      text += fmt::format("name \"{}\", bus {}", type.names.name, kVirtioBus);
      for (std::string_view alias : type.names.aliases)
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
  properties.push_back({"bus", "str", "slot to sit in: virtio-mmio-bus.N", ""});
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
