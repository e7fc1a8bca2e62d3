#include "app/drive_plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "block/throttle.h"

namespace hv {
namespace {

struct Drive {
  std::string interface;  // "virtio" or "none"
  std::string id;
  std::string serial;
  std::string werror, rerror;
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

// Budgets that drives and nodes name. Those of -object are there before any drive.
using ThrottleGroups = std::map<std::string, std::shared_ptr<ThrottleGroup>>;

Result<ThrottleGroups> throttle_objects(const ObjectOptions& objects) {
  ThrottleGroups groups;
  for (const ObjectOptions::Throttle& object : objects.throttles)
    groups[object.id] = std::make_shared<ThrottleGroup>(object.config);
  return groups;
}

DiskLookup make_lookup(Options& options, ThrottleGroups& groups) {
  DiskLookup lookup;
  lookup.node = [&](const std::string& name) -> const DiskOptions* {
    const auto node = std::ranges::find(options.drives, name, &DriveOptions::id);
    return node == options.drives.end() ? nullptr : &node->disk;
  };
  lookup.throttle_group = [&](const std::string& name, const ThrottleConfig* config) {
    auto& group = groups[name];
    if (!config) return group;
    if (!group)
      group = std::make_shared<ThrottleGroup>(*config);
    else if (config->any())
      group->configure(*config);
    return group;
  };
  return lookup;
}

Result<Drive> read_drive(const Options& options, KeyValues values,
                         const std::vector<Drive>& earlier, const DiskLookup& lookup) {
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
  drive.werror = values.take("werror").value_or("");
  drive.rerror = values.take("rerror").value_or("");
  if (options.snapshot && !values.get("snapshot")) values.add("snapshot", "on");
  HV_TRY_ASSIGN(drive.disk, take_disk_options(values, lookup));
  if (drive.disk.filename.empty() && !drive.disk.null)
    return fail("-drive: file= is missing for drive {}", drive.id);
  HV_TRY(values.expect_empty(
      "file, format, if, id, index, serial, media, readonly, snapshot, cache, aio, discard, "
      "detect-zeroes, werror, rerror, throttling.*"));
  return drive;
}

// What -drive says of errors is the device's, unless that says something itself.
void add_error_policy(const Drive& drive, KeyValues& device) {
  if (!drive.werror.empty() && !device.get("werror")) device.add("werror", drive.werror);
  if (!drive.rerror.empty() && !device.get("rerror")) device.add("rerror", drive.rerror);
}

Result<> plan_plain_drives(Options& options, const DiskLookup& lookup) {
  std::vector<Drive> drives;
  for (const KeyValues& values : options.drive_options) {
    HV_TRY_ASSIGN(auto drive, read_drive(options, values, drives, lookup));
    drives.push_back(std::move(drive));
  }
  for (const Drive& drive : drives) {
    options.drives.push_back({drive.id, drive.disk});
    for (KeyValues& device : options.machine.devices)
      if (device.get("drive") == drive.id) add_error_policy(drive, device);
  }

  std::erase_if(drives, [](const Drive& drive) { return drive.interface != "virtio"; });
  std::ranges::sort(drives, {}, &Drive::index);
  for (const Drive& drive : drives) {
    KeyValues device("-drive");
    device.add("driver", "virtio-blk-device");
    device.add("drive", drive.id);
    if (!drive.serial.empty()) device.add("serial", drive.serial);
    add_error_policy(drive, device);
    options.machine.devices.push_back(std::move(device));
  }
  return {};
}

Result<> plan_nodes(Options& options, const DiskLookup& lookup) {
  for (KeyValues node : options.blockdev_options) {
    const std::string name = node.take("node-name").value_or("");
    if (name.empty()) return fail("-blockdev: node-name= is missing");
    HV_TRY_ASSIGN(auto disk, take_disk_options(node, lookup));
    HV_TRY(node.expect_empty(
        "driver, node-name, file, filename, read-only, aio, discard, cache.direct, "
        "cache.no-flush, detect-zeroes, locking, size, latency-ns, read-zeroes, throttle-group"));
    if (disk.filename.empty() && !disk.null)
      return fail("-blockdev node-name={}: filename= is missing", name);
    options.drives.push_back({name, std::move(disk)});
  }
  return {};
}

}  // namespace

Result<> plan_drives(Options& options) {
  HV_TRY_ASSIGN(ThrottleGroups groups, throttle_objects(options.objects));
  const DiskLookup lookup = make_lookup(options, groups);
  HV_TRY(plan_plain_drives(options, lookup));
  HV_TRY(plan_nodes(options, lookup));
  std::set<std::string> ids;
  for (const DriveOptions& drive : options.drives)
    if (!ids.insert(drive.id).second)
      return fail("-drive/-blockdev: there is a drive '{}' already", drive.id);
  return {};
}

}  // namespace hv
