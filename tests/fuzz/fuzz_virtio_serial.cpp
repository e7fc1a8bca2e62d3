// A driver of virtio-serial that does anything, with peers that come, go, talk and take little.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "fuzz_input.h"
#include "hw/device_registry.h"
#include "hw/virtio/transport_mmio.h"
#include "io/mmio_map.h"

namespace {

using namespace hv;

constexpr uint64_t kRam = 0x8000'0000;
constexpr uint64_t kRamSize = 256 << 10;
constexpr uint64_t kWindow = 0x1000'1000;
constexpr unsigned kQueues = 6;  // port 0, control, port 1

// A peer that takes what the script gives it room for, and checks what it is handed.
class ScriptedPeer final : public CharBackend {
 public:
  void set_frontend(CharFrontend* frontend) override { frontend_ = frontend; }
  size_t write(std::span<const uint8_t> bytes) override {
    for (const uint8_t byte : bytes) sum_ += byte;
    const size_t taken = std::min(bytes.size(), room_);
    room_ -= taken;
    return taken;
  }
  size_t output_room() const override { return room_; }
  void accept_input() override {}
  void drain(int) override {}

  void act(FuzzInput& input) {
    if (!frontend_) return;
    switch (input.take<uint8_t>() % 5) {
      case 0:
        return frontend_->opened();
      case 1:
        return frontend_->closed();
      case 2:
        return frontend_->resized({input.take<uint8_t>(), input.take<uint8_t>()});
      case 3: {
        const size_t room = frontend_->can_receive();
        const std::vector<uint8_t> bytes(std::min<size_t>(room, input.take<uint16_t>()), 'h');
        if (!bytes.empty()) frontend_->receive(bytes);
        return;
      }
      case 4:
        room_ = input.take<uint16_t>();
        return frontend_->output_ready();
    }
  }

 private:
  CharFrontend* frontend_ = nullptr;
  size_t room_ = 0;
  unsigned sum_ = 0;
};

struct FuzzBackends final : Backends {
  explicit FuzzBackends(EventLoop& loop) : loop(loop) {}
  Result<std::unique_ptr<Disk>> claim_drive(const std::string&) override { return fail("none"); }
  Result<CharBackend*> claim_chardev(const std::string& id) override {
    return &peers[id == "0" ? 0 : 1];
  }
  Result<EventLoop*> io_loop(const std::string&) override { return &loop; }
  Result<std::string> rng_source(const std::string&) override { return std::string(); }
  EventLoop& loop;
  ScriptedPeer peers[2];
};

// Six queues of 16 entries, 4 KiB each; buffers behind them.
struct Driver {
  MmioMap& map;
  GuestMemory& memory;
  uint16_t avail[kQueues] = {};

  void write(uint64_t offset, uint64_t value, unsigned width = 4) {
    map.write(kWindow + offset, width, value);
  }
  static uint64_t rings(unsigned queue) { return kRam + queue * 0x1000u; }
  void start(uint8_t choice) {
    write(0x70, 0);
    write(0x70, 3);
    write(0x24, 1);
    write(0x20, 1);  // VERSION_1
    write(0x24, 0);
    write(0x20, 1u << 28 | (choice & 1u) << 29 | (choice & 2u));
    write(0x70, 11);
    for (unsigned queue = 0; queue < kQueues; ++queue) {
      const uint64_t nothing[2] = {};
      memory.write(rings(queue) + 0x400, nothing, 4);
      memory.write(rings(queue) + 0x800, nothing, 4);
      avail[queue] = 0;
      write(0x30, queue);
      write(0x38, 16);
      write(0x80, rings(queue));
      write(0x90, rings(queue) + 0x400);
      write(0xa0, rings(queue) + 0x800);
      write(0x44, 1);
    }
    write(0x70, 15);
  }
  void submit(unsigned queue, uint64_t address, uint32_t length, uint16_t flags) {
    const uint16_t slot = avail[queue] % 16;
    const uint64_t descriptor[] = {address, length | uint64_t{flags} << 32};
    memory.write(rings(queue) + 16u * slot, descriptor, sizeof descriptor);
    memory.write(rings(queue) + 0x404 + 2u * slot, &slot, 2);
    ++avail[queue];
    memory.write(rings(queue) + 0x402, &avail[queue], 2);
    write(0x50, queue);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  auto memory = *GuestMemory::create(kRam, kRamSize);
  auto loop = *EventLoop::create("fuzz", WaitKind::kEpoll);
  FuzzBackends backends(*loop);
  MmioMap map;
  VirtioMmioTransport slot(0, IrqLine());
  VirtioMmioTransport* slots[] = {&slot};
  for (const char* text : {"virtio-serial-device,max_ports=3", "virtconsole,chardev=0",
                           "virtserialport,chardev=1,name=port"}) {
    if (!create_device({*memory, backends, slots}, *KeyValues::parse("-device", text, "driver")))
      std::abort();
  }
  if (!slot.map(map, kWindow)) std::abort();
  map.freeze();
  Driver driver{map, *memory};
  driver.start(input.take<uint8_t>());
  for (unsigned steps = 0; !input.empty() && steps < 200; ++steps) {
    switch (input.take<uint8_t>() % 6) {
      case 0: {  // any register or configuration byte
        const unsigned width = 1u << input.take<uint8_t>() % 3;
        const uint64_t offset = (input.take<uint16_t>() % 0x200) & ~(width - 1);
        driver.write(offset, input.take<uint32_t>(), width);
        uint64_t value;
        map.read(kWindow + offset, width, value);
        break;
      }
      case 1: {  // any bytes into RAM, rings included
        const uint64_t at = kRam + input.take<uint32_t>() % kRamSize;
        const auto bytes = input.bytes(input.take<uint8_t>());
        if (!bytes.empty()) memory->write(at, bytes.data(), bytes.size());
        break;
      }
      case 2: {  // a control message
        const uint32_t message[] = {input.take<uint8_t>() % 4u,
                                    input.take<uint8_t>() % 9u | (input.take<uint8_t>() % 3u)
                                                                     << 16};
        memory->write(kRam + 0x8000, message, sizeof message);
        driver.submit(3, kRam + 0x8000, 8, 0);
        break;
      }
      case 3: {  // a buffer for any queue
        const unsigned queue = input.take<uint8_t>() % kQueues;
        const uint16_t flags = input.take<uint8_t>() % 8 ? (queue % 2 ? 0 : 2) : 2;
        driver.submit(queue, kRam + 0x10000, input.take<uint16_t>(), flags);
        break;
      }
      case 4:
        backends.peers[input.take<uint8_t>() % 2].act(input);
        break;
      case 5:
        if (input.take<uint8_t>() % 2)
          driver.write(0x70, 0);
        else
          driver.start(input.take<uint8_t>());
        break;
    }
    for (unsigned round = 0; round < 4; ++round) loop->run_once(0);
  }
  return 0;
}
