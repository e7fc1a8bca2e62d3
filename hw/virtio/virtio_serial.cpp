#include "hw/virtio/virtio_serial.h"

#include <algorithm>
#include <cstring>

namespace hv {

namespace {

constexpr uint32_t kDeviceIdConsole = 3;
constexpr uint16_t kQueueSize = 128;
constexpr uint64_t kFeatureSize = 1 << 0;
constexpr uint64_t kFeatureMultiport = 1 << 1;
constexpr uint64_t kFeatureEmergencyWrite = 1 << 2;

// Section 5.3.4.
struct ConfigSpace {
  uint16_t columns, rows;
  uint32_t max_ports;
  uint32_t emergency_write;
};
static_assert(sizeof(ConfigSpace) == 12);
constexpr uint32_t kEmergencyWriteAt = 8;

uint64_t offered(const VirtioSerialDevice::Config& config) {
  return kVirtioVersion1 | kFeatureSize | (config.max_ports > 1 ? kFeatureMultiport : 0) |
         (config.emergency_write ? kFeatureEmergencyWrite : 0) |
         (config.event_idx ? kVirtioRingEventIdx : 0) |
         (config.indirect_desc ? kVirtioRingIndirectDesc : 0);
}

}  // namespace

Result<std::unique_ptr<VirtioDevice>> VirtioSerialDevice::create(const VirtioContext& context,
                                                                 const Config& config) {
  HV_TRY_ASSIGN(EventLoop * loop, context.backends.io_loop(""));
  return std::unique_ptr<VirtioDevice>(new VirtioSerialDevice(context, config, *loop));
}

// With one port there are no control queues, else two, wherever the driver stands on that.
VirtioSerialDevice::VirtioSerialDevice(const VirtioContext& context, const Config& config,
                                       EventLoop& loop)
    : VirtioDevice({.device_id = kDeviceIdConsole,
                    .features = offered(config),
                    .queue_count = config.max_ports > 1 ? 2 * (config.max_ports + 1) : 2,
                    .queue_size = kQueueSize},
                   context.memory, loop),
      config_(config),
      system_(context.control),
      ports_(config.max_ports) {}

VirtioSerialDevice::~VirtioSerialDevice() = default;

// --- the bus

// Number 0 is kept for the first console, so that it is what a driver without MULTIPORT sees.
Result<uint32_t> VirtioSerialDevice::choose_number(const PortConfig& config) const {
  uint32_t number = config.number;
  if (number == kAnyNumber) {
    number = config.console && !ports_[0] ? 0 : 1;
    while (number < ports_.size() && ports_[number]) ++number;
    if (number >= ports_.size())
      return fail("{} has no free port left (max_ports={})", bus_name(), ports_.size());
  }
  if (number >= ports_.size())
    return fail("nr={}: the numbers of {} end at {}", number, bus_name(), ports_.size() - 1);
  if (ports_[number]) return fail("nr={}: {} has this port already", number, bus_name());
  return number;
}

Result<> VirtioSerialDevice::add_port(const PortConfig& config) {
  PortConfig numbered = config;
  HV_TRY_ASSIGN(numbered.number, choose_number(config));
  auto& place = ports_[numbered.number];
  place = std::make_unique<VirtioSerialPort>(*this, numbered);
  // The device is in its slot, and its loop runs.
  loop().run_on_loop([&] { place->attach(); });
  return {};
}

bool VirtioSerialDevice::has_port_named(std::string_view name) const {
  return std::ranges::any_of(ports_,
                             [&](const auto& port) { return port && port->name() == name; });
}

VirtioSerialPort* VirtioSerialDevice::find_port(uint32_t number) const {
  return number < ports_.size() ? ports_[number].get() : nullptr;
}

// --- the configuration space

void VirtioSerialDevice::read_config(uint32_t offset, std::span<uint8_t> to) {
  const CharSize size = size_.load();
  const ConfigSpace space{size.columns, size.rows, config_.max_ports, 0};
  if (offset >= sizeof space) return;
  std::memcpy(to.data(), reinterpret_cast<const uint8_t*>(&space) + offset,
              std::min<size_t>(to.size(), sizeof space - offset));
}

void VirtioSerialDevice::write_config(uint32_t offset, std::span<const uint8_t> from) {
  if (!config_.emergency_write || offset != kEmergencyWriteAt || from.empty()) return;
  const auto console =
      std::ranges::find_if(ports_, [](const auto& port) { return port && port->is_console(); });
  if (console != ports_.end()) (*console)->write_emergency(from[0]);
}

void VirtioSerialDevice::console_resized(const VirtioSerialPort& port) {
  if (multiport_) tell_driver();
  if (port.number() != 0) return;
  size_ = port.size();
  config_changed();
}

void VirtioSerialDevice::guest_opened_port(const std::string& id, bool open) {
  if (system_) system_->report_serial_port(id, open);
}

// --- the queues

VirtioSerialPort* VirtioSerialDevice::port_of_queue(unsigned index) const {
  return find_port(index < 2 ? 0 : index / 2 - 1);
}

bool VirtioSerialDevice::handle_queue(unsigned index) {
  if (index == VirtioSerialControl::kReceiveQueue) return control_.send_messages();
  if (index == VirtioSerialControl::kTransmitQueue) return control_.take_messages();
  VirtioSerialPort* port = port_of_queue(index);
  if (!port) return true;  // the driver was never told of it
  return index % 2 == 0 ? port->offer_room() : port->send_output();
}

// Where a driver waits for us; there are dozens of other queues.
bool VirtioSerialDevice::polled(unsigned index) const {
  return index % 2 == 1 && index != VirtioSerialControl::kTransmitQueue && port_of_queue(index);
}

void VirtioSerialDevice::on_start(uint64_t features) {
  multiport_ = features & kFeatureMultiport;
}

void VirtioSerialDevice::on_stop() {
  multiport_ = false;
  for (const auto& port : ports_)
    if (port) port->stop();
}

void VirtioSerialDevice::on_attach() {
  for (const auto& port : ports_)
    if (port) port->attach();
}

void VirtioSerialDevice::on_detach() {
  for (const auto& port : ports_)
    if (port) port->detach();
}

}  // namespace hv
