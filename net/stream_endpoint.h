// Frames over a stream socket: -netdev stream, and socket with listen=, connect= or fd=.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "io/unique_fd.h"
#include "main-loop/socket_address.h"
#include "net/endpoint.h"
#include "net/frame_stream.h"

namespace hv {

// One peer at a time. While there is none the link is down and what the guest sends is dropped.
//
//   server: listening -> open -> listening
//   client: connecting -> open -> pause -> connecting; a failed attempt leads to pause
//
// A client without reconnect stays closed. A peer that sends nonsense is closed, too.
class StreamEndpoint final : public NetEndpoint {
 public:
  struct Options {
    std::string name;                      // of the option, for messages
    std::optional<SocketAddress> address;  // of a client that connects again
    int64_t reconnect_ns = 0;              // 0: never
    UniqueFd listener;                     // of a server
    std::string remove_path;               // the socket file of a server
    UniqueFd peer;                         // if there is one already
  };
  explicit StreamEndpoint(Options options);
  ~StreamEndpoint() override;

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
  void await_peer();
  void accept_peer();
  void connect_next();
  void finish_connect();
  void fired(uint32_t bits);
  void read_frames();
  bool deliver();
  bool flush();
  void update();

  Options options_;
  const Traits traits_{};
  EventLoop* loop_ = nullptr;
  NetClient* client_ = nullptr;
  std::unique_ptr<FdWatch> listener_watch_;
  UniqueFd connecting_;
  size_t next_address_ = 0;
  std::unique_ptr<FdWatch> connecting_watch_;
  std::unique_ptr<Timer> pause_;
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
