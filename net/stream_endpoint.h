// Frames over a stream socket: -netdev stream, and socket with listen=, connect= or fd=.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/unique_fd.h"
#include "main-loop/socket_peers.h"
#include "net/endpoint.h"
#include "net/frame_stream.h"

namespace hv {

// One peer at a time (main-loop/socket_peers.h). While there is none the link is down and what the
// guest sends is dropped. A peer that sends nonsense is closed.
class StreamEndpoint final : public NetEndpoint {
 public:
  // `name` of the option, for messages.
  StreamEndpoint(std::string name, SocketPeers::Options peers)
      : name_(std::move(name)), peers_(std::move(peers)) {}

  const Traits& traits() const override { return traits_; }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void transmit_done(unsigned pair) override;
  void receive_ready(unsigned pair) override;
  bool link_up() const override { return peer_.valid(); }

 private:
  // What may wait for a peer that does not read; and what is sent without waiting for more.
  static constexpr size_t kMaxPending = 256 << 10;
  static constexpr size_t kBatch = 64 << 10;

  void open_peer(UniqueFd peer);
  void close_peer(const char* why);
  void fired(uint32_t bits);
  void read_frames();
  bool deliver();
  bool flush();
  void update();

  const std::string name_;
  const Traits traits_{};
  EventLoop* loop_ = nullptr;
  NetClient* client_ = nullptr;
  SocketPeers peers_;
  std::unique_ptr<BottomHalf> closing_;  // a peer that ended while the guest's frames were sent

  UniqueFd peer_;
  std::unique_ptr<FdWatch> peer_watch_;
  FrameReader reader_;
  bool may_read_ = true;  // the guest had room
  std::vector<uint8_t> pending_;
  size_t sent_ = 0;  // of pending_
  bool refused_ = false;
  bool warned_ = false;
};

}  // namespace hv
