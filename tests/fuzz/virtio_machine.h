// A machine with one virtio device for all inputs of a fuzzer, and a driver that does anything.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_input.h"
#include "hw/device_registry.h"
#include "hw/virtio/transport_mmio.h"
#include "io/mmio_map.h"

namespace hv {

// Made once, because a loop, a mapping and a device cost more than an input; begin() and end() put
// it back to power-on state, so that what an input does depends on nothing but the input. What a
// device is connected to keeps its state over a machine's reset: targets put that back themselves.
//
// Targets derive from it to give their device its back end, and never destroy it: a back end would
// be gone before its device. One thread is hart and loop.
class VirtioMachine : public Backends {
 public:
  static constexpr uint64_t kRam = 0x8000'0000;
  static constexpr uint64_t kRamSize = 64 << 10;
  static constexpr uint64_t kWindow = 0x1000'1000;
  // Rings come first, kRingStride bytes for each queue; buffers of chains from here on.
  static constexpr uint64_t kRingStride = 0x800, kAvail = 0x400, kUsed = 0x600;
  static constexpr uint64_t kBuffers = kRam + 0x4000;
  enum Register : uint64_t {
    kDeviceFeatures = 0x10,
    kDeviceFeaturesSel = 0x14,
    kDriverFeatures = 0x20,
    kDriverFeaturesSel = 0x24,
    kQueueSel = 0x30,
    kQueueNumMax = 0x34,
    kQueueNum = 0x38,
    kQueueReady = 0x44,
    kQueueNotify = 0x50,
    kStatus = 0x70,
    kQueueDesc = 0x80,
    kQueueDriver = 0x90,
    kQueueDevice = 0xa0,
  };
  enum DescriptorFlag : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };

  // The device takes queues of that size.
  explicit VirtioMachine(unsigned queues, uint16_t queue_size = 16)
      : queues_(queues), queue_size_(queue_size) {}
  virtual ~VirtioMachine() = default;

  Result<std::unique_ptr<Disk>> claim_drive(const std::string&) override { return fail("none"); }
  Result<CharBackend*> claim_chardev(const std::string&) override { return fail("none"); }
  Result<EventLoop*> io_loop(const std::string&) override { return loop.get(); }
  Result<std::string> rng_source(const std::string&) override { return fail("none"); }

  // Once: the -device options.
  void plug(std::initializer_list<const char*> devices) {
    VirtioMmioTransport* slots[] = {&slot};
    for (const char* text : devices)
      if (!create_device({*memory, *this, slots}, *KeyValues::parse("-device", text, "driver")))
        std::abort();
    enter_map();
  }
  void plug(std::unique_ptr<VirtioDevice> device) {
    slot.plug(std::move(device));
    enter_map();
  }

  void begin(uint32_t features) {
    std::memset(memory->data(), 0, kRamSize);
    start(features);
    // A driver that did nothing wrong yet has a device that runs.
    if (read(kStatus) != 15) std::abort();
  }
  void end() {
    before_reset();
    slot.reset();
    settle();
  }

  void write(uint64_t offset, uint64_t value, unsigned width = 4) {
    if (offset == kStatus && width == 4 && (value & 0xff) == 0) before_reset();
    map.write(kWindow + offset, width, value);
  }
  uint32_t read(uint64_t offset, unsigned width = 4) {
    uint64_t value = 0;
    map.read(kWindow + offset, width, value);
    return static_cast<uint32_t>(value);
  }
  // Of the offered features those in `features`, and all queues.
  void start(uint32_t features) {
    write(kStatus, 0);
    write(kStatus, 3);
    write(kDeviceFeaturesSel, 0);
    write(kDriverFeaturesSel, 0);
    write(kDriverFeatures, features & read(kDeviceFeatures));
    write(kDriverFeaturesSel, 1);
    write(kDriverFeatures, 1);  // VERSION_1
    write(kStatus, 11);
    for (unsigned queue = 0; queue < queues_; ++queue) {
      const uint64_t at = rings(queue);
      std::memset(memory->data() + (at - kRam), 0, kRingStride);
      write(kQueueSel, queue);
      write(kQueueNum, queue_size_);
      write(kQueueDesc, at);
      write(kQueueDriver, at + kAvail);
      write(kQueueDevice, at + kUsed);
      write(kQueueReady, 1);
    }
    write(kStatus, 15);
    settle();
  }
  // Runs what the loop has to do, as long as that is a bounded amount.
  void settle() {
    for (unsigned round = 0; round < 4 && loop->run_once(0); ++round) {
    }
  }

  // --- what a driver does

  static uint64_t rings(unsigned queue) { return kRam + queue * kRingStride; }
  struct Piece {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
  };
  // Makes a chain of those pieces available, in the descriptors from `first` on, and rings.
  void submit(unsigned queue, uint16_t first, std::initializer_list<Piece> pieces) {
    submit(queue, first, std::span(pieces.begin(), pieces.size()));
  }
  void submit(unsigned queue, uint16_t first, std::span<const Piece> pieces) {
    uint16_t at = first % queue_size_;
    const uint16_t head = at;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const uint16_t next = (at + 1) % queue_size_;
      const uint64_t flags = pieces[i].flags | (i + 1 < pieces.size() ? kNext : 0);
      const uint64_t descriptor[] = {pieces[i].address,
                                     pieces[i].length | flags << 32 | uint64_t{next} << 48};
      memory->write(rings(queue) + 16u * at, descriptor, sizeof descriptor);
      at = next;
    }
    const uint64_t avail = rings(queue) + kAvail;
    uint16_t idx = 0;
    memory->read(avail + 2, &idx, sizeof idx);
    memory->write(avail + 4 + 2u * (idx % queue_size_), &head, sizeof head);
    ++idx;
    memory->write(avail + 2, &idx, sizeof idx);
    write(kQueueNotify, queue);
  }

  static constexpr unsigned kCommonSteps = 6;
  // One of the steps that suit every device, 0 to kCommonSteps - 1.
  void step(unsigned kind, FuzzInput& input) {
    switch (kind) {
      case 0: {  // any register or configuration byte
        const uint16_t offset = input.take<uint16_t>() % 0x200;
        const unsigned width = 1u << input.take<uint8_t>() % 3;
        write(offset & ~(width - 1), input.take<uint32_t>(), width);
        read(offset & ~(width - 1), width);
        break;
      }
      case 1: {  // any bytes into RAM, rings included
        const uint64_t at = kRam + input.take<uint16_t>();
        const auto bytes = input.bytes(input.take<uint8_t>());
        if (!bytes.empty()) memory->write(at, bytes.data(), bytes.size());
        break;
      }
      case 2: {  // a chain of any pieces in any queue
        const unsigned queue = input.take<uint8_t>() % queues_;
        const uint8_t kind = input.take<uint8_t>();
        std::vector<Piece> pieces(1 + kind % 4);
        for (Piece& piece : pieces) {
          piece.address = kBuffers + input.take<uint16_t>() % (kRam + kRamSize - kBuffers);
          piece.length = input.take<uint16_t>() % 5000;
          piece.flags = input.take<uint8_t>() % 16 == 0 ? kIndirect : 0;
        }
        for (size_t i = kind / 4 % 8; i < pieces.size(); ++i) pieces[i].flags |= kWrite;
        submit(queue, kind / 32, pieces);
        break;
      }
      case 3:
        write(kQueueNotify, input.take<uint8_t>() % (queues_ + 1));
        break;
      case 4:
        write(kStatus, 0);
        break;
      case 5:
        start(input.take<uint32_t>());
        break;
    }
  }

  // For back ends that hold requests: a reset, which waits for them, comes. They are to end while
  // the loop runs.
  virtual void before_reset() {}

  std::unique_ptr<EventLoop> loop = *EventLoop::create("fuzz", WaitKind::kEpoll);
  std::unique_ptr<GuestMemory> memory = make_memory();
  VirtioMmioTransport slot{0, IrqLine()};
  MmioMap map;

 private:
  void enter_map() {
    if (!slot.map(map, kWindow)) std::abort();
    map.freeze();
    for (unsigned queue = 0; queue < queues_; ++queue) {
      write(kQueueSel, queue);
      if (read(kQueueNumMax) < queue_size_) std::abort();
    }
  }
  // With a page on either side that nobody may touch: the sanitizer does not know where RAM ends.
  // The host puts mappings below each other, so it takes a few attempts at most.
  static std::unique_ptr<GuestMemory> make_memory() {
    constexpr size_t kPage = GuestMemory::kPageSize;
    const auto guard = [](void* at) {
      return mmap(at, kPage, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    };
    static std::vector<std::unique_ptr<GuestMemory>> elsewhere;
    for (unsigned attempt = 0; attempt < 100; ++attempt) {
      void* const above = guard(nullptr);
      auto made = *GuestMemory::create(kRam, kRamSize);
      if (made->data() + kRamSize == above && guard(made->data() - kPage) != MAP_FAILED)
        return made;
      elsewhere.push_back(std::move(made));
    }
    std::abort();
  }

  const unsigned queues_;
  const uint16_t queue_size_;
};

// Runs one input: script(op, input) for each of its steps, at most 200.
template <class Step>
void run_steps(VirtioMachine& machine, FuzzInput& input, unsigned own_steps, Step own) {
  for (unsigned steps = 0; !input.empty() && steps < 200; ++steps) {
    const unsigned kind = input.take<uint8_t>() % (VirtioMachine::kCommonSteps + own_steps);
    if (kind < own_steps)
      own(kind);
    else
      machine.step(kind - own_steps, input);
    machine.settle();
  }
}

}  // namespace hv
