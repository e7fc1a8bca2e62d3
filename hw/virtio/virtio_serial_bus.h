// What sits on a virtio-serial device: -device virtconsole and virtserialport.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "hw/device_bus.h"
#include "hw/device_type.h"
#include "io/char_backend.h"

namespace hv {

// Main thread, before the machine runs.
class VirtioSerialBus : public DeviceBus {
 public:
  static constexpr std::string_view kBusType = "virtio-serial-bus";
  static constexpr uint32_t kAnyNumber = UINT32_MAX;

  struct PortConfig {
    std::string id;  // of the device that it is; "": none
    uint32_t number = kAnyNumber;
    std::string name;  // "": none
    bool console = false;
    CharBackend* backend = nullptr;  // nullptr: nobody at the other end
  };

  std::string_view bus_type() const override { return kBusType; }
  // Fails, with words that do not name the option, when the number is taken or beyond max_ports.
  virtual Result<> add_port(const PortConfig& config) = 0;
  virtual bool has_port_named(std::string_view name) const = 0;

 protected:
  ~VirtioSerialBus() = default;
};

// The properties of both types.
struct SerialPortConfig {
  std::string chardev;
  std::string name;
  uint32_t nr = VirtioSerialBus::kAnyNumber;
};
inline constexpr auto kSerialPortProps = std::make_tuple(
    Prop{"chardev", &SerialPortConfig::chardev, "id of the -chardev at the other end"},
    Prop{"name", &SerialPortConfig::name, "what the guest calls it: /dev/virtio-ports/NAME"},
    Prop{"nr", &SerialPortConfig::nr, "number of the port (default: the first free one)"});

// A console, hvc0 and on in the guest; the first one is port 0.
struct VirtConsole {
  using Bus = VirtioSerialBus;
  using Config = SerialPortConfig;
  static constexpr auto kProps = kSerialPortProps;
  static constexpr DeviceTypeNames kType{"virtconsole", {}, "Input", "a console, hvcN in Linux"};
  static Result<> plug(Bus& bus, std::span<Bus* const> all, Backends& backends,
                       const std::string& id, const Config& config);
};

// A byte stream with a name, a character device in the guest.
struct VirtSerialPort {
  using Bus = VirtioSerialBus;
  using Config = SerialPortConfig;
  static constexpr auto kProps = kSerialPortProps;
  static constexpr DeviceTypeNames kType{
      "virtserialport", {}, "Input", "a named port, vportNpM in Linux"};
  static Result<> plug(Bus& bus, std::span<Bus* const> all, Backends& backends,
                       const std::string& id, const Config& config);
};

}  // namespace hv
