// virtio-net: the control queue, queue pairs and the link.
#include "net_rig.h"

namespace hv {

using namespace net_feature;

namespace {

constexpr uint64_t kAllControl =
    kCtrlVq | kCtrlRx | kCtrlRxExtra | kCtrlVlan | kCtrlMacAddr | kGuestAnnounce | kStatus;

struct ControlRig : NetRig {
  using NetRig::NetRig;
  unsigned index = 2;
  uint16_t done = 0;

  // The acknowledgement: 0 is right, 1 wrong.
  uint8_t command(uint8_t group, uint8_t number, const Bytes& data) {
    Bytes head{group, number};
    const uint64_t at = place(head), more = place(data), ack = place(Bytes(1, 0x77));
    GuestQueue& queue = *queues[index];
    const auto size = static_cast<uint32_t>(data.size());
    if (size > 0)
      queue.set_chain(0, {{at, 2, false}, {more, size, false}, {ack, 1, true}});
    else
      queue.set_chain(0, {{at, 2, false}, {ack, 1, true}});
    queue.submit(0);
    kick(index);
    ++done;
    wait([&] { return queue.used_idx() == done; });
    CHECK(queue.used_entry(static_cast<uint16_t>(done - 1)).length == 1);
    return memory->host(ack, 1)[0];
  }
  // Whether a frame to that address reaches the driver.
  bool takes(const Bytes& address) {
    Bytes frame = pattern(60);
    std::copy(address.begin(), address.end(), frame.begin());
    const uint16_t before = rx().used_idx();
    offer(200, static_cast<uint16_t>(before % kSize));
    CHECK(deliver(frame));
    const bool taken = rx().used_idx() != before;
    if (!taken) CHECK(deliver(pattern(60)));  // uses the buffer up
    return taken;
  }
};

const Bytes kOther{0x52, 0x54, 0, 9, 9, 9}, kGroup{0x33, 0x33, 0, 0, 0, 1};

Bytes table(const std::vector<Bytes>& unicast, const std::vector<Bytes>& multicast) {
  Bytes bytes;
  for (const auto* part : {&unicast, &multicast}) {
    const auto count = static_cast<uint32_t>(part->size());
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(count >> 8 * i));
    for (const Bytes& mac : *part) bytes.insert(bytes.end(), mac.begin(), mac.end());
  }
  return bytes;
}

}  // namespace

TEST_CASE("virtio-net control: modes, addresses and VLANs are checked and take effect") {
  ControlRig rig;
  rig.run(kAllControl);
  CHECK(rig.takes(kOther));  // promiscuous at first
  CHECK(rig.command(0, 0, {0}) == 0);
  CHECK_FALSE(rig.takes(kOther));
  CHECK_FALSE(rig.takes(kGroup));
  CHECK(rig.command(0, 1, {1}) == 0);
  CHECK(rig.takes(kGroup));
  CHECK(rig.command(0, 1, {0}) == 0);
  CHECK(rig.command(1, 0, table({kOther}, {kGroup})) == 0);
  CHECK(rig.takes(kOther));
  CHECK(rig.takes(kGroup));
  CHECK(rig.command(1, 0, table({}, std::vector<Bytes>(65, kOther))) == 0);  // too many: all
  CHECK_FALSE(rig.takes(kOther));
  CHECK(rig.takes(kGroup));
  CHECK(rig.command(1, 1, kOther) == 0);
  CHECK(rig.takes(kOther));
  CHECK(rig.read(VirtioRig::kConfig + 3, 1) == 9);
  CHECK(rig.command(2, 0, {5, 0}) == 0);
  CHECK(rig.command(2, 1, {5, 0}) == 0);
  // Wrong in length, number, range or group.
  for (const auto& [group, number, data] : std::vector<std::tuple<uint8_t, uint8_t, Bytes>>{
           {0, 0, {}},
           {0, 0, {1, 1}},
           {0, 6, {1}},
           {1, 0, {}},
           {1, 0, {1, 0, 0, 0}},
           {1, 0, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
           {1, 0, {0, 0, 0, 0, 0, 0, 0, 0, 1}},
           {1, 0, {0, 0, 0, 0}},
           {1, 1, {1, 2, 3, 4, 5}},
           {1, 2, kOther},
           {2, 0, {0, 0x10}},
           {2, 0, {1}},
           {2, 2, {1, 0}},
           {3, 0, {1}},
           {3, 1, {}},
           {4, 0, {1, 0}},
           {5, 0, Bytes(8)},
           {6, 0, {}},
           {255, 255, {}}}) {
    INFO(int{group} << " " << int{number} << " " << data.size());
    CHECK(rig.command(group, number, data) == 1);
  }
  // All is as at first for the next driver.
  rig.write(VirtioRig::kStatus, 0);
  CHECK(rig.read(VirtioRig::kConfig + 3, 1) == 0x12);
  rig.done = 0;
  rig.run(kAllControl);
  CHECK(rig.takes(Bytes{2, 2, 2, 2, 2, 2}));
}

TEST_CASE("virtio-net control: what was not agreed on is refused") {
  ControlRig rig("", all_offloads());
  rig.run(kCtrlVq);
  CHECK(rig.command(0, 0, {0}) == 1);
  CHECK(rig.command(0, 2, {0}) == 1);
  CHECK(rig.command(1, 0, table({}, {})) == 1);
  CHECK(rig.command(1, 1, kOther) == 1);
  CHECK(rig.command(2, 0, {5, 0}) == 1);
  CHECK(rig.command(3, 0, {}) == 1);
  CHECK(rig.command(5, 0, Bytes(8)) == 1);
}

TEST_CASE("virtio-net control: guest offloads are switched within what was agreed on") {
  ControlRig rig("", all_offloads());
  rig.run(kCtrlVq | kCtrlGuestOffloads | kGuestCsum | kGuestTso4);
  const auto set = [&](uint64_t bits) {
    Bytes data(8);
    std::memcpy(data.data(), &bits, 8);
    return rig.command(5, 0, data);
  };
  CHECK(set(kGuestCsum) == 0);
  rig.on_loop([&] { CHECK(rig.endpoint->offloads == NetOffloads{.checksum = true}); });
  CHECK(set(kGuestCsum | kGuestTso4) == 0);
  rig.on_loop(
      [&] { CHECK(rig.endpoint->offloads == NetOffloads{.checksum = true, .tso4 = true}); });
  CHECK(set(kGuestTso6) == 1);
  CHECK(set(1ull << 63) == 1);
}

TEST_CASE("virtio-net control: a command without header or acknowledgement needs a reset") {
  for (const auto& [readable, writable] : {std::pair{1u, 1u}, {0u, 1u}, {4u, 0u}}) {
    ControlRig rig;
    rig.run(kAllControl);
    std::vector<GuestQueue::Buffer> buffers;
    if (readable) buffers.push_back({NetRig::kData, readable, false});
    if (writable) buffers.push_back({NetRig::kData + 64, writable, true});
    rig.control().set_chain(0, buffers);
    rig.control().submit(0);
    rig.kick(2);
    rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
  }
}

TEST_CASE("virtio-net control: queue pairs are used when the driver says so") {
  ControlRig rig(",mq=on", all_offloads(3));
  rig.index = 6;
  rig.run(kCtrlVq | kMq);
  CHECK(rig.endpoint->active == 1);
  rig.send(pattern(60), {}, 0, 2);
  rig.offer(200, 0, 1);
  CHECK(rig.deliver(pattern(60), {}, 1));  // to a pair that is not in use: dropped
  rig.settle();
  CHECK(rig.tx(2).used_idx() == 0);
  for (const Bytes& wrong : {Bytes{0, 0}, Bytes{4, 0}, Bytes{0xff, 0xff}, Bytes{1}, Bytes{1, 0, 0}})
    CHECK(rig.command(4, 0, wrong) == 1);
  CHECK(rig.command(4, 0, {3, 0}) == 0);
  rig.wait([&] { return rig.tx(2).used_idx() == 1; });
  rig.on_loop([&] {
    CHECK(rig.endpoint->active == 3);
    REQUIRE(rig.endpoint->sent.size() == 1);
    CHECK(rig.endpoint->sent[0].pair == 2);
  });
  CHECK(rig.rx(1).used_idx() == 0);
  CHECK(rig.deliver(pattern(60), {}, 1));
  CHECK(rig.rx(1).used_idx() == 1);
  CHECK(rig.command(4, 0, {1, 0}) == 0);
  CHECK(rig.endpoint->active == 1);
}

TEST_CASE("virtio-net control: without MQ its queue is the third, however many pairs there are") {
  ControlRig rig(",mq=on", all_offloads(3));
  rig.run(kCtrlVq | kCtrlRx, 3);
  CHECK(rig.command(0, 0, {0}) == 0);
  CHECK(rig.command(4, 0, {1, 0}) == 1);
}

TEST_CASE("virtio-net: the link goes down and up, and the driver is asked to announce itself") {
  ControlRig rig;
  rig.run(kAllControl);
  const auto link = [&](bool up) {
    rig.on_loop([&] {
      rig.endpoint->up = up;
      rig.endpoint->client->link_changed();
    });
  };
  const uint32_t before = rig.read(VirtioRig::kConfigGeneration);
  link(false);
  CHECK(rig.read(VirtioRig::kConfig + 6, 2) == 0);
  CHECK(rig.read(VirtioRig::kConfigGeneration) != before);
  CHECK((rig.read(VirtioRig::kInterruptStatus) & 2) == 2);
  link(true);
  CHECK(rig.read(VirtioRig::kConfig + 6, 2) == (kLinkUp | kAnnounce));
  CHECK(rig.command(3, 0, {}) == 0);
  CHECK(rig.read(VirtioRig::kConfig + 6, 2) == kLinkUp);
}

TEST_CASE("virtio-net control: a reset while commands run leaves nothing of them") {
  ControlRig rig("", all_offloads());
  rig.run(kAllControl | kCtrlGuestOffloads | kGuestCsum);
  // The first command is held up until the reset is there; the second comes after it.
  std::atomic<bool> entered{false}, goes_on{false};
  rig.on_loop([&] {
    rig.endpoint->on_offloads = [&] {
      if (entered.exchange(true)) return;
      while (!goes_on) std::this_thread::yield();
    };
  });
  const uint64_t offloads = rig.place({5, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  Bytes address{1, 1};
  address.insert(address.end(), kOther.begin(), kOther.end());
  const uint64_t mac = rig.place(address), acks = rig.place(Bytes(2));
  rig.control().set_chain(0, {{offloads, 10, false}, {acks, 1, true}});
  rig.control().set_chain(2, {{mac, 8, false}, {acks + 1, 1, true}});
  rig.control().submit(0);
  rig.control().submit(2);
  rig.kick(2);
  rig.wait([&] { return entered.load(); });
  std::thread hart([&] { rig.write(VirtioRig::kStatus, 0); });
  rig.wait([&] { return rig.read(VirtioRig::kStatus) == 64; });  // it waits for the device
  goes_on = true;
  hart.join();
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  CHECK(rig.read(VirtioRig::kConfig + 3, 1) == 0x12);
}

}  // namespace hv
