#include "hw/virtio/virtio_serial_control.h"

#include <array>
#include <cstring>

#include "hw/virtio/virtio_serial.h"
#include "io/iov.h"
#include "io/log.h"

namespace hv {

struct VirtioSerialControl::Message {
  uint32_t id;
  uint16_t event;
  uint16_t value;
};

// False: the driver has no buffer for it now.
bool VirtioSerialControl::send(const VirtioSerialPort& port, Event event, uint16_t value,
                               const void* more, size_t more_size) {
  VirtQueue& queue = device_.queue(kReceiveQueue);
  if (!queue.pop(answer_)) return false;
  const Message message{port.number(), event, value};
  static_assert(sizeof message == 8);
  size_t size = copy_to_pieces(answer_.writable, 0, &message, sizeof message);
  if (more_size > 0) size += copy_to_pieces(answer_.writable, sizeof message, more, more_size);
  if (size < sizeof message + more_size)
    log(kLogGuestErrors, "{}: a buffer of {} bytes is too short for a control message",
        device_.type_name(), size);
  queue.push(answer_.head, static_cast<uint32_t>(size));
  return true;
}

bool VirtioSerialControl::send_messages_of(VirtioSerialPort& port) {
  auto& waiting = port.messages();
  const auto done = [](bool& wanted, bool sent) {
    if (sent) wanted = false;
    return sent;
  };
  if (waiting.add && !done(waiting.add, send(port, kDeviceAdd, 1))) return false;
  if (waiting.console && !done(waiting.console, send(port, kConsolePort, 1))) return false;
  // The name ends with a zero byte, as QEMU sends it.
  if (waiting.name &&
      !done(waiting.name, send(port, kPortName, 1, port.name().c_str(), port.name().size() + 1)))
    return false;
  if (waiting.close && !done(waiting.close, send(port, kPortOpen, 0))) return false;
  if (waiting.open && !done(waiting.open, send(port, kPortOpen, 1))) return false;
  const std::array<uint16_t, 2> size{port.size().columns, port.size().rows};
  return !waiting.resize || done(waiting.resize, send(port, kResize, 0, size.data(), sizeof size));
}

bool VirtioSerialControl::send_messages() {
  bool all_sent = true;
  for (const auto& port : device_.ports())
    if (port && !send_messages_of(*port)) {
      all_sent = false;
      break;
    }
  device_.publish(kReceiveQueue);
  return !all_sent;  // buffers are of interest only to messages that wait
}

bool VirtioSerialControl::take_messages() {
  VirtQueue& queue = device_.queue(kTransmitQueue);
  for (unsigned taken = 0; taken < queue.size() && queue.pop(request_); ++taken) {
    Message message;
    // What is behind the message, however long, is not looked at.
    if (copy_from_pieces(request_.readable, 0, &message, sizeof message) == sizeof message)
      handle(message);
    else
      log(kLogGuestErrors, "{}: a control message is too short", device_.type_name());
    queue.push(request_.head, 0);
  }
  device_.publish(kTransmitQueue);
  return true;
}

void VirtioSerialControl::handle(const Message& message) {
  const auto complain = [&](const char* what) {
    log(kLogGuestErrors, "{}: control message {} for port {}: {}", device_.type_name(),
        message.event, message.id, what);
  };
  if (message.event == kDeviceReady) {
    if (!message.value) return complain("the driver has failed");
    for (const auto& port : device_.ports())
      if (port) port->messages().add = true;
    return device_.tell_driver();
  }
  VirtioSerialPort* port = device_.find_port(message.id);
  if (!port) return complain("there is no such port");
  switch (message.event) {
    case kPortReady:
      if (!message.value) return complain("the driver could not set it up");
      return port->guest_ready();
    case kPortOpen:
      return port->guest_opened(message.value != 0);
  }
  complain("unknown");
}

}  // namespace hv
