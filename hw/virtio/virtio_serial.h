// virtio-serial: consoles and named ports (virtio 1.2, section 5.3).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "hw/device_type.h"
#include "hw/virtio/virtio_device.h"
#include "hw/virtio/virtio_serial_bus.h"
#include "hw/virtio/virtio_serial_control.h"
#include "hw/virtio/virtio_serial_port.h"
#include "io/system_control.h"

namespace hv {

// The device and its bus; the ports do the work. Everything runs on the default IO thread's loop,
// where character back ends live, but for the configuration space.
class VirtioSerialDevice final : public VirtioDevice, public VirtioSerialBus {
 public:
  static constexpr uint32_t kMaxPorts = 31;
  struct Config {
    uint32_t max_ports = kMaxPorts;
    bool emergency_write = true;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"max_ports", &Config::max_ports, "ports the device can have; 1 turns off control queues",
           1, kMaxPorts},
      Prop{"emergency-write", &Config::emergency_write, "offer VIRTIO_CONSOLE_F_EMERG_WRITE"},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{"virtio-serial-device",
                                         {"virtio-serial"},
                                         "Input",
                                         "consoles and ports to character devices"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~VirtioSerialDevice() override;

  std::string_view type_name() const override { return kType.name; }
  DeviceBus* bus() override { return this; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override;
  void write_config(uint32_t offset, std::span<const uint8_t> from) override;

  // The bus. Main thread, before the device is plugged in a slot's map.
  Result<> add_port(const PortConfig& config) override;
  bool has_port_named(std::string_view name) const override;

  // For the ports and the control queues.
  using VirtioDevice::publish;
  using VirtioDevice::queue;
  using VirtioDevice::service;
  using VirtioDevice::taking;
  // By number; nullptr where there is none.
  const std::vector<std::unique_ptr<VirtioSerialPort>>& ports() const { return ports_; }
  VirtioSerialPort* find_port(uint32_t number) const;
  // The driver knows of control queues and open ports.
  bool multiport() const { return multiport_; }
  // A port has messages.
  void tell_driver() { service(VirtioSerialControl::kReceiveQueue); }
  void console_resized(const VirtioSerialPort& port);
  // Tells who controls the machine, if anybody does.
  void guest_opened_port(const std::string& id, bool open);

 protected:
  bool handle_queue(unsigned index) override;
  bool polled(unsigned index) const override;
  void on_start(uint64_t features) override;
  void on_stop() override;
  void on_attach() override;
  void on_detach() override;

 private:
  VirtioSerialDevice(const VirtioContext& context, const Config& config, EventLoop& loop);
  VirtioSerialPort* port_of_queue(unsigned index) const;
  Result<uint32_t> choose_number(const PortConfig& config) const;

  const Config config_;
  SystemControl* const system_;
  std::vector<std::unique_ptr<VirtioSerialPort>> ports_;
  VirtioSerialControl control_{*this};
  bool multiport_ = false;
  std::atomic<CharSize> size_{};  // of the console that is port 0
};

}  // namespace hv
