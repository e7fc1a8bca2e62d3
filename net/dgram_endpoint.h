// A frame per datagram: -netdev dgram, and socket with mcast=, udp= or a datagram fd=.
#pragma once

#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "io/unique_fd.h"
#include "net/endpoint.h"

namespace hv {

class DgramEndpoint final : public NetEndpoint {
 public:
  struct Options {
    UniqueFd socket;  // bound, non-blocking
    sockaddr_storage to{};
    socklen_t to_length = 0;  // 0: the socket is connected
    std::string remove_path;  // of the socket's own file
  };
  explicit DgramEndpoint(Options options);
  ~DgramEndpoint() override;

  const Traits& traits() const override { return traits_; }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void receive_ready(unsigned pair) override;

 private:
  static constexpr size_t kBatch = 16;

  void fired(uint32_t bits);
  void read_batch();
  bool deliver();
  void update();
  void take_error();

  Options options_;
  const Traits traits_{};
  NetClient* client_ = nullptr;
  std::unique_ptr<FdWatch> watch_;
  std::array<std::vector<uint8_t>, kBatch> buffers_;
  std::array<iovec, kBatch> pieces_;
  std::array<mmsghdr, kBatch> messages_;
  size_t first_ = 0, count_ = 0;  // of messages_, for the guest
  bool may_read_ = true, may_write_ = true;
  bool shut_down_ = false;  // by whoever has handed the socket over
  std::vector<iovec> out_;
};

}  // namespace hv
