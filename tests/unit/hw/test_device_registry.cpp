#include <catch2/catch.hpp>

#include <algorithm>

#include "virtio_driver.h"

using namespace hv;

TEST_CASE("Devices take the last empty slot, or the one they name") {
  auto thread = *IoThread::create("test-io");
  auto memory = *GuestMemory::create(0x8000'0000, 1 << 20);
  TestBackends backends(thread->loop());
  std::vector<std::unique_ptr<VirtioMmioTransport>> owned;
  std::vector<VirtioMmioTransport*> slots;
  for (unsigned i = 0; i < 4; ++i)
    slots.push_back(owned.emplace_back(std::make_unique<VirtioMmioTransport>(i, IrqLine())).get());
  const DeviceContext context{*memory, backends, slots};
  auto create = [&](const std::string& text) {
    return create_device(context, *KeyValues::parse("-device", text, "driver"));
  };
  using Catch::Contains;
  auto first = create("virtio-rng-device,id=a");
  REQUIRE(first);
  CHECK(first->type == "virtio-rng-device");
  CHECK(first->id == "a");
  CHECK(first->slot == "virtio-mmio-bus.3");
  auto named = create("virtio-rng,bus=virtio-mmio-bus.2");
  REQUIRE(named);
  CHECK(named->type == "virtio-rng-device");
  CHECK(named->slot == "virtio-mmio-bus.2");
  CHECK_THAT(create("virtio-rng,bus=virtio-mmio-bus.2").error().message,
             Contains("virtio-mmio-bus.2"));
  CHECK_THAT(create("virtio-rng,bus=virtio-mmio-bus.4").error().message,
             Contains("virtio-mmio-bus.4"));
  CHECK(create("virtio-rng")->slot == "virtio-mmio-bus.1");
  CHECK(create("virtio-rng")->slot == "virtio-mmio-bus.0");
  CHECK_THAT(create("virtio-rng-device").error().message, Contains("virtio-rng-device"));
  CHECK_THAT(create("id=x").error().message, Contains("-device"));
}

TEST_CASE("Help lists every type and its properties") {
  using Catch::Contains;
  CHECK_THAT(device_list_help(), Contains("Storage devices:\nname \"virtio-blk-device\"") &&
                                     Contains("name \"virtio-rng-device\", bus virtio-bus"));
  auto help = device_help("virtio-blk");
  REQUIRE(help);
  CHECK_THAT(*help, Contains("virtio-blk-device options:\n") && Contains("\n  drive=<str>") &&
                        Contains("\n  queue-size=<uint16>") && Contains("(default: 256)"));
  CHECK_THAT(device_help("warp-drive").error().message, Contains("warp-drive"));
  const auto types = device_types();
  REQUIRE(types.size() == 2);
  CHECK(std::ranges::count(types[0].properties, "num-queues", &PropInfo::name) == 1);
}
