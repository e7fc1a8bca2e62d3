// A bus that a device brings with it, on which other types of -device sit.
#pragma once

#include <string>
#include <string_view>

namespace hv {

// Main thread.
class DeviceBus {
 public:
  virtual std::string_view bus_type() const = 0;  // "virtio-serial-bus"
  // What bus= says: "ID.0", or the type and a number for a device without an id.
  const std::string& bus_name() const { return bus_name_; }
  void set_bus_name(std::string name) { bus_name_ = std::move(name); }

 protected:
  ~DeviceBus() = default;

 private:
  std::string bus_name_;
};

}  // namespace hv
