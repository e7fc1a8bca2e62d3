// A driver of virtio-net that does anything, and frames that come meanwhile.
#include <cstdlib>
#include <memory>

#include "fuzz_input.h"
#include "hw/device_registry.h"
#include "hw/virtio/transport_mmio.h"
#include "io/mmio_map.h"

namespace {

using namespace hv;

constexpr uint64_t kRam = 0x8000'0000;
constexpr uint64_t kRamSize = 64 << 10;
constexpr uint64_t kWindow = 0x1000'1000;

// Checks what it is given; has room, and frames, when the script says so.
class FuzzEndpoint final : public NetEndpoint {
 public:
  explicit FuzzEndpoint(GuestMemory& memory) : memory_(memory) {
    const NetOffloads all{.checksum = true, .tso4 = true, .tso6 = true, .ecn = true};
    traits_ = {.pairs = 2, .transmit = all, .receive = all};
  }
  const Traits& traits() const override { return traits_; }
  void attach(EventLoop&, NetClient& client) override { client_ = &client; }
  void detach() override { client_ = nullptr; }
  bool transmit(unsigned, const VnetHeader&, std::span<const iovec> frame) override {
    size_t sum = 0;
    for (const iovec& piece : frame) sum += check(piece);
    if (sum < kEthernetHeader || sum > kMaxFrame) std::abort();
    return room > 0 && room--;
  }
  void receive_ready(unsigned) override {}
  bool link_up() const override { return up; }

  void receive(unsigned pair, std::span<const uint8_t> bytes) {
    const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    client_->receive(pair, {}, {&piece, 1});
    client_->receive_done(pair);
  }
  void receive_in_place(unsigned pair, size_t length) {
    size_t space = 0;
    for (const iovec& piece : client_->receive_space(pair)) {
      space += check(piece);
      std::memset(piece.iov_base, 0xda, piece.iov_len);
    }
    if (space > 0 && length <= space) client_->received(pair, {}, length);
    client_->receive_done(pair);
  }
  void make_room(unsigned frames) {
    room = frames;
    for (unsigned pair = 0; pair < 2; ++pair) client_->transmit_ready(pair);
  }
  void flip_link() {
    up = !up;
    client_->link_changed();
  }

 private:
  size_t check(const iovec& piece) const {
    const auto at = static_cast<uint64_t>(static_cast<uint8_t*>(piece.iov_base) - memory_.data());
    if (piece.iov_len == 0 || !memory_.contains(kRam + at, piece.iov_len)) std::abort();
    return piece.iov_len;
  }
  GuestMemory& memory_;
  Traits traits_;
  NetClient* client_ = nullptr;
  unsigned room = 3;
  bool up = true;
};

struct FuzzBackends final : Backends {
  FuzzBackends(EventLoop& loop, GuestMemory& memory) : loop(loop), memory(memory) {}
  Result<std::unique_ptr<Disk>> claim_drive(const std::string&) override { return fail("none"); }
  Result<std::unique_ptr<NetEndpoint>> claim_netdev(const std::string&) override {
    auto made = std::make_unique<FuzzEndpoint>(memory);
    endpoint = made.get();
    return made;
  }
  Result<CharBackend*> claim_chardev(const std::string&) override { return fail("none"); }
  Result<EventLoop*> io_loop(const std::string&) override { return &loop; }
  Result<std::string> rng_source(const std::string&) override { return std::string(); }
  EventLoop& loop;
  GuestMemory& memory;
  FuzzEndpoint* endpoint = nullptr;
};

// The driver's part: five queues of 16 entries, each in 2 KiB from the start of RAM.
struct Driver {
  MmioMap& map;
  void write(uint64_t offset, uint64_t value, unsigned width = 4) {
    map.write(kWindow + offset, width, value);
  }
  void start(uint32_t features) {
    write(0x70, 0);
    write(0x70, 3);
    write(0x24, 1);
    write(0x20, 1);  // VERSION_1
    write(0x24, 0);
    uint64_t offered = 0;
    write(0x14, 0);
    map.read(kWindow + 0x10, 4, offered);
    write(0x20, features & offered);
    write(0x70, 11);
    for (unsigned i = 0; i < 5; ++i) {
      const uint64_t at = kRam + i * 0x800;
      write(0x30, i);
      write(0x38, 16);
      write(0x80, at);
      write(0x90, at + 0x400);
      write(0xa0, at + 0x600);
      write(0x44, 1);
    }
    write(0x70, 15);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  auto memory = *GuestMemory::create(kRam, kRamSize);
  auto loop = *EventLoop::create("fuzz", WaitKind::kEpoll);
  FuzzBackends backends(*loop, *memory);
  MmioMap map;
  VirtioMmioTransport slot(0, IrqLine());
  VirtioMmioTransport* slots[] = {&slot};
  auto options = *KeyValues::parse(
      "-device", "virtio-net-device,netdev=n,mq=on,rx_queue_size=64,tx_queue_size=64", "driver");
  if (!create_device({*memory, backends, slots}, options)) std::abort();
  if (!slot.map(map, kWindow)) std::abort();
  map.freeze();
  Driver driver{map};
  driver.start(input.take<uint32_t>());
  for (unsigned steps = 0; !input.empty() && steps < 200; ++steps) {
    switch (input.take<uint8_t>() % 9) {
      case 0: {  // any register or configuration byte
        const uint16_t offset = input.take<uint16_t>() % 0x200;
        const unsigned width = 1u << input.take<uint8_t>() % 3;
        driver.write(offset & ~(width - 1), input.take<uint32_t>(), width);
        uint64_t value;
        map.read(kWindow + (offset & ~(width - 1)), width, value);
        break;
      }
      case 1: {  // any bytes into RAM
        const uint64_t at = kRam + input.take<uint16_t>();
        const auto bytes = input.bytes(input.take<uint8_t>());
        if (!bytes.empty()) memory->write(at, bytes.data(), bytes.size());
        break;
      }
      case 2:
      case 3: {  // a chain of two or three buffers in any queue
        const uint64_t queue = kRam + input.take<uint8_t>() % 5 * 0x800;
        const uint8_t kind = input.take<uint8_t>();
        const uint64_t length = input.take<uint16_t>() % 5000;
        const uint64_t second = kind & 1 ? 2 : 0, third = kind & 2 ? 2 : second;
        const uint64_t table[] = {
            kRam + 0x4000, (kind & 4 ? 12 : 2) | (1ull | (kind & 8 ? 2 : 0)) << 32 | 1ull << 48,
            kRam + 0x5000, length | (1ull | second) << 32 | 2ull << 48,
            kRam + 0x8000, (kind >> 4) | third << 32};
        memory->write(queue, table, sizeof table);
        uint16_t idx = 0;
        memory->read(queue + 0x402, &idx, 2);
        const uint16_t head = 0;
        memory->write(queue + 0x404 + 2 * (idx % 16u), &head, 2);
        ++idx;
        memory->write(queue + 0x402, &idx, 2);
        driver.write(0x50, (queue - kRam) / 0x800);
        break;
      }
      case 4:
        backends.endpoint->receive(input.take<uint8_t>() % 2, input.bytes(input.take<uint8_t>()));
        break;
      case 5:
        backends.endpoint->receive_in_place(input.take<uint8_t>() % 2, input.take<uint16_t>());
        break;
      case 6:
        backends.endpoint->make_room(input.take<uint8_t>() % 8);
        break;
      case 7:
        backends.endpoint->flip_link();
        break;
      case 8:
        driver.start(input.take<uint32_t>());
        break;
    }
    for (unsigned round = 0; round < 4; ++round) loop->run_once(0);
  }
  return 0;
}
