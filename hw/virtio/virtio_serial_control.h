// The control queues of a virtio-serial device (virtio 1.2, section 5.3.6.2).
#pragma once

#include "hw/virtio/virtqueue.h"

namespace hv {

class VirtioSerialDevice;
class VirtioSerialPort;

// Loop thread.
class VirtioSerialControl {
 public:
  static constexpr unsigned kReceiveQueue = 2;   // messages to the driver
  static constexpr unsigned kTransmitQueue = 3;  // messages from the driver

  explicit VirtioSerialControl(VirtioSerialDevice& device) : device_(device) {}

  // handle_queue() of the two. Messages that find no buffer of the driver wait in the ports.
  bool send_messages();
  bool take_messages();

 private:
  enum Event : uint16_t {
    kDeviceReady = 0,
    kDeviceAdd = 1,
    kPortReady = 3,
    kConsolePort = 4,
    kResize = 5,
    kPortOpen = 6,
    kPortName = 7,
  };
  struct Message;

  bool send_messages_of(VirtioSerialPort& port);
  bool send(const VirtioSerialPort& port, Event event, uint16_t value, const void* more = nullptr,
            size_t more_size = 0);
  void handle(const Message& message);

  VirtioSerialDevice& device_;
  DescriptorChain answer_;   // filled while
  DescriptorChain request_;  // is being looked at
};

}  // namespace hv
