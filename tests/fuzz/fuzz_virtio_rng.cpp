// A driver of virtio-rng that does anything. The source gives zeroes and the quota of a period ends
// early, so that no outcome hangs on chance or time.
#include "virtio_machine.h"

namespace {

struct Machine final : hv::VirtioMachine {
  Machine() : VirtioMachine(1, 8) {
    plug({"virtio-rng-device,rng=r,max-bytes=40000,period=4294967295"});
  }
  hv::Result<std::string> rng_source(const std::string&) override { return "/dev/zero"; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  hv::FuzzInput input(data, size);
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 0, [](unsigned) {});
  machine.end();
  return 0;
}
