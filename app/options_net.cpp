// Handlers: networks.
#include "app/option_handlers.h"
#include "monitor/json_options.h"
#include "net/netdev.h"

namespace hv::option_handlers {
namespace {

bool asks_for_help(const std::string& word) {
  return word == "help" || word == "?";
}

}  // namespace

Result<> netdev(Options& options, const std::string& value) {
  auto values = value.starts_with('{') ? key_values_from_json("-netdev", value)
                                       : KeyValues::parse("-netdev", value, "type");
  if (!values) return std::unexpected(values.error());
  const auto type = values->get("type");
  if (!type) return fail("-netdev {}: no type is named; '-netdev help' lists them", value);
  if (asks_for_help(*type)) {
    options.print_and_exit = netdev_help();
    return {};
  }
  options.netdevs.push_back(std::move(*values));
  return {};
}

Result<> nic(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-nic", value, "type"));
  const auto type = values.get("type");
  if (!type) return fail("-nic {}: no type is named; '-nic help' lists them", value);
  if (asks_for_help(*type)) {
    options.print_and_exit = netdev_help();
    return {};
  }
  if (asks_for_help(values.get("model").value_or(""))) {
    options.print_and_exit = "Available NIC models:\nvirtio-net-device\n";
    return {};
  }
  if (*type == "none") {
    options.nics.clear();
    return {};
  }
  options.nics.push_back(std::move(values));
  return {};
}

Result<> net(Options&, const std::string& value) {
  if (value != "none")
    return fail("-net {}: not supported; use -netdev and -device, or -nic", value);
  return {};
}

}  // namespace hv::option_handlers
