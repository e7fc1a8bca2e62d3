// One port of a virtio-serial device: its two queues and the back end behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hw/virtio/virtio_serial_bus.h"
#include "hw/virtio/virtqueue.h"
#include "io/char_backend.h"
#include "main-loop/event_loop.h"

namespace hv {

class VirtioSerialDevice;

// A few chains of a queue, taken ahead and given back in order. They stay the driver's requests:
// what is here when the queue ends is forgotten.
class ChainBatch {
 public:
  static constexpr unsigned kSize = 32;

  // Takes what the queue has, up to the size.
  void fill(VirtQueue& queue);
  bool empty() const { return count_ == 0; }
  unsigned count() const { return count_; }
  DescriptorChain& at(unsigned index) { return chains_[(first_ + index) % kSize]; }
  DescriptorChain& front() { return at(0); }
  void pop_front();
  void clear() { count_ = 0; }

 private:
  std::vector<DescriptorChain> chains_{kSize};
  unsigned first_ = 0, count_ = 0;
};

// The loop's thread, on which the back end lives too; the constructor is the main thread's.
//
// Both directions move whole batches. What the guest writes goes to the back end from the guest's
// own buffers; what the back end does not take stays in the guest's ring. Bytes from the host are
// taken from the back end only when the guest has buffers for them.
//
// The peer and the guest's program may come and go (virtio 1.2, section 5.3.6): without a peer,
// what the guest writes is dropped; before the guest has opened the port, the host waits. A console
// counts as always connected, and as Linux writes to it with a spinlock held and waits, a peer that
// takes nothing for kPatienceNs loses what comes until it reads again.
class VirtioSerialPort final : public CharFrontend {
 public:
  static constexpr int64_t kPatienceNs = 500'000'000;

  // Control messages that the driver has not been told yet, in the order in which they go. One of
  // each kind is enough, so a driver that reads none makes us keep nothing.
  struct Messages {
    bool add = false, console = false, name = false, close = false, open = false, resize = false;
  };

  VirtioSerialPort(VirtioSerialDevice& device, const VirtioSerialBus::PortConfig& config);

  uint32_t number() const { return config_.number; }
  const std::string& name() const { return config_.name; }
  bool is_console() const { return config_.console; }
  CharSize size() const { return size_; }
  // Any thread: the emergency write (section 5.3.4).
  void write_emergency(uint8_t byte);

  void attach();
  void detach();
  // The driver has gone.
  void stop();
  // handle_queue() of the port's queues.
  bool offer_room();   // receiveq: the driver has added buffers
  bool send_output();  // transmitq

  // The driver has set the port up.
  void guest_ready();
  void guest_opened(bool open);
  Messages& messages() { return messages_; }

  size_t can_receive() override;
  void receive(std::span<const uint8_t> bytes) override;
  void output_ready() override;
  void opened() override;
  void closed() override;
  void resized(CharSize size) override;

 private:
  unsigned receive_queue() const;
  unsigned transmit_queue() const { return receive_queue() + 1; }
  bool guest_listens() const;
  bool host_listens() const { return config_.backend && (config_.console || host_open_); }
  size_t gather_output();
  void give_back(size_t done);
  void run_out_of_patience();

  VirtioSerialDevice& device_;
  const VirtioSerialBus::PortConfig config_;
  ChainBatch room_;           // buffers for what comes from the host
  ChainBatch output_;         // what the guest wrote
  size_t output_offset_ = 0;  // of the first chain: written already
  std::vector<iovec> pieces_;
  CharSize size_;
  bool host_open_ = false;
  bool guest_open_ = false;
  bool guest_ready_ = false;
  bool starved_ = false;  // the back end waits for accept_input()
  bool gave_up_ = false;  // a console whose peer takes nothing
  std::unique_ptr<Timer> patience_;
  Messages messages_;
};

}  // namespace hv
