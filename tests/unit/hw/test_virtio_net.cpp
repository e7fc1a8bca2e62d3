// virtio-net: frames both ways, and drivers that break the rules.
#include <unistd.h>

#include <filesystem>

#include "net/loopback_endpoint.h"
#include "net_rig.h"

namespace hv {

using namespace net_feature;

TEST_CASE("virtio-net: features follow properties and the endpoint") {
  const uint64_t offloads = kCsum | kHostTso4 | kHostTso6 | kHostEcn | kGuestCsum | kGuestTso4 |
                            kGuestTso6 | kGuestEcn | kCtrlGuestOffloads;
  const uint64_t always = kMac | kMrgRxbuf | kStatus | kCtrlVq | kCtrlRx | kCtrlVlan |
                          kCtrlRxExtra | kGuestAnnounce | kCtrlMacAddr | VirtioRig::kVersion1 |
                          kVirtioRingEventIdx | kVirtioRingIndirectDesc;
  CHECK(NetRig().device_features() == always);
  CHECK(NetRig("", all_offloads()).device_features() == (always | offloads));
  CHECK(NetRig(",csum=off,guest_csum=off", all_offloads()).device_features() == always);
  CHECK(NetRig(",host_mtu=1400,mq=on", all_offloads(2)).device_features() ==
        (always | offloads | kMtu | kMq));
  CHECK(NetRig(",ctrl_vq=off").device_features() ==
        (always & ~(kCtrlVq | kCtrlRx | kCtrlVlan | kCtrlRxExtra | kGuestAnnounce | kCtrlMacAddr)));
}

TEST_CASE("virtio-net: the configuration space") {
  NetRig rig(",mac=52:54:00:aa:bb:cc,host_mtu=1400,mq=on,rx_queue_size=128", all_offloads(3));
  const uint8_t mac[] = {0x52, 0x54, 0, 0xaa, 0xbb, 0xcc};
  for (unsigned i = 0; i < 6; ++i) CHECK(rig.read(VirtioRig::kConfig + i, 1) == mac[i]);
  CHECK(rig.read(VirtioRig::kConfig + 6, 2) == kLinkUp);
  CHECK(rig.read(VirtioRig::kConfig + 8, 2) == 3);
  CHECK(rig.read(VirtioRig::kConfig + 10, 2) == 1400);
  CHECK(rig.read(VirtioRig::kConfig + 12, 4) == 0);
  CHECK(rig.read(VirtioRig::kDeviceId) == 1);
  for (const auto& [queue, size] :
       {std::pair{0u, 128u}, {1u, 256u}, {5u, 256u}, {6u, 64u}, {7u, 0u}}) {
    rig.write(VirtioRig::kQueueSel, queue);
    CHECK(rig.read(VirtioRig::kQueueNumMax) == size);
  }
}

TEST_CASE("virtio-net: bad properties are named") {
  VirtioRig rig;
  const auto error = [&](const std::string& options) {
    const auto created = rig.create("virtio-net-device" + options);
    REQUIRE_FALSE(created);
    return created.error().message;
  };
  CHECK(error(",netdev=x").find("'x' is unknown") != std::string::npos);
  CHECK(error(",mac=1").find("mac=1 is not an address") != std::string::npos);
  CHECK(error(",mac=01:00:00:00:00:00").find("multicast") != std::string::npos);
  CHECK(error(",rx_queue_size=100").find("power of two") != std::string::npos);
  CHECK(error(",host_mtu=60").find("host_mtu=60") != std::string::npos);
}

TEST_CASE("virtio-net: frames leave without their header, in order") {
  NetRig rig("", all_offloads());
  rig.run(kCsum | kHostTso4);
  for (uint16_t i = 0; i < 8; ++i)
    rig.send(pattern(60 + i, static_cast<uint8_t>(i)), {.flags = 1, .gso_size = i},
             static_cast<uint16_t>(2 * i));
  rig.wait([&] { return rig.tx().used_idx() == 8; });
  rig.on_loop([&] {
    REQUIRE(rig.endpoint->sent.size() == 8);
    for (uint16_t i = 0; i < 8; ++i) {
      CHECK(rig.endpoint->sent[i].bytes == pattern(60 + i, static_cast<uint8_t>(i)));
      CHECK(rig.endpoint->sent[i].header.gso_size == i);
      CHECK(rig.tx().used_entry(i).length == 0);
    }
  });
  CHECK(rig.line.level);
}

TEST_CASE("virtio-net: a header means nothing when no offload was agreed on") {
  NetRig rig("", all_offloads());
  rig.run(0);
  rig.send(pattern(60), {.flags = 1, .gso_type = 1, .gso_size = 9});
  rig.wait([&] { return rig.tx().used_idx() == 1; });
  rig.on_loop([&] {
    CHECK(rig.endpoint->sent[0].header.flags == 0);
    CHECK(rig.endpoint->sent[0].header.gso_type == 0);
  });
}

TEST_CASE("virtio-net: frames wait in the ring while the host has no room") {
  NetRig rig;
  rig.on_loop([&] { rig.endpoint->room = 3; });
  rig.run(0);
  for (uint16_t i = 0; i < 10; ++i) rig.send(pattern(60 + i), {}, static_cast<uint16_t>(2 * i));
  rig.wait([&] { return rig.tx().used_idx() == 3; });
  rig.settle();
  CHECK(rig.tx().used_idx() == 3);
  rig.on_loop([&] {
    rig.endpoint->room = 4;
    rig.endpoint->client->transmit_ready(0);
  });
  rig.wait([&] { return rig.tx().used_idx() == 7; });
  rig.on_loop([&] {
    rig.endpoint->room = SIZE_MAX;
    rig.endpoint->client->transmit_ready(0);
  });
  rig.wait([&] { return rig.tx().used_idx() == 10; });
  rig.on_loop([&] {
    for (uint16_t i = 0; i < 10; ++i) CHECK(rig.endpoint->sent[i].bytes == pattern(60u + i));
  });
}

TEST_CASE("virtio-net: a reset while frames wait drops them; the next driver begins anew") {
  const auto dump = std::filesystem::temp_directory_path() / fmt::format("hv-dump-{}", getpid());
  NetRig rig("", {}, dump);
  rig.on_loop([&] { rig.endpoint->room = 0; });
  rig.run(0);
  rig.offer(2000, 0);
  for (uint16_t i = 0; i < 4; ++i) rig.send(pattern(60), {}, static_cast<uint16_t>(2 * i));
  rig.settle();
  rig.write(VirtioRig::kStatus, 0);
  CHECK(rig.read(VirtioRig::kStatus) == 0);
  CHECK_FALSE(rig.deliver(pattern(60)));  // waits for the next driver
  rig.on_loop([&] {
    rig.endpoint->room = SIZE_MAX;
    rig.endpoint->client->transmit_ready(0);
    CHECK(rig.endpoint->sent.empty());
  });
  rig.run(0);
  CHECK(rig.endpoint->ready == 1);
  rig.send(pattern(99));
  rig.wait([&] { return rig.tx().used_idx() == 1; });
  rig.on_loop([&] {
    REQUIRE(rig.endpoint->sent.size() == 1);
    CHECK(rig.endpoint->sent[0].bytes == pattern(99));
  });
  // filter-dump has the frame that waited and the next driver's, each behind 16 bytes.
  CHECK(std::filesystem::file_size(dump) == 24 + (16 + 60) + (16 + 99));
  std::filesystem::remove(dump);
}

TEST_CASE("virtio-net: frames to the guest lie behind a header in one buffer") {
  NetRig rig("", all_offloads());
  rig.run(kGuestCsum | kGuestTso4);
  CHECK(rig.endpoint->offloads == NetOffloads{.checksum = true, .tso4 = true});
  const uint64_t at = rig.offer(2000, 0);
  CHECK(rig.deliver(pattern(100), {.flags = 2, .gso_size = 77}));
  rig.wait([&] { return rig.rx().used_idx() == 1; });
  CHECK(rig.rx().used_entry(0).length == 112);
  CHECK(rig.fetch(at + 12, 100) == pattern(100));
  CHECK(rig.memory->host(at, 12)[0] == 2);
  CHECK(rig.rx().get<uint16_t>(at + 4) == 77);
  CHECK(rig.rx().get<uint16_t>(at + 10) == 1);
  CHECK(rig.fetch(at + 112, 4) == Bytes(4, 0xee));
  // One that does not fit is dropped, and its buffer serves the next.
  const uint64_t second = rig.offer(200, 1);
  CHECK(rig.deliver(pattern(500)));
  CHECK(rig.deliver(pattern(188)));
  rig.wait([&] { return rig.rx().used_idx() == 2; });
  CHECK(rig.fetch(second + 12, 188) == pattern(188));
}

TEST_CASE("virtio-net: mergeable buffers take a frame together") {
  NetRig rig;
  rig.run(kMrgRxbuf);
  uint64_t at[12];
  for (uint16_t i = 0; i < 12; ++i) at[i] = rig.offer(100, i);
  CHECK(rig.deliver(pattern(340)));
  rig.wait([&] { return rig.rx().used_idx() == 4; });
  CHECK(rig.rx().get<uint16_t>(at[0] + 10) == 4);
  Bytes got = rig.fetch(at[0] + 12, 88);
  for (int i = 1; i < 4; ++i) {
    const auto length = rig.rx().used_entry(static_cast<uint16_t>(i)).length;
    CHECK(length == (i < 3 ? 100u : 52u));
    const Bytes part = rig.fetch(at[i], length);
    got.insert(got.end(), part.begin(), part.end());
  }
  CHECK(got == pattern(340));
  // Straight into the buffers, as a tap does.
  rig.on_loop([&] {
    const auto space = rig.endpoint->client->receive_space(0);
    REQUIRE(frame_length(space) == 788);
    const Bytes frame = pattern(150, 9);
    size_t done = 0;
    for (const iovec& piece : space) {
      const size_t part = std::min(piece.iov_len, frame.size() - done);
      std::memcpy(piece.iov_base, frame.data() + done, part);
      done += part;
    }
    rig.endpoint->client->received(0, {}, frame.size());
    rig.endpoint->client->receive_done(0);
  });
  CHECK(rig.rx().used_idx() == 6);
  Bytes front = pattern(150, 9);
  front.resize(88);
  CHECK(rig.fetch(at[4] + 12, 88) == front);
  // More than all that are left: it waits, the rest of the ring with it, until there are enough.
  CHECK_FALSE(rig.deliver(pattern(700)));
  for (uint16_t i = 12; i < 16; ++i) rig.offer(100, i);
  rig.kick(0);
  rig.wait([&] { return rig.endpoint->ready == 1; });
  CHECK(rig.deliver(pattern(700)));
  CHECK(rig.rx().used_idx() == 14);
  // More than the whole ring could hold is dropped.
  for (uint16_t i = 16; i < 16 + 62; ++i) rig.offer(100, i % NetRig::kSize);
  CHECK(rig.deliver(pattern(6500)));
  CHECK(rig.rx().used_idx() == 14);
  CHECK(rig.deliver(pattern(60)));
}

TEST_CASE("virtio-net: the driver is asked for buffers only when a frame waits for one") {
  for (const uint64_t features : {uint64_t{0}, kVirtioRingEventIdx}) {
    NetRig rig;
    rig.run(features);
    CHECK_FALSE(rig.deliver(pattern(60)));
    rig.settle();
    // Not while the loop looks at the ring by itself.
    rig.wait([&] {
      bool asks = false;
      rig.on_loop(
          [&] { asks = features ? rig.rx().avail_event() == 0 : rig.rx().used_flags() == 0; });
      return asks;
    });
    rig.offer(200, 0);
    rig.kick(0);
    rig.wait([&] { return rig.endpoint->ready == 1; });
    CHECK(rig.deliver(pattern(60)));
    CHECK(rig.rx().used_idx() == 1);
  }
}

TEST_CASE("virtio-net: a burst is one interrupt") {
  NetRig rig;
  rig.run(0);
  for (uint16_t i = 0; i < 10; ++i) rig.offer(200, i);
  const unsigned before = rig.line.rises;
  rig.on_loop([&] {
    for (int i = 0; i < 10; ++i) {
      const Bytes frame = pattern(60);
      const iovec piece{const_cast<uint8_t*>(frame.data()), frame.size()};
      CHECK(rig.endpoint->client->receive(0, {}, {&piece, 1}));
    }
    CHECK(rig.rx().used_idx() == 0);
    rig.endpoint->client->receive_done(0);
  });
  CHECK(rig.rx().used_idx() == 10);
  CHECK(rig.line.rises == before + 1);
}

TEST_CASE("virtio-net: a pause takes no frame either way, and none is lost") {
  NetRig rig;
  rig.run(0);
  for (uint16_t i = 0; i < 4; ++i) rig.offer(200, i);
  rig.slot.quiesce();
  CHECK_FALSE(rig.deliver(pattern(60)));
  rig.send(pattern(60));
  rig.settle();
  CHECK(rig.tx().used_idx() == 0);
  rig.slot.resume();
  rig.wait([&] { return rig.tx().used_idx() == 1 && rig.endpoint->ready == 1; });
  CHECK(rig.deliver(pattern(60)));
}

TEST_CASE("virtio-net: an endpoint that has a frame for a pair not in use gets no room") {
  NetRig rig(",mq=on", all_offloads(2));
  // Without MQ the second pair's first queue is the control queue.
  rig.run(kCtrlVq | kCtrlRx, 3);
  GuestQueue& control = *rig.queues[2];
  const uint64_t command = rig.place({0, 0, 1}), ack = rig.place(Bytes(200, 0x77));
  control.set_chain(0, {{command, 3, false}, {ack, 200, true}});
  control.submit(0);
  rig.on_loop([&] { CHECK(rig.endpoint->client->receive_space(1).empty()); });
  rig.kick(2);
  rig.settle();
  CHECK(control.used_idx() == 1);
  CHECK(rig.fetch(ack, 2) == Bytes{0, 0x77});
}

TEST_CASE("virtio-net: frames of the most buffers that a chain may have") {
  NetRig rig;
  rig.run(kMrgRxbuf | kVirtioRingIndirectDesc);
  // One byte each: the header takes the first 12 away.
  const uint64_t table = NetRig::kData + 0x100000;
  const Bytes frame = pattern(VirtQueue::kMaxChain - NetRig::kHeader);
  Bytes bytes(NetRig::kHeader);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  const uint64_t out = rig.place(bytes);
  const auto fill = [&](uint64_t at, uint64_t data, uint16_t flags) {
    for (uint16_t i = 0; i < VirtQueue::kMaxChain; ++i) {
      const bool last = i + 1 == VirtQueue::kMaxChain;
      rig.tx().set_desc_at(at + 16u * i, data + i, 1,
                           static_cast<uint16_t>(flags | (last ? 0 : GuestQueue::kNext)),
                           static_cast<uint16_t>(i + 1));
    }
  };
  fill(table, out, 0);
  rig.tx().set_desc(0, table, 16 * VirtQueue::kMaxChain, GuestQueue::kIndirect);
  rig.tx().submit(0);
  rig.kick(1);
  rig.wait([&] { return rig.tx().used_idx() == 1; });
  rig.on_loop([&] {
    REQUIRE(rig.endpoint->sent.size() == 1);
    CHECK(rig.endpoint->sent[0].bytes == frame);
  });
  const uint64_t in = rig.place(Bytes(VirtQueue::kMaxChain));
  fill(table + 0x8000, in, GuestQueue::kWrite);
  rig.rx().set_desc(0, table + 0x8000, 16 * VirtQueue::kMaxChain, GuestQueue::kIndirect);
  rig.rx().submit(0);
  CHECK(rig.deliver(frame));
  CHECK(rig.rx().used_idx() == 1);
  CHECK(rig.fetch(in + NetRig::kHeader, frame.size()) == frame);
}

TEST_CASE("virtio-net: mergeable buffers with room for little more than a header") {
  NetRig rig;
  rig.run(kMrgRxbuf);
  uint64_t at[NetRig::kSize];
  for (uint16_t i = 0; i < NetRig::kSize; ++i) at[i] = rig.offer(12, i);
  rig.on_loop([&] { CHECK(frame_length(rig.endpoint->client->receive_space(0)) == 63 * 12); });
  CHECK(rig.deliver(pattern(63 * 12 + 1)));  // more than the whole ring has: dropped
  CHECK(rig.rx().used_idx() == 0);
  CHECK(rig.deliver(pattern(63 * 12)));
  CHECK(rig.rx().used_idx() == 64);
  CHECK(rig.rx().get<uint16_t>(at[0] + 10) == 64);
  Bytes got;
  for (unsigned i = 1; i < NetRig::kSize; ++i) {
    const Bytes part = rig.fetch(at[i], 12);
    got.insert(got.end(), part.begin(), part.end());
  }
  CHECK(got == pattern(63 * 12));
}

TEST_CASE("virtio-net: drivers that break the rules need a reset") {
  const auto broken = [](NetRig& rig) {
    rig.wait([&] { return rig.read(VirtioRig::kStatus) == (15 | 64); });
    CHECK(rig.deliver(pattern(60)) == rig.deliver(pattern(60)));  // no crash
    rig.run(0);
    rig.send(pattern(60));
    rig.wait([&] { return rig.tx().used_idx() == 1; });
  };
  SECTION("a frame to send that is shorter than its header") {
    NetRig rig;
    rig.run(0);
    rig.tx().set_desc(0, NetRig::kData, 11);
    rig.tx().submit(0);
    rig.kick(1);
    broken(rig);
  }
  SECTION("a frame to send with only writable buffers") {
    NetRig rig;
    rig.run(0);
    rig.tx().set_desc(0, NetRig::kData, 100, GuestQueue::kWrite);
    rig.tx().submit(0);
    rig.kick(1);
    broken(rig);
  }
  SECTION("a receive buffer shorter than the header") {
    NetRig rig;
    rig.run(0);
    rig.offer(8, 0);
    rig.deliver(pattern(60));
    broken(rig);
  }
  SECTION("a receive buffer that is not writable") {
    NetRig rig;
    rig.run(kMrgRxbuf);
    rig.rx().set_desc(0, NetRig::kData, 2000);
    rig.rx().submit(0);
    rig.deliver(pattern(60));
    broken(rig);
  }
  SECTION("a receive buffer outside RAM") {
    NetRig rig;
    rig.run(0);
    rig.rx().set_desc(0, 0x1000, 2000, GuestQueue::kWrite);
    rig.rx().submit(0);
    rig.deliver(pattern(60));
    broken(rig);
  }
  SECTION("a chain that loops") {
    NetRig rig;
    rig.run(0);
    rig.tx().set_desc(0, NetRig::kData, 100, GuestQueue::kNext, 0);
    rig.tx().submit(0);
    rig.kick(1);
    broken(rig);
  }
}

TEST_CASE("virtio-net: frames too short or too long to be any are dropped") {
  NetRig rig;
  rig.run(0);
  rig.send({}, {}, 0);
  rig.send(pattern(13), {}, 2);
  // 60 buffers of 4 KiB: longer than any frame.
  std::vector<GuestQueue::Buffer> huge{{NetRig::kData, 12, false}};
  for (int i = 0; i < 50; ++i) huge.push_back({NetRig::kData, 4096, false});
  rig.tx().set_chain(10, huge);
  rig.tx().submit(10);
  rig.send(pattern(60), {}, 4);
  rig.wait([&] { return rig.tx().used_idx() == 4; });
  rig.on_loop([&] {
    REQUIRE(rig.endpoint->sent.size() == 1);
    CHECK(rig.endpoint->sent[0].bytes == pattern(60));
  });
}

TEST_CASE("virtio-net: many frames through a loopback, with a driver that is slow") {
  VirtioRig rig;
  rig.backends.netdevs["n"] = std::make_unique<LoopbackEndpoint>();
  rig.plug("virtio-net-device,netdev=n");
  GuestQueue rx(*rig.memory, NetRig::kRings, 64), tx(*rig.memory, NetRig::kRings + 0xc000, 64);
  rig.start({&rx, &tx}, VirtioRig::kVersion1 | kVirtioRingEventIdx);
  constexpr unsigned kFrames = 2000;
  const uint64_t out = NetRig::kData, in = NetRig::kData + 0x100000;
  unsigned sent = 0, got = 0;
  uint16_t offered = 0;
  while (got < kFrames) {
    while (sent < kFrames && static_cast<uint16_t>(sent - tx.used_idx()) < 48) {
      const auto slot = static_cast<uint16_t>(sent % 64);
      const uint64_t at = out + slot * 2048u;
      Bytes frame(12 + 60);
      std::memcpy(&frame[12], pattern(60).data(), 60);
      std::memcpy(&frame[40], &sent, sizeof sent);
      REQUIRE(rig.memory->write(at, frame.data(), frame.size()));
      tx.set_desc(slot, at, static_cast<uint32_t>(frame.size()));
      tx.submit(slot);
      rig.kick(1);
      ++sent;
    }
    // At times only a few buffers, so that frames wait on both sides.
    while (static_cast<uint16_t>(offered - got) < 1 + got % 40) {
      const auto slot = static_cast<uint16_t>(offered % 64);
      rx.set_desc(slot, in + slot * 2048u, 2048, GuestQueue::kWrite);
      rx.submit(slot);
      rig.kick(0);
      ++offered;
    }
    for (; static_cast<uint16_t>(got) != rx.used_idx(); ++got) {
      const auto entry = rx.used_entry(static_cast<uint16_t>(got));
      REQUIRE(entry.length == 72);
      REQUIRE(rx.get<unsigned>(in + entry.id * 2048u + 40) == got);
    }
  }
}

}  // namespace hv
