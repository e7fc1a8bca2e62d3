// A cable into nowhere.
#pragma once

#include "net/endpoint.h"

namespace hv {

// Takes all and gives nothing.
class NullEndpoint final : public NetEndpoint {
 public:
  const Traits& traits() const override { return traits_; }
  void attach(EventLoop&, NetClient&) override {}
  void detach() override {}
  bool transmit(unsigned, const VnetHeader&, std::span<const iovec>) override { return true; }
  void receive_ready(unsigned) override {}

 private:
  const Traits traits_{.transmit = {.checksum = true, .tso4 = true, .tso6 = true, .ecn = true},
                       .receive = {}};
};

}  // namespace hv
