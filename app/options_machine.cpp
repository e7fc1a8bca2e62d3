// Handlers: the machine and what it boots.
#include <algorithm>

#include "app/option_handlers.h"

namespace hv::option_handlers {
namespace {

constexpr uint64_t kMinMemory = 1 << 20;
constexpr unsigned kMaxHarts = 64;
constexpr uint64_t kMaxThreshold = 1'000'000, kMaxCodeMib = 1024;

constexpr const char* kVirtHelp =
    "virt options:\n"
    "  accel=NAME         accelerator: jit, interp or tcg\n"
    "  aclint=on|off      ACLINT in place of the CLINT, with its SSWI (default off)\n"
    "  append=TEXT        kernel command line\n"
    "  dtb=FILE           device tree to use\n"
    "  dumpdtb=FILE       write the device tree to FILE and exit\n"
    "  firmware=FILE      as -bios\n"
    "  initrd=FILE        initial RAM disk\n"
    "  kernel=FILE        kernel\n"
    "  memory-backend=ID  RAM of -object memory-backend-ram,id=ID\n";

bool asks_for_help(std::string_view value) {
  return value == "help" || value == "?";
}

// A property whose only accepted value is the one that holds anyway.
Result<> take_fixed(KeyValues& values, std::string_view key, std::string_view only) {
  const auto value = values.take(key);
  if (value && *value != only)
    return fail("{}: {}={} is not supported; only {}={} holds here", values.option(), key, *value,
                key, only);
  return {};
}

// Whether one of them compiles.
bool add_accelerators(Options& options, std::string_view list) {
  bool compiles = false;
  while (!list.empty()) {
    const size_t colon = list.find(':');
    const std::string_view name = list.substr(0, colon);
    options.accelerators.emplace_back(name);
    compiles = compiles || name == "jit" || name == "tcg";
    list = colon == std::string_view::npos ? std::string_view{} : list.substr(colon + 1);
  }
  return compiles;
}

// Scripts pass empty variables; QEMU refuses these too.
Result<> set_path(std::string_view option, const std::string& value, std::string& path) {
  if (value.empty()) return fail("{}: names no file", option);
  path = value;
  return {};
}

Result<std::optional<unsigned>> take_count(KeyValues& values, std::string_view key) {
  HV_TRY_ASSIGN(const auto number, values.take_number(key));
  if (!number) return std::nullopt;
  if (*number < 1 || *number > kMaxHarts)
    return fail("-smp: {}={} is out of range: use 1 to {}", key, *number, kMaxHarts);
  return static_cast<unsigned>(*number);
}

}  // namespace

Result<> machine(Options& options, const std::string& value) {
  if (asks_for_help(value)) {
    options.print_and_exit = machine_help();
    return {};
  }
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-machine", value, "type"));
  const std::string type = values.take("type").value_or("virt");
  if (type != "virt") return fail("-machine {}: no such machine; '-machine help' lists them", type);
  if (values.take("help") || values.take("?")) {
    options.print_and_exit = kVirtHelp;
    return {};
  }
  VirtConfig& board = options.machine;
  if (const auto text = values.take("append")) board.append = *text;
  const auto take_name = [&](std::string_view key, std::string& to) -> Result<> {
    const auto text = values.take(key);
    return text ? set_path(fmt::format("-machine {}=", key), *text, to) : Result<>{};
  };
  HV_TRY(take_name("kernel", board.kernel));
  HV_TRY(take_name("initrd", board.initrd));
  HV_TRY(take_name("dtb", board.dtb));
  HV_TRY(take_name("firmware", board.bios));
  HV_TRY(take_name("dumpdtb", board.dumpdtb));
  if (const auto text = values.take("memory-backend")) options.memory_backend = *text;
  if (const auto accelerators = values.take("accel")) add_accelerators(options, *accelerators);
  HV_TRY_ASSIGN(const auto aclint, values.take_bool("aclint"));
  board.aclint = aclint.value_or(board.aclint);
  HV_TRY(take_fixed(values, "usb", "off"));
  HV_TRY(take_fixed(values, "acpi", "off"));
  HV_TRY(take_fixed(values, "dump-guest-core", "off"));
  HV_TRY(take_fixed(values, "mem-merge", "off"));
  HV_TRY(take_fixed(values, "aia", "none"));
  return values.expect_empty(
      "accel, aclint, append, dtb, dumpdtb, firmware, initrd, kernel, memory-backend");
}

Result<> cpu(Options& options, const std::string& value) {
  const std::string_view model = std::string_view(value).substr(0, value.find(','));
  if (asks_for_help(model) || value.ends_with(",help") || value.ends_with(",?")) {
    options.print_and_exit = cpu_help();
    return {};
  }
  HV_TRY_ASSIGN(options.machine.cpu, CpuConfig::parse(value));
  return {};
}

Result<> accel(Options& options, const std::string& value) {
  if (asks_for_help(value)) {
    options.print_and_exit =
        "Accelerators:\n"
        "jit     (interpreter, and compiled code where it is hot; the default)\n"
        "interp  (interpreter)\n"
        "tcg     (another word for jit)\n";
    return {};
  }
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-accel", value, "accel"));
  const auto name = values.take("accel");
  if (!name) return fail("-accel {}: no accelerator is named; '-accel help' lists them", value);
  const bool compiles = add_accelerators(options, *name);
  if (const auto thread = values.take("thread")) {
    if (*thread != "single" && *thread != "multi")
      return fail("-accel: thread={} is neither single nor multi", *thread);
    options.single_thread = *thread == "single";
  }
  if (compiles) {
    HV_TRY_ASSIGN(const auto threshold, values.take_number("threshold"));
    HV_TRY_ASSIGN(const auto mib, values.take_number("tb-size"));
    HV_TRY_ASSIGN(const auto dump, values.take_bool("dump"));
    if (threshold && *threshold > kMaxThreshold)
      return fail("-accel {}: threshold={} is more than {}", *name, *threshold, kMaxThreshold);
    if (mib && (*mib < 1 || *mib > kMaxCodeMib))
      return fail("-accel {}: tb-size={} is not between 1 and {} (MiB)", *name, *mib, kMaxCodeMib);
    if (threshold) options.jit.threshold = static_cast<uint32_t>(*threshold);
    if (mib) options.jit.code_bytes = *mib << 20;
    options.jit.background = options.jit.threshold > 1;
    if (dump.value_or(false)) options.jit_dump = true;
    return values.expect_empty("threshold, tb-size, dump, thread");
  }
  return values.expect_empty("thread");
}

Result<> smp(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-smp", value, "cpus"));
  HV_TRY_ASSIGN(const auto cpus, take_count(values, "cpus"));
  HV_TRY_ASSIGN(const auto maximum, take_count(values, "maxcpus"));
  HV_TRY_ASSIGN(const auto sockets, take_count(values, "sockets"));
  HV_TRY_ASSIGN(const auto cores, take_count(values, "cores"));
  HV_TRY_ASSIGN(const auto threads, take_count(values, "threads"));
  HV_TRY(values.expect_empty("cpus, maxcpus, sockets, cores, threads"));

  const unsigned product = sockets.value_or(1) * cores.value_or(1) * threads.value_or(1);
  const unsigned count = cpus.value_or(maximum.value_or(product));
  if (count > kMaxHarts)
    return fail("-smp {}: {} harts; the board has room for {}", value, count, kMaxHarts);
  if (maximum && *maximum != count)
    return fail("-smp {}: maxcpus must be {}, as harts cannot be added at run time", value, count);
  // With all three given the product must fit; a missing one makes up the rest, as in QEMU.
  const bool complete = sockets && cores && threads;
  if (complete ? product != count : count % product != 0)
    return fail("-smp {}: sockets * cores * threads does not make {} harts", value, count);
  options.machine.smp = count;
  return {};
}

Result<> memory(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-m", value, "size"));
  const std::string text = values.take("size").value_or("");
  HV_TRY(values.expect_empty("size"));
  const auto size = parse_size(text, 1 << 20);
  if (!size || *size > UINT64_MAX - GuestMemory::kPageSize)
    return fail("-m {}: not a size: use a number of MiB, or one with suffix K, M, G or T", value);
  if (*size < kMinMemory) return fail("-m {}: too small; the least is 1M", value);
  options.machine.memory_size =
      (*size + GuestMemory::kPageSize - 1) / GuestMemory::kPageSize * GuestMemory::kPageSize;
  options.memory_given = true;
  return {};
}

Result<> uuid(Options& options, const std::string& value) {
  bool good = value.size() == 36;
  for (size_t i = 0; good && i < value.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    good = dash ? value[i] == '-' : std::isxdigit(static_cast<unsigned char>(value[i])) != 0;
  }
  if (!good)
    return fail("-uuid {}: not a UUID: use 8-4-4-4-12 hexadecimal digits with dashes", value);
  options.uuid = value;
  std::ranges::transform(options.uuid, options.uuid.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {};
}

Result<> overcommit(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-overcommit", value));
  HV_TRY_ASSIGN(const auto lock, values.take_bool("mem-lock"));
  if (lock) options.machine.memory_locked = *lock;
  HV_TRY(take_fixed(values, "cpu-pm", "off"));
  return values.expect_empty("mem-lock, cpu-pm");
}

Result<> rtc(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-rtc", value));
  HV_TRY(take_fixed(values, "base", "utc"));
  HV_TRY(take_fixed(values, "clock", "host"));
  HV_TRY(take_fixed(values, "driftfix", "none"));
  return values.expect_empty("base, clock, driftfix");
}

Result<> kernel(Options& options, const std::string& value) {
  return set_path("-kernel", value, options.machine.kernel);
}
Result<> initrd(Options& options, const std::string& value) {
  return set_path("-initrd", value, options.machine.initrd);
}
Result<> append(Options& options, const std::string& value) {
  options.machine.append = value;
  return {};
}
Result<> dtb(Options& options, const std::string& value) {
  return set_path("-dtb", value, options.machine.dtb);
}
Result<> bios(Options& options, const std::string& value) {
  return set_path("-bios", value == "builtin" ? "default" : value, options.machine.bios);
}

}  // namespace hv::option_handlers
