#include "hw/virtio/virtio_serial_bus.h"

#include <algorithm>

namespace hv {

static Result<> plug_port(VirtioSerialBus& bus, std::span<VirtioSerialBus* const> all,
                          Backends& backends, const std::string& id, const SerialPortConfig& config,
                          bool console) {
  const auto has_name = [&](VirtioSerialBus* other) { return other->has_port_named(config.name); };
  if (!config.name.empty() && std::ranges::any_of(all, has_name))
    return fail("name={}: another port has this name", config.name);
  if (config.nr == 0 && !console) return fail("nr=0: port 0 is for a virtconsole");
  VirtioSerialBus::PortConfig port{
      .id = id, .number = config.nr, .name = config.name, .console = console};
  if (!config.chardev.empty()) {
    HV_TRY_ASSIGN(port.backend, backends.claim_chardev(config.chardev));
  }
  return bus.add_port(port);
}

Result<> VirtConsole::plug(Bus& bus, std::span<Bus* const> all, Backends& backends,
                           const std::string& id, const Config& config) {
  return plug_port(bus, all, backends, id, config, true);
}

Result<> VirtSerialPort::plug(Bus& bus, std::span<Bus* const> all, Backends& backends,
                              const std::string& id, const Config& config) {
  return plug_port(bus, all, backends, id, config, false);
}

}  // namespace hv
