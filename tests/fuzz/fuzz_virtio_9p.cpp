// A driver of virtio-9p that does anything: frames in any chains, on a share that stays as it is
// outside.
#include "p9_frames.h"
#include "p9_share.h"
#include "virtio_machine.h"

namespace {

using namespace hv;

struct Machine final : VirtioMachine {
  explicit Machine(P9Share& share) : VirtioMachine(1), share(share) {
    plug({"virtio-9p-device,fsdev=f,mount_tag=tag"});
  }
  Result<std::unique_ptr<LocalFs>> claim_fsdev(const std::string&) override {
    FsOptions options;
    options.path = share.path();
    options.security = SecurityModel::kMappedXattr;
    return LocalFs::create(options, std::make_shared<FdBudget>(8));
  }
  // The workers' work included, so that it does not matter how fast they are.
  void finish() {
    settle();
    while (!slot.device()->idle()) loop->run_once();
  }
  void send(const std::vector<uint8_t>& frame, uint8_t cut, uint32_t room) {
    const auto size = static_cast<uint32_t>(std::min<size_t>(frame.size(), 0x1000));
    const uint32_t first = std::min<uint32_t>(cut % 32, size);
    memory->write(kBuffers, frame.data(), size);
    submit(0, cut / 32,
           {{kBuffers, first, 0},
            {kBuffers + first, size - first, 0},
            {kBuffers + 0x1000, room / 2, kWrite},
            {kBuffers + 0x4000, room - room / 2, kWrite}});
    finish();
  }
  P9Share& share;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static P9Share share;
  static Machine& machine = *new Machine(share);
  FuzzInput input(data, size);
  std::vector<uint8_t> frame;
  share.restore();
  machine.begin(input.take<uint32_t>());
  p9::encode(frame, 0, p9::Tversion{65536, "9P2000.L"});
  machine.send(frame, 0, 100);
  p9::encode(frame, 0, p9::Tattach{0, ~0u, "u", "", 7});
  machine.send(frame, 0, 100);
  run_steps(machine, input, 3, [&](unsigned) {
    make_p9_frame(input, frame);
    const uint8_t cut = input.take<uint8_t>();
    machine.send(frame, cut, input.take<uint16_t>() % 0x2000);
  });
  machine.end();
  share.check();
  return 0;
}
