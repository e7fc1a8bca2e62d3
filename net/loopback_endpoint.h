// A cable from a device back into itself, for tests and measurements.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "net/endpoint.h"

namespace hv {

// Gives each frame back as it came, offloads included, on the pair that sent it. Room for kQueue
// frames; then transmit() is refused.
class LoopbackEndpoint final : public NetEndpoint {
 public:
  static constexpr size_t kQueue = 64;

  explicit LoopbackEndpoint(unsigned pairs = 1);

  const Traits& traits() const override { return traits_; }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void transmit_done(unsigned pair) override;
  void receive_ready(unsigned pair) override { deliver(pair); }

 private:
  struct Frame {
    VnetHeader header;
    std::vector<uint8_t> bytes;
  };
  struct Pair {
    std::deque<Frame> queue;
    bool refused = false;
  };
  void deliver(unsigned pair);
  void tell_ready();

  Traits traits_;
  NetClient* client_ = nullptr;
  std::vector<Pair> pairs_;
  std::unique_ptr<BottomHalf> ready_soon_;
};

}  // namespace hv
