// Handlers: the serial port, character back ends and control monitors.
#include "app/option_handlers.h"
#include "main-loop/chardev.h"

namespace hv::option_handlers {
namespace {

// An option that says only what holds anyway.
Result<> expect_none(std::string_view option, const std::string& value, std::string_view reason) {
  if (value == "none") return {};
  return fail("{} {}: not supported ({}; only 'none')", option, value, reason);
}

Result<> add_qmp(Options& options, std::string_view option, const std::string& value, bool pretty) {
  const auto equivalent = serial_to_chardev_options(value);
  if (!equivalent) return fail("{}: {}", option, equivalent.error().message);
  const std::string id = fmt::format("compat_monitor{}", options.monitors.size());
  KeyValues chardev(option);
  for (const auto& [key, text] : equivalent->items()) chardev.add(key, text);
  chardev.add("id", id);
  options.chardevs.push_back(std::move(chardev));
  options.monitors.push_back({id, pretty});
  return {};
}

}  // namespace

Result<> serial(Options& options, const std::string& value) {
  options.serials.push_back(value);
  return {};
}

Result<> chardev(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-chardev", value, "backend"));
  const auto backend = values.get("backend");
  if (backend == "help" || backend == "?") {
    options.print_and_exit = "Character back ends: file, null, pipe, pty, ringbuf, socket, stdio\n";
    return {};
  }
  const auto id = values.get("id");
  if (!id || id->empty()) return fail("-chardev {}: id= is missing", value);
  for (const KeyValues& other : options.chardevs)
    if (other.get("id") == id)
      return fail("-chardev {}: there is a chardev '{}' already", value, *id);
  options.chardevs.push_back(std::move(values));
  return {};
}

Result<> nographic(Options& options, const std::string&) {
  options.nographic = true;
  return {};
}

Result<> display(Options& options, const std::string& value) {
  if (value == "help" || value == "?") {
    options.print_and_exit = "Available display backend types:\nnone\n";
    return {};
  }
  options.display_none = true;
  return expect_none("-display", value, "there is no display");
}

Result<> vga(Options& options, const std::string& value) {
  return expect_none("-vga", value, "there is no display adapter");
}

Result<> parallel(Options& options, const std::string& value) {
  return expect_none("-parallel", value, "there is no parallel port");
}

Result<> monitor(Options& options, const std::string& value) {
  options.monitor_none = value == "none";
  if (value == "none" || value == "null") return {};
  return fail("-monitor {}: not supported (there is no monitor for people; use -qmp)", value);
}

Result<> qmp(Options& options, const std::string& value) {
  return add_qmp(options, "-qmp", value, false);
}
Result<> qmp_pretty(Options& options, const std::string& value) {
  return add_qmp(options, "-qmp-pretty", value, true);
}

Result<> mon(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-mon", value, "chardev"));
  const auto id = values.take("chardev");
  if (!id) return fail("-mon {}: chardev= is missing", value);
  const std::string mode = values.take("mode").value_or("readline");
  if (mode != "control")
    return fail(
        "-mon {}: mode={} is not supported (there is no monitor for people; use mode=control)",
        value, mode);
  HV_TRY_ASSIGN(const auto pretty, values.take_bool("pretty"));
  values.take("id");
  HV_TRY(values.expect_empty("chardev, id, mode, pretty"));
  options.monitors.push_back({*id, pretty.value_or(false)});
  return {};
}

Result<> echr(Options& options, const std::string& value) {
  const auto code = parse_number(value);
  if (!code || *code < 1 || *code > 255)
    return fail("-echr {}: use the code of a character, 1 to 255", value);
  options.escape_key = static_cast<uint8_t>(*code);
  return {};
}

}  // namespace hv::option_handlers
