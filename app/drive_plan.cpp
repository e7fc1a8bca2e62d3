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
  if (values.get("file").value_or("").empty())
    return fail("-drive: file= is missing for drive {}", drive.id);
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
  std::ranges::sort(drives, {}, &Drive::index);
  for (const Drive& drive : drives) {
    KeyValues device("-drive");
    device.add("driver", "virtio-blk-device");
    device.add("drive", drive.id);
    if (!drive.serial.empty()) device.add("serial", drive.serial);
    options.machine.devices.push_back(std::move(device));
  }
  return {};
}

Result<> plan_nodes(Options& options) {
  const auto find_node = [&](const std::string& name) -> const DiskOptions* {
    const auto node = std::ranges::find(options.drives, name, &DriveOptions::id);
    return node == options.drives.end() ? nullptr : &node->disk;
  };
  for (KeyValues node : options.blockdev_options) {
    const std::string name = node.take("node-name").value_or("");
    if (name.empty()) return fail("-blockdev: node-name= is missing");
    HV_TRY_ASSIGN(auto disk, take_disk_options(node, find_node));
    HV_TRY(node.expect_empty(
        "driver, node-name, file, filename, read-only, aio, discard, cache.direct, "
        "cache.no-flush, locking"));
    if (disk.filename.empty()) return fail("-blockdev node-name={}: filename= is missing", name);
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
