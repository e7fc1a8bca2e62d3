#include <catch2/catch.hpp>

#include <algorithm>

#include "hw/virtio/virtio_serial.h"
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
  const auto disk = std::ranges::find(types, "virtio-blk-device", &DeviceTypeInfo::name);
  REQUIRE(disk != types.end());
  CHECK(std::ranges::count(disk->properties, "num-queues", &PropInfo::name) == 1);
}

// Numbers and places are what "info qtree" of QEMU 10.0 shows for the same options.
TEST_CASE("Ports sit on the bus they name, or on the first virtio-serial device") {
  auto thread = *IoThread::create("test-io");
  auto memory = *GuestMemory::create(0x8000'0000, 1 << 20);
  TestBackends backends(thread->loop());
  VirtioMmioTransport slot0(0, IrqLine()), slot1(1, IrqLine());
  std::vector<VirtioMmioTransport*> slots{&slot0, &slot1};
  const DeviceContext context{*memory, backends, slots};
  auto create = [&](const std::string& text) {
    return create_device(context, *KeyValues::parse("-device", text, "driver"));
  };
  using Catch::Contains;
  auto refused = [&](const std::string& text) {
    auto created = create(text);
    return created ? "taken" : created.error().message;
  };
  CHECK_THAT(refused("virtserialport"),
             Contains("-device virtserialport: there is no virtio-serial-bus"));
  REQUIRE(create("virtio-serial"));
  REQUIRE(create("virtio-serial,id=b,max_ports=4"));
  CHECK(create("virtserialport,name=x")->slot == "virtio-serial-bus.0");
  CHECK(create("virtconsole")->slot == "virtio-serial-bus.0");
  CHECK(create("virtserialport,name=y,bus=b.0")->slot == "b.0");
  CHECK(create("virtconsole")->slot == "virtio-serial-bus.0");
  auto number = [&](VirtioMmioTransport& slot, std::string_view name) {
    auto* device = dynamic_cast<VirtioSerialDevice*>(slot.device_bus());
    REQUIRE(device);
    for (const auto& port : device->ports())
      if (port && port->name() == name) return static_cast<int>(port->number());
    return -1;
  };
  CHECK(number(slot1, "x") == 1);
  CHECK(number(slot0, "y") == 1);
  CHECK_THAT(refused("virtserialport,name=y"), Contains("name=y: another port"));
  CHECK_THAT(refused("virtserialport,nr=1"), Contains("nr=1: virtio-serial-bus.0 has this port"));
  CHECK_THAT(refused("virtserialport,nr=0"), Contains("nr=0"));
  CHECK_THAT(refused("virtserialport,nr=31"), Contains("nr=31") && Contains("end at 30"));
  CHECK_THAT(refused("virtserialport,bus=c.0"), Contains("'c.0'") && Contains("b.0"));
  CHECK_THAT(refused("virtserialport,chardev=c"), Contains("chardev=c"));
  CHECK_THAT(refused("virtserialport,warp=1"), Contains("warp"));
  CHECK(create("virtserialport,bus=b.0"));
  CHECK(create("virtserialport,bus=b.0"));
  CHECK_THAT(refused("virtserialport,bus=b.0"), Contains("no free port") && Contains("4"));
  CHECK_THAT(*device_help("virtserialport"), Contains("ID.0"));
  CHECK_THAT(device_list_help(), Contains("name \"virtserialport\", bus virtio-serial-bus, desc"));
}
