// A driver of virtio-balloon that does anything, and a host that asks for memory meanwhile.
#include "hw/balloon.h"
#include "virtio_machine.h"

namespace {

struct Machine final : hv::VirtioMachine {
  Machine() : VirtioMachine(4) {
    plug({"virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on"});
  }
  hv::Balloon& balloon() { return dynamic_cast<hv::Balloon&>(*slot.device()); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  hv::Balloon& balloon = machine.balloon();
  hv::FuzzInput input(data, size);
  constexpr uint64_t kActual = 0x104;
  // Both survive a reset of the machine, as in QEMU.
  balloon.set_target(Machine::kRamSize);
  machine.write(kActual, 0);
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 3, [&](unsigned step) {
    switch (step) {
      case 0: {  // page numbers, most of them of RAM
        uint32_t pages[8];
        for (uint32_t& page : pages)
          page = static_cast<uint32_t>((Machine::kRam >> 12) + input.take<uint8_t>() % 18);
        machine.memory->write(Machine::kBuffers, pages, sizeof pages);
        machine.submit(input.take<uint8_t>() % 2, 0,
                       {{Machine::kBuffers, input.take<uint8_t>() % 40u, 0},
                        {Machine::kBuffers + 1, input.take<uint8_t>() % 16u, 0}});
        break;
      }
      case 1: {  // statistics, or free pages
        const uint32_t at = input.take<uint8_t>() % 16 * 0x800;
        const uint16_t length = input.take<uint16_t>() % 0x8000;
        if (input.take<uint8_t>() % 2)
          machine.submit(2, 0, {{Machine::kBuffers, length, 0}});
        else
          machine.submit(3, 0, {{Machine::kBuffers + at, length, Machine::kWrite}});
        break;
      }
      case 2:
        balloon.set_target(input.take<uint32_t>() % (2 * Machine::kRamSize));
        if (balloon.actual() > Machine::kRamSize) std::abort();
        (void)balloon.stats();
        break;
    }
  });
  machine.end();
  return 0;
}
