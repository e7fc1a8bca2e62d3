// A driver of virtio-blk that does anything: registers, rings, requests and resets in any order.
#include <cerrno>
#include <deque>
#include <utility>

#include "virtio_machine.h"

namespace {

using namespace hv;

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
      if (!memory_.contains(memory_.base() + at, piece.iov_len)) std::abort();
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

struct Machine final : VirtioMachine {
  Machine() : VirtioMachine(1) { plug({"virtio-blk-device,drive=d,queue-size=16"}); }
  Result<std::unique_ptr<Disk>> claim_drive(const std::string&) override {
    auto made = std::make_unique<MemoryDisk>(*memory);
    disk = made.get();
    return made;
  }
  // The disk answers one round later: when the device is held.
  void before_reset() override {
    loop->post([this] { loop->post([this] { disk->complete(); }); });
  }
  MemoryDisk* disk = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  FuzzInput input(data, size);
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 2, [&](unsigned step) {
    if (step == 0) return machine.disk->complete();
    // A request of header, data and status.
    const uint8_t type = input.take<uint8_t>();
    const uint32_t header[] = {type, 0, input.take<uint32_t>() % 64, 0};
    machine.memory->write(Machine::kBuffers, header, sizeof header);
    const uint16_t write = type == 0 || type == 8 ? Machine::kWrite : 0;
    const uint16_t length = input.take<uint16_t>();
    machine.submit(0, input.take<uint8_t>(),
                   {{Machine::kBuffers, sizeof header, 0},
                    {Machine::kBuffers + 0x1000, length, write},
                    {Machine::kBuffers + 0x100, 1, Machine::kWrite}});
  });
  machine.end();
  return 0;
}
