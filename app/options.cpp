#include "app/options.h"

#include <algorithm>

#include "app/drive_plan.h"
#include "app/net_plan.h"
#include "app/option_table.h"
#include "main-loop/chardev.h"

namespace hv {
namespace {

constexpr std::string_view kSerialId = "serial0";

Result<> unknown_option(std::string_view name) {
  for (const RefusedOption& refused : refused_options())
    if (refused.name == name) return fail("-{}: not supported ({})", name, refused.reason);
  return fail("-{}: no such option; --help lists them", name);
}

Result<> apply_arguments(Options& options, std::span<const std::string> arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (!word.starts_with('-') || word.size() == 1)
      return fail("{}: not an option; a disk image goes into -drive file={},format=raw,if=virtio",
                  word, word);
    const std::string_view name = word.substr(word.starts_with("--") ? 2 : 1);
    const OptionRow* row = find_option(name);
    if (!row) return unknown_option(name);
    std::string value;
    if (!row->argument.empty()) {
      if (++i == arguments.size())
        return fail("-{}: an argument is missing: -{} {}", name, name, row->argument);
      value = arguments[i];
    }
    HV_TRY(row->apply(options, value));
    if (options.print_and_exit) return {};
  }
  return {};
}

bool uses_stdio(const Options& options) {
  return std::ranges::any_of(
      options.chardevs, [](const KeyValues& chardev) { return chardev.get("backend") == "stdio"; });
}

// What the serial port is when no -serial says so.
std::string default_serial(const Options& options) {
  if (options.no_defaults) return "none";
  if (options.daemonize || uses_stdio(options)) return "null";
  if (options.display_none && !options.nographic) return "null";
  // Without a monitor to share the terminal with there are no C-a keys, as in QEMU.
  return options.monitor_none ? "stdio" : "mon:stdio";
}

Result<> plan_serial(Options& options) {
  if (options.serials.empty()) options.serials.push_back(default_serial(options));
  for (size_t i = 1; i < options.serials.size(); ++i)
    if (options.serials[i] != "none")
      return fail("-serial {}: the board has one serial port", options.serials[i]);

  const std::string& value = options.serials.front();
  if (value == "none") return {};
  if (value.starts_with("chardev:")) {
    options.serial = value.substr(std::string_view("chardev:").size());
    return {};
  }
  auto chardev = serial_to_chardev_options(value);
  if (!chardev) return fail("-serial: {}", chardev.error().message);
  chardev->add("id", kSerialId);
  options.chardevs.push_back(std::move(*chardev));
  options.serial = kSerialId;
  return {};
}

Result<> check_chardevs(const Options& options) {
  unsigned stdio_users = 0;
  for (const KeyValues& chardev : options.chardevs) {
    const auto same_id = std::ranges::count_if(options.chardevs, [&](const KeyValues& other) {
      return other.get("id") == chardev.get("id");
    });
    if (same_id > 1)
      return fail("-chardev: there is a chardev '{}' already", chardev.get("id").value_or(""));
    if (chardev.get("backend") == "stdio") ++stdio_users;
  }
  if (stdio_users > 1)
    return fail("stdio is asked for {} times (-serial, -chardev, -qmp); it can be used once",
                stdio_users);
  if (options.daemonize && stdio_users > 0)
    return fail("-daemonize: stdio cannot be used from the background; give another -serial");
  return {};
}

Result<> choose_accelerator(Options& options) {
  static constexpr std::string_view kAvailable[] = {"jit", "interp", "tcg"};
  static constexpr std::string_view kElsewhere[] = {"kvm", "xen", "hvf", "nvmm", "whpx", "qtest"};
  const auto available = [](const std::string& name) {
    return std::ranges::find(kAvailable, name) != std::end(kAvailable);
  };
  for (const std::string& name : options.accelerators)
    if (!available(name) && std::ranges::find(kElsewhere, name) == std::end(kElsewhere))
      return fail("-accel {}: no such accelerator; '-accel help' lists them", name);
  if (!options.accelerators.empty() && std::ranges::none_of(options.accelerators, available))
    return fail("-accel {}: not supported (use jit, interp or tcg)", options.accelerators.front());
  const auto chosen = std::ranges::find_if(options.accelerators, available);
  if (chosen == options.accelerators.end() || *chosen != "interp")
    options.machine.jit = options.jit;
  if (!options.machine.jit && (options.perf_map || options.jit_dump))
    return fail("-{}: -accel interp makes no code to describe; use -accel jit",
                options.perf_map ? "perfmap" : "jitdump");
  if (options.single_thread && options.machine.smp > 1)
    return fail("-accel thread=single: each of the {} harts has a thread of its own; leave it out",
                options.machine.smp);
  return {};
}

Result<> plan_memory(Options& options) {
  if (options.memory_backend.empty()) return {};
  const auto backend =
      std::ranges::find(options.objects.rams, options.memory_backend, &ObjectOptions::Ram::id);
  if (backend == options.objects.rams.end())
    return fail("-machine memory-backend={}: there is no such -object memory-backend-ram",
                options.memory_backend);
  if (options.memory_given && options.machine.memory_size != backend->size)
    return fail("-m: {} bytes, but memory-backend {} has {}", options.machine.memory_size,
                backend->id, backend->size);
  options.machine.memory_size = backend->size;
  return {};
}

// What can only be judged once all options are known.
Result<> finish(Options& options) {
  if (options.nographic && options.daemonize)
    return fail("-nographic: cannot be used with -daemonize; give -display none and -serial");
  HV_TRY(choose_accelerator(options));
  HV_TRY(plan_memory(options));
  HV_TRY(plan_drives(options));
  HV_TRY(plan_networks(options));
  HV_TRY(plan_serial(options));
  return check_chardevs(options);
}

}  // namespace

Result<Options> parse_options(std::string_view program, std::span<const std::string> arguments) {
  Options options;
  options.program = program;
  HV_TRY_ASSIGN(options.machine.cpu, CpuConfig::parse("rv64"));
  HV_TRY(apply_arguments(options, arguments));
  if (!options.print_and_exit) HV_TRY(finish(options));
  return options;
}

}  // namespace hv
