// A driver of virtio-blk that does anything: registers, rings, requests and resets in any order.
#include <cerrno>
#include <cstdlib>
#include <deque>
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
constexpr uint64_t kDiskSize = 16 << 10;

// A disk in memory that completes when the script says so, and checks what it is asked.
class MemoryDisk final : public Disk {
 public:
  explicit MemoryDisk(GuestMemory& memory) : memory_(memory) {}
  ~MemoryDisk() override {
    if (!waiting_.empty()) std::abort();
  }
  void attach(EventLoop&) override {}
  void detach() override { complete(); }
  void submit(DiskRequest& request) override {
    uint64_t sum = 0;
    for (const iovec& piece : request.iov) {
      const auto at = static_cast<uint64_t>(static_cast<uint8_t*>(piece.iov_base) - memory_.data());
      if (!memory_.contains(kRam + at, piece.iov_len)) std::abort();
      sum += piece.iov_len;
    }
    const bool moves = request.op == DiskOp::kRead || request.op == DiskOp::kWrite;
    if (moves && sum != request.length) std::abort();
    if (request.op != DiskOp::kFlush &&
        (request.offset > kDiskSize || request.length > kDiskSize - request.offset))
      std::abort();
    waiting_.push_back(&request);
  }
  void flush_batch() override {}
  void complete() {
    for (auto batch = std::exchange(waiting_, {}); DiskRequest * request : batch) {
      if (request->op == DiskOp::kRead)
        for (const iovec& piece : request->iov) std::memset(piece.iov_base, 0xda, piece.iov_len);
      request->done(request->offset % 1024 ? EIO : 0);
    }
  }
  uint64_t size() const override { return kDiskSize; }
  bool read_only() const override { return false; }
  unsigned block_size() const override { return 512; }
  unsigned in_flight() const override { return static_cast<unsigned>(waiting_.size()); }
  bool write_through() const override { return false; }
  void set_write_through(bool) override {}
  Result<> lock(bool) override { return {}; }

 private:
  GuestMemory& memory_;
  std::deque<DiskRequest*> waiting_;
};

struct FuzzBackends final : Backends {
  FuzzBackends(EventLoop& loop, GuestMemory& memory) : loop(loop), memory(memory) {}
  Result<std::unique_ptr<Disk>> claim_drive(const std::string&) override {
    auto made = std::make_unique<MemoryDisk>(memory);
    disk = made.get();
    return made;
  }
  Result<CharBackend*> claim_chardev(const std::string&) override { return fail("none"); }
  Result<EventLoop*> io_loop(const std::string&) override { return &loop; }
  Result<std::string> rng_source(const std::string&) override { return std::string(); }
  EventLoop& loop;
  GuestMemory& memory;
  MemoryDisk* disk = nullptr;
};

// The driver's part, with one queue of 16 entries at the start of RAM.
struct Driver {
  MmioMap& map;
  FuzzBackends& backends;
  void write(uint64_t offset, uint64_t value, unsigned width = 4) {
    // A reset waits for the disk, which answers one round later: when the device is held.
    if (offset == 0x70 && width == 4 && (value & 0xff) == 0)
      backends.loop.post([this] { backends.loop.post([this] { backends.disk->complete(); }); });
    map.write(kWindow + offset, width, value);
  }
  // With INDIRECT_DESC, DISCARD and WRITE_ZEROES, and EVENT_IDX and CONFIG_WCE as `choice` says.
  void start(uint8_t choice) {
    write(0x70, 0);
    write(0x70, 3);
    write(0x24, 1);
    write(0x20, 1);  // VERSION_1
    write(0x24, 0);
    write(0x20, 1u << 28 | 1u << 13 | 1u << 14 | (choice & 1u) << 29 | (choice >> 1 & 1u) << 11);
    write(0x70, 11);
    write(0x30, 0);
    write(0x38, 16);
    write(0x80, kRam);
    write(0x90, kRam + 0x400);
    write(0xa0, kRam + 0x800);
    write(0x44, 1);
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
  {
    VirtioMmioTransport slot(0, IrqLine());
    VirtioMmioTransport* slots[] = {&slot};
    auto options =
        *KeyValues::parse("-device", "virtio-blk-device,drive=d,queue-size=16", "driver");
    if (!create_device({*memory, backends, slots}, options)) std::abort();
    if (!slot.map(map, kWindow)) std::abort();
    map.freeze();
    Driver driver{map, backends};
    driver.start(input.take<uint8_t>());
    for (unsigned steps = 0; !input.empty() && steps < 200; ++steps) {
      switch (input.take<uint8_t>() % 7) {
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
        case 2: {  // a request of header, data and status in descriptors 0 to 2
          const uint8_t type = input.take<uint8_t>();
          const uint32_t header[] = {type, 0, input.take<uint32_t>() % 64, 0};
          memory->write(kRam + 0x1000, header, sizeof header);
          const uint16_t write = type == 0 || type == 8 ? 2 : 0;
          const uint64_t length = input.take<uint16_t>();
          const uint64_t table[] = {kRam + 0x1000, 16 | 1ull << 32 | 1ull << 48,
                                    kRam + 0x2000, length | (1ull | write) << 32 | 2ull << 48,
                                    kRam + 0x1100, 1 | 2ull << 32};
          memory->write(kRam, table, sizeof table);
          const uint16_t head = 0;
          const uint16_t idx = input.take<uint8_t>();
          memory->write(kRam + 0x404 + 2 * (idx % 16u), &head, 2);
          const uint16_t next = static_cast<uint16_t>(idx + 1);
          memory->write(kRam + 0x402, &next, 2);
          driver.write(0x50, 0);
          break;
        }
        case 3:
          driver.write(0x50, input.take<uint8_t>() % 2);
          break;
        case 4:
          backends.disk->complete();
          break;
        case 5:
          driver.write(0x70, 0);
          break;
        case 6:
          driver.start(input.take<uint8_t>());
          break;
      }
      for (unsigned round = 0; round < 4; ++round) loop->run_once(0);
    }
    driver.write(0x70, 0);
    for (unsigned round = 0; round < 4; ++round) loop->run_once(0);
    backends.disk->complete();
  }
  return 0;
}
