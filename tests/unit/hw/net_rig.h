// A network card with a scripted endpoint behind it, and its driver's side.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "hw/virtio/net_features.h"
#include "net/filter_dump.h"
#include "net/frame.h"
#include "virtio_driver.h"

namespace hv {

using Bytes = std::vector<uint8_t>;

// Keeps what the guest sends while it has room. Everything in it is the loop's; tests go there by
// NetRig::on_loop().
struct ScriptedEndpoint final : NetEndpoint {
  struct Frame {
    unsigned pair;
    VnetHeader header;
    Bytes bytes;
  };
  Traits shape;
  NetClient* client = nullptr;
  size_t room = SIZE_MAX;
  std::deque<Frame> sent;
  std::atomic<unsigned> ready{0}, active{0};  // tests look at them from their thread
  NetOffloads offloads;
  std::function<void()> on_offloads;  // called before they are set
  bool up = true;

  explicit ScriptedEndpoint(const Traits& traits) : shape(traits) {}
  const Traits& traits() const override { return shape; }
  void attach(EventLoop&, NetClient& device) override { client = &device; }
  void detach() override { client = nullptr; }
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override {
    if (room == 0) return false;
    --room;
    sent.push_back({pair, header, gather_frame(frame)});
    return true;
  }
  void receive_ready(unsigned) override { ++ready; }
  void set_receive_offloads(const NetOffloads& wanted) override {
    if (on_offloads) on_offloads();
    offloads = wanted;
  }
  void set_active_pairs(unsigned count) override { active = count; }
  bool link_up() const override { return up; }
};

inline NetEndpoint::Traits all_offloads(unsigned pairs = 1) {
  const NetOffloads all{.checksum = true, .tso4 = true, .tso6 = true, .ecn = true};
  return {.pairs = pairs, .transmit = all, .receive = all};
}

struct NetRig : VirtioRig {
  static constexpr uint64_t kRings = kRam + 0x10000;
  static constexpr uint64_t kData = kRam + 0x200000;
  static constexpr uint16_t kSize = 64;
  static constexpr size_t kHeader = 12;

  ScriptedEndpoint* endpoint = nullptr;
  std::vector<std::unique_ptr<GuestQueue>> queues;
  uint64_t next_data = kData;

  explicit NetRig(const std::string& options = "", const NetEndpoint::Traits& traits = {},
                  const std::string& dump = "") {
    auto made = std::make_unique<ScriptedEndpoint>(traits);
    endpoint = made.get();
    auto& netdev = backends.netdevs["n"];
    netdev = std::move(made);
    if (!dump.empty()) netdev = std::move(*FilterDump::create({.file = dump}, std::move(netdev)));
    plug("virtio-net-device,netdev=n" + options);
    for (unsigned i = 0; i < 2 * traits.pairs + 1; ++i)
      queues.push_back(std::make_unique<GuestQueue>(*memory, kRings + i * 0xc000, kSize));
  }
  GuestQueue& rx(unsigned pair = 0) { return *queues[2 * pair]; }
  GuestQueue& tx(unsigned pair = 0) { return *queues[2 * pair + 1]; }
  GuestQueue& control() { return *queues.back(); }

  // With as many queues as the features make.
  void run(uint64_t features = 0, size_t count = 0) {
    next_data = kData;
    std::vector<GuestQueue*> all;
    for (auto& queue : queues) all.push_back(queue.get());
    all.resize(count ? count : (features & net_feature::kCtrlVq ? all.size() : all.size() - 1));
    VirtioRig::start(all, kVersion1 | features);
    settle();
  }
  template <class F>
  void on_loop(F f) {
    thread->loop().run_on_loop(f);
  }

  uint64_t place(const Bytes& bytes) {
    const uint64_t at = next_data;
    if (!bytes.empty()) REQUIRE(memory->write(at, bytes.data(), bytes.size()));
    next_data += (bytes.size() + 63) / 64 * 64;
    return at;
  }
  Bytes fetch(uint64_t at, size_t size) {
    Bytes bytes(size);
    REQUIRE(memory->read(at, bytes.data(), size));
    return bytes;
  }
  // A frame with its header, made available in descriptors head and head + 1.
  void send(const Bytes& frame, const VnetHeader& header = {}, uint16_t head = 0, unsigned pair = 0,
            bool kicks = true) {
    Bytes first(kHeader);
    std::memcpy(first.data(), &header, kHeader);
    const uint64_t at = place(first), data = place(frame);
    tx(pair).set_chain(head,
                       {{at, kHeader, false}, {data, static_cast<uint32_t>(frame.size()), false}});
    tx(pair).submit(head);
    if (kicks) kick(2 * pair + 1);
  }
  // A receive buffer of `size` bytes; where it lies.
  uint64_t offer(uint32_t size, uint16_t head, unsigned pair = 0) {
    const uint64_t at = place(Bytes(size, 0xee));
    rx(pair).set_desc(head, at, size, GuestQueue::kWrite);
    rx(pair).submit(head);
    return at;
  }
  // A frame from the host; false when there was no room.
  bool deliver(const Bytes& frame, const VnetHeader& header = {}, unsigned pair = 0) {
    bool taken = false;
    on_loop([&] {
      const iovec piece{const_cast<uint8_t*>(frame.data()), frame.size()};
      taken = endpoint->client->receive(pair, header, {&piece, 1});
      endpoint->client->receive_done(pair);
    });
    return taken;
  }
};

inline Bytes pattern(size_t size, uint8_t seed = 1) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(seed + i * 5);
  const uint8_t to[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  std::memcpy(bytes.data(), to, std::min(size, sizeof to));
  return bytes;
}

}  // namespace hv
