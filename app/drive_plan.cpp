#include "app/drive_plan.h"

#include <algorithm>
#include <set>

namespace hv {
namespace {

struct Drive {
  std::string interface;  // "virtio" or "none"
  std::string id;
  std::string serial;
  uint64_t index = 0;
  DiskOptions disk;
};

bool is_named_by_device(const Options& options, const std::string& id) {
  return std::ranges::any_of(options.machine.devices,
                             [&](const KeyValues& device) { return device.get("drive") == id; });
}

// The first number that no drive of this interface has.
uint64_t free_index(const std::vector<Drive>& drives, const std::string& interface) {
  uint64_t index = 0;
  while (std::ranges::any_of(drives, [&](const Drive& other) {
    return other.interface == interface && other.index == index;
  }))
    ++index;
  return index;
}

Result<Drive> read_drive(const Options& options, KeyValues values,
                         const std::vector<Drive>& earlier) {
  Drive drive;
  const std::string id = values.take("id").value_or("");
  const std::string wanted = values.take("if").value_or("");
  if (!wanted.empty() && wanted != "none" && wanted != "virtio")
    return fail("-drive if={}: no such interface on this board: use virtio or none", wanted);
  const bool claimed = !id.empty() && is_named_by_device(options, id);
  if (wanted == "virtio" && claimed)
    return fail(
        "-drive if=virtio,id={}: it has a device of its own; a -device with drive={} needs "
        "if=none here",
        id, id);
  drive.interface = wanted.empty() ? (claimed ? "none" : "virtio") : wanted;

  HV_TRY_ASSIGN(const auto index, values.take_number("index"));
  drive.index = index.value_or(free_index(earlier, drive.interface));
  for (const Drive& other : earlier)
    if (other.interface == drive.interface && other.index == drive.index)
      return fail("-drive if={},index={}: there is such a drive already", drive.interface,
                  drive.index);
  drive.id = id.empty() ? fmt::format("{}{}", drive.interface, drive.index) : id;

  if (auto serial = values.take("serial")) {
    if (drive.interface != "virtio")
      return fail("-drive serial={}: give serial= to the -device of drive {}", *serial, drive.id);
    drive.serial = *serial;
  }
  if (auto media = values.take("media"); media && *media != "disk")
    return fail("-drive media={}: not supported; only disk is here", *media);
  if (options.snapshot && !values.get("snapshot")) values.add("snapshot", "on");
  if (!values.get("file")) return fail("-drive: file= is missing for drive {}", drive.id);
  HV_TRY_ASSIGN(drive.disk, take_disk_options(values));
  HV_TRY(values.expect_empty(
      "file, format, if, id, index, serial, media, readonly, snapshot, cache, aio, discard"));
  return drive;
}

Result<> plan_plain_drives(Options& options) {
  std::vector<Drive> drives;
  for (const KeyValues& values : options.drive_options) {
    HV_TRY_ASSIGN(auto drive, read_drive(options, values, drives));
    drives.push_back(std::move(drive));
  }
  for (const Drive& drive : drives) options.drives.push_back({drive.id, drive.disk});

  std::erase_if(drives, [](const Drive& drive) { return drive.interface != "virtio"; });
  std::ranges::stable_sort(drives, {}, &Drive::index);
  for (const Drive& drive : drives) {
    KeyValues device("-drive");
    device.add("driver", "virtio-blk-device");
    device.add("drive", drive.id);
    if (!drive.serial.empty()) device.add("serial", drive.serial);
    options.machine.devices.push_back(std::move(device));
  }
  return {};
}

bool is_protocol(std::string_view driver) {
  return driver == "file" || driver == "host_device";
}

// Moves the protocol layer that a format node holds inline ("file.driver", "file.filename") or by
// name ("file") into `node`, whose own settings win.
Result<> merge_protocol_layer(KeyValues& node, const std::string& name,
                              std::vector<std::pair<std::string, KeyValues>>& protocols) {
  if (const auto reference = node.take("file")) {
    const auto found =
        std::ranges::find(protocols, *reference, [](const auto& p) { return p.first; });
    if (found == protocols.end())
      return fail("-blockdev node-name={}: file={}: no such file node, or already in use", name,
                  *reference);
    for (const auto& [key, value] : found->second.items())
      if (!node.get(key)) node.add(key, value);
    protocols.erase(found);
    return {};
  }
  const std::string driver = node.take("file.driver").value_or("file");
  if (!is_protocol(driver))
    return fail("-blockdev node-name={}: file.driver={}: not supported; use file", name, driver);
  const auto items = node.items();
  for (const auto& [key, value] : items) {
    if (!key.starts_with("file.")) continue;
    node.take(key);
    const std::string inner = key.substr(5);
    if (!node.get(inner)) node.add(inner, value);
  }
  return {};
}

// A node's keys in -drive's spelling.
Result<DiskOptions> node_to_disk(KeyValues node, const std::string& name) {
  KeyValues drive(fmt::format("-blockdev node-name={}", name));
  const auto filename = node.take("filename");
  if (!filename) return fail("-blockdev node-name={}: filename= is missing", name);
  drive.add("file", *filename);
  drive.add("format", "raw");
  if (auto read_only = node.take("read-only")) drive.add("readonly", *read_only);
  for (const std::string_view key : {"aio", "discard", "cache.direct", "cache.no-flush"})
    if (auto value = node.take(key)) drive.add(key, *value);
  KeyValues left(drive.option());
  for (const auto& [key, value] : node.items()) left.add(key, value);
  HV_TRY(left.expect_empty(
      "driver, node-name, file, filename, read-only, aio, discard, cache.direct, cache.no-flush"));
  HV_TRY_ASSIGN(auto disk, take_disk_options(drive));
  return disk;
}

Result<> plan_nodes(Options& options) {
  std::vector<std::pair<std::string, KeyValues>> protocols;  // not (yet) under a format node
  for (KeyValues node : options.blockdev_options) {
    const std::string driver = node.take("driver").value_or("");
    const std::string name = node.take("node-name").value_or("");
    if (name.empty()) return fail("-blockdev driver={}: node-name= is missing", driver);
    if (is_protocol(driver)) {
      protocols.emplace_back(name, std::move(node));
      continue;
    }
    if (driver != "raw")
      return fail("-blockdev node-name={}: driver={}: not supported; use raw or file", name,
                  driver);
    HV_TRY(merge_protocol_layer(node, name, protocols));
    HV_TRY_ASSIGN(auto disk, node_to_disk(std::move(node), name));
    options.drives.push_back({name, std::move(disk)});
  }
  for (auto& [name, node] : protocols) {
    HV_TRY_ASSIGN(auto disk, node_to_disk(std::move(node), name));
    options.drives.push_back({name, std::move(disk)});
  }
  return {};
}

}  // namespace

Result<> plan_drives(Options& options) {
  HV_TRY(plan_plain_drives(options));
  HV_TRY(plan_nodes(options));
  std::set<std::string> ids;
  for (const DriveOptions& drive : options.drives)
    if (!ids.insert(drive.id).second)
      return fail("-drive/-blockdev: there is a drive '{}' already", drive.id);
  return {};
}

}  // namespace hv
