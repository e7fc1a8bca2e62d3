// Handlers: disks, devices and the objects they use.
#include <algorithm>

#include "app/option_handlers.h"
#include "hw/device_registry.h"
#include "monitor/json_options.h"

namespace hv::option_handlers {
namespace {

// "key=value,..." or a JSON object.
Result<KeyValues> parse_either(std::string_view option, const std::string& value,
                               std::string_view implied_key) {
  if (value.starts_with('{')) return key_values_from_json(option, value);
  return KeyValues::parse(option, value, implied_key);
}

bool asks_for_help(const std::string& word) {
  return word == "help" || word == "?";
}

struct ObjectType {
  std::string_view name;
  std::string_view help;
  Result<> (*add)(ObjectOptions& objects, const std::string& id, KeyValues& values);
};

Result<> add_iothread(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  HV_TRY_ASSIGN(const auto poll_max_ns, values.take_number("poll-max-ns"));
  if (poll_max_ns && *poll_max_ns > INT64_MAX)
    return fail("-object {}: poll-max-ns={} is too large", id, *poll_max_ns);
  HV_TRY(values.expect_empty("poll-max-ns"));
  objects.iothreads.push_back(
      {id, poll_max_ns ? static_cast<int64_t>(*poll_max_ns) : kDefaultPollMaxNs});
  return {};
}

Result<> add_rng_random(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  const std::string filename = values.take("filename").value_or("/dev/urandom");
  HV_TRY(values.expect_empty("filename"));
  objects.rngs.push_back({id, filename});
  return {};
}

Result<> add_rng_builtin(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  HV_TRY(values.expect_empty("nothing but id"));
  objects.rngs.push_back({id, "/dev/urandom"});
  return {};
}

Result<> add_ram(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  HV_TRY_ASSIGN(const auto size, values.take_size("size"));
  HV_TRY(values.expect_empty("size"));
  if (!size || *size == 0 || *size % GuestMemory::kPageSize != 0)
    return fail("-object memory-backend-ram,id={}: size= must be a multiple of 4K", id);
  objects.rams.push_back({id, *size});
  return {};
}

// QEMU has both spellings: x-iops-total=N on a command line, {"limits": {"iops-total": N}} in JSON.
Result<> add_throttle_group(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  KeyValues limits(values.option());
  const KeyValues written = values.take_below("limits");
  for (const auto& [key, value] : written.items()) limits.add("x-" + key, value);
  HV_TRY_ASSIGN(const ThrottleConfig json, take_throttle_config(limits, "x-"));
  HV_TRY(limits.expect_empty("iops-total, bps-total, ... in limits"));
  HV_TRY_ASSIGN(const ThrottleConfig plain, take_throttle_config(values, "x-"));
  HV_TRY(values.expect_empty("x-iops-total, x-bps-total, their -max and -max-length, x-iops-size"));
  objects.throttles.push_back({id, json.any() ? json : plain});
  return {};
}

Result<> add_filter_dump(ObjectOptions& objects, const std::string& id, KeyValues& values) {
  ObjectOptions::Dump dump{.id = id};
  dump.netdev = values.take("netdev").value_or("");
  dump.file = values.take("file").value_or("");
  if (dump.netdev.empty() || dump.file.empty())
    return fail("-object filter-dump,id={}: netdev= and file= are needed", id);
  HV_TRY_ASSIGN(const auto length, values.take_size("maxlen"));
  if (length && (*length < 1 || *length > UINT32_MAX))
    return fail("-object filter-dump,id={}: maxlen={} is out of range", id, *length);
  dump.max_length = static_cast<uint32_t>(length.value_or(dump.max_length));
  const std::string queue = values.take("queue").value_or("all");
  if (queue != "all" && queue != "rx" && queue != "tx")
    return fail("-object filter-dump,id={}: queue={} is unknown: use all, rx or tx", id, queue);
  // As QEMU names them: the queues are the netdev's.
  dump.from_guest = queue != "tx";
  dump.to_guest = queue != "rx";
  HV_TRY(values.expect_empty("netdev, file, maxlen, queue"));
  objects.dumps.push_back(std::move(dump));
  return {};
}

constexpr ObjectType kObjectTypes[] = {
    {"filter-dump", "netdev=ID,file=FILE[,maxlen=N][,queue=all|rx|tx]  frames as a pcap file",
     add_filter_dump},
    {"iothread", "poll-max-ns=N  a thread that serves devices (iothread=ID)", add_iothread},
    {"memory-backend-ram", "size=SIZE  guest memory (-M memory-backend=ID)", add_ram},
    {"rng-builtin", "the host's random generator (rng=ID)", add_rng_builtin},
    {"throttle-group", "x-iops-total=N,x-bps-total=N...  limits that disks share",
     add_throttle_group},
    {"rng-random", "filename=FILE  entropy from a file (rng=ID)", add_rng_random},
};

bool has_object(const ObjectOptions& objects, const std::string& id) {
  const auto same = [&](const auto& object) { return object.id == id; };
  return std::ranges::any_of(objects.iothreads, same) || std::ranges::any_of(objects.rngs, same) ||
         std::ranges::any_of(objects.rams, same) || std::ranges::any_of(objects.throttles, same) ||
         std::ranges::any_of(objects.dumps, same);
}

}  // namespace

Result<> drive(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-drive", value));
  options.drive_options.push_back(std::move(values));
  return {};
}

Result<> blockdev(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, parse_either("-blockdev", value, "driver"));
  options.blockdev_options.push_back(std::move(values));
  return {};
}

Result<> snapshot(Options& options, const std::string&) {
  options.snapshot = true;
  return {};
}

Result<> device(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, parse_either("-device", value, "driver"));
  const auto driver = values.get("driver");
  if (!driver) return fail("-device {}: no type is named; '-device help' lists them", value);
  if (asks_for_help(*driver)) {
    options.print_and_exit = device_list_help();
    return {};
  }
  if (values.get("help") || values.get("?")) {
    HV_TRY_ASSIGN(options.print_and_exit, device_help(*driver));
    return {};
  }
  if (const auto id = values.get("id")) {
    for (const KeyValues& other : options.machine.devices)
      if (other.get("id") == id)
        return fail("-device {}: there is a device '{}' already", *driver, *id);
  }
  options.machine.devices.push_back(std::move(values));
  return {};
}

Result<> object(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, parse_either("-object", value, "qom-type"));
  const auto name = values.take("qom-type");
  if (!name) return fail("-object {}: no type is named; '-object help' lists them", value);
  if (asks_for_help(*name)) {
    std::string text = "Objects:\n";
    for (const ObjectType& type : kObjectTypes) text += fmt::format("  {}\n", type.name);
    options.print_and_exit = text;
    return {};
  }
  const auto type =
      std::ranges::find_if(kObjectTypes, [&](const ObjectType& row) { return row.name == *name; });
  if (type == std::end(kObjectTypes))
    return fail("-object {}: no such type; '-object help' lists them", *name);
  if (values.take("help") || values.take("?")) {
    options.print_and_exit = fmt::format("{}: {}\n", type->name, type->help);
    return {};
  }
  const auto id = values.take("id");
  if (!id || id->empty()) return fail("-object {}: id= is missing", *name);
  if (has_object(options.objects, *id))
    return fail("-object {}: there is an object '{}' already", *name, *id);
  return type->add(options.objects, *id, values);
}

Result<> global(Options&, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-global", value));
  HV_TRY_ASSIGN(const auto legacy, values.take_bool("virtio-mmio.force-legacy"));
  if (legacy.value_or(false) || !values.empty())
    return fail("-global {}: not supported (give properties to -device and -cpu themselves)",
                value);
  return {};
}

Result<> no_defaults(Options& options, const std::string&) {
  options.no_defaults = true;
  return {};
}

}  // namespace hv::option_handlers
