// The device's side of an endpoint, for tests, with the loop on the test's own thread.
#pragma once

#include <arpa/inet.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "main-loop/event_loop.h"
#include "net/frame.h"
#include "net/netdev.h"

namespace hv {

using Bytes = std::vector<uint8_t>;

// Has room for `room` frames, each of which it keeps.
struct TestClient final : NetClient {
  struct Frame {
    unsigned pair;
    VnetHeader header;
    Bytes bytes;
  };
  size_t room = SIZE_MAX;
  size_t space_size = 4096;  // of receive_space()
  std::deque<Frame> frames;
  bool starved = false;
  unsigned bursts = 0, ready = 0, link_changes = 0;
  Bytes space;
  iovec space_piece{};

  bool receive(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override {
    if (room == 0) {
      starved = true;
      return false;
    }
    --room;
    frames.push_back({pair, header, gather_frame(frame)});
    return true;
  }
  std::span<const iovec> receive_space(unsigned) override {
    if (room == 0) {
      starved = true;
      return {};
    }
    space.assign(space_size, 0);
    space_piece = {space.data(), space.size()};
    return {&space_piece, 1};
  }
  void received(unsigned pair, const VnetHeader& header, size_t length) override {
    REQUIRE(length <= space.size());
    --room;
    frames.push_back(
        {pair, header, Bytes(space.begin(), space.begin() + static_cast<ptrdiff_t>(length))});
  }
  void receive_done(unsigned) override { ++bursts; }
  void transmit_ready(unsigned) override { ++ready; }
  void link_changed() override { ++link_changes; }
};

// A loop and an endpoint attached to a client.
struct Cable {
  std::unique_ptr<EventLoop> loop = *EventLoop::create("test");
  TestClient client;
  std::unique_ptr<NetEndpoint> endpoint;

  ~Cable() { unplug(); }
  void plug(std::unique_ptr<NetEndpoint> made) {
    endpoint = std::move(made);
    endpoint->attach(*loop, client);
  }
  void plug(const std::string& options) {
    auto values = KeyValues::parse("-netdev", options, "type");
    REQUIRE(values);
    auto made = create_netdev(*values, {});
    INFO((made ? std::string() : made.error().message));
    REQUIRE(made);
    plug(std::move(*made));
  }
  void unplug() {
    if (endpoint) endpoint->detach();
    endpoint.reset();
  }
  bool send(const Bytes& frame, const VnetHeader& header = {}, unsigned pair = 0) {
    // In two pieces, as drivers do.
    const size_t head = std::min<size_t>(frame.size(), 20);
    auto* bytes = const_cast<uint8_t*>(frame.data());
    const iovec pieces[] = {{bytes, head}, {bytes + head, frame.size() - head}};
    const bool taken = endpoint->transmit(pair, header, {pieces, frame.size() > head ? 2u : 1u});
    endpoint->transmit_done(pair);
    return taken;
  }
  // Runs the loop until `condition` holds; a test that waits for what never comes ends by its
  // runner's timeout.
  template <class F>
  void until(F condition) {
    while (!condition()) loop->run_once(50'000'000);
  }
  // Lets everything happen that can without waiting.
  void settle() {
    for (int i = 0; i < 20; ++i) loop->run_once(1'000'000);
  }
};

inline std::string netdev_error(const std::string& options) {
  const auto values = KeyValues::parse("-netdev", options, "type");
  REQUIRE(values);
  const auto made = create_netdev(*values, {});
  REQUIRE_FALSE(made);
  return made.error().message;
}

// An Ethernet frame of `size` bytes whose content shows `seed`.
inline Bytes test_frame(size_t size, uint8_t seed = 1) {
  Bytes frame(size);
  for (size_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(seed + i * 7);
  const uint8_t head[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52,
                          0x54, 0,    0x12, 0x34, 0x56, 0x88, 0xb5};
  std::memcpy(frame.data(), head, sizeof head);
  return frame;
}

inline std::string scratch_path(const char* name) {
  return "/tmp/hv-net-" + std::to_string(getpid()) + "-" + name;
}

}  // namespace hv
