#include "app/net_plan.h"

#include <algorithm>
#include <set>

#include "main-loop/chardev.h"
#include "net/user_options.h"

namespace hv {
namespace {

constexpr std::string_view kDriver = "virtio-net-device";

bool is_network_device(const KeyValues& device) {
  const auto driver = device.get("driver");
  return driver == kDriver || driver == "virtio-net";
}

// Those of the device in a -nic; the others are the netdev's.
constexpr std::string_view kDeviceKeys[] = {"mac", "addr"};

Result<> plan_nic(Options& options, KeyValues nic, size_t number) {
  const std::string model = nic.take("model").value_or(std::string(kDriver));
  if (model != kDriver && model != "virtio-net" && model != "virtio")
    return fail("-nic model={}: there is no such network device; use {}", model, kDriver);
  KeyValues device("-nic");
  device.add("driver", kDriver);
  if (const auto id = nic.take("id")) device.add("id", *id);
  for (const std::string_view key : kDeviceKeys) {
    const auto value = nic.take(key);
    if (value && key != "mac") return fail("-nic {}=: not supported (there is no PCI)", key);
    if (value) device.add(key, *value);
  }
  const std::string id = fmt::format("#net{:03}", number);
  device.add("netdev", id);
  nic.add("id", id);
  options.netdevs.push_back(std::move(nic));
  options.machine.devices.push_back(std::move(device));
  return {};
}

// "tcp:10.0.2.100:80-tcp:127.0.0.1:8080" becomes "...-chardev:ID" and a -chardev of that id.
Result<> plan_guest_forwards(Options& options, KeyValues& netdev) {
  KeyValues planned(netdev.option());
  for (const auto& [key, value] : netdev.items()) {
    const bool forwards = key == "guestfwd" || key.starts_with("guestfwd.");
    const auto target = forwards ? find_guest_forward_target(value) : std::nullopt;
    if (!target || target->is_command || target->is_chardev_id) {
      planned.add(key, value);
      continue;
    }
    auto chardev = serial_to_chardev_options(value.substr(target->begin));
    if (!chardev) return fail("-netdev user: guestfwd={}: {}", value, chardev.error().message);
    const std::string id = fmt::format("guestfwd{}", options.chardevs.size());
    chardev->add("id", id);
    options.chardevs.push_back(std::move(*chardev));
    planned.add(key, fmt::format("{}chardev:{}", value.substr(0, target->begin), id));
  }
  netdev = std::move(planned);
  return {};
}

void assign_addresses(Options& options) {
  std::set<std::string> taken;
  for (const KeyValues& device : options.machine.devices)
    if (const auto mac = device.get("mac")) taken.insert(*mac);
  unsigned next = 0x56;
  for (KeyValues& device : options.machine.devices) {
    if (!is_network_device(device) || device.get("mac")) continue;
    std::string mac;
    do {
      mac = fmt::format("52:54:00:12:34:{:02x}", next++ & 0xff);
    } while (!taken.insert(mac).second);
    device.add("mac", mac);
  }
}

}  // namespace

Result<> plan_networks(Options& options) {
  for (size_t i = 0; i < options.nics.size(); ++i) HV_TRY(plan_nic(options, options.nics[i], i));
  std::set<std::string> ids;
  for (KeyValues& netdev : options.netdevs) {
    const std::string id = netdev.get("id").value_or("");
    if (id.empty()) return fail("-netdev {}: id= is missing", netdev.get("type").value_or(""));
    if (!ids.insert(id).second) return fail("-netdev: there is a netdev '{}' already", id);
    HV_TRY(plan_guest_forwards(options, netdev));
  }
  for (const auto& filter : options.objects.dumps)
    if (!ids.contains(filter.netdev))
      return fail("-object filter-dump,id={}: netdev={}: there is no such -netdev", filter.id,
                  filter.netdev);
  assign_addresses(options);
  return {};
}

}  // namespace hv
