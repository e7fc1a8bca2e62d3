// A driver of virtio-serial that does anything, with peers that come, go, talk and take little.
#include <algorithm>

#include "virtio_machine.h"

namespace {

using namespace hv;

// A peer that takes what the script gives it room for, and reads what it is handed.
class ScriptedPeer final : public CharBackend {
 public:
  void set_frontend(CharFrontend* frontend) override { frontend_ = frontend; }
  size_t write(std::span<const uint8_t> bytes) override {
    given_.assign(bytes.begin(), bytes.end());
    const size_t taken = std::min(bytes.size(), room_);
    room_ -= taken;
    return taken;
  }
  size_t output_room() const override { return room_; }
  void accept_input() override {}
  void drain(int) override {}

  void begin() {
    room_ = 0;
    frontend_->closed();
    frontend_->resized({});
  }
  void act(FuzzInput& input) {
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
  std::vector<uint8_t> given_;
};

struct Machine final : VirtioMachine {
  static constexpr unsigned kQueues = 6;  // port 0, control, port 1
  static constexpr unsigned kControlQueue = 3;
  Machine() : VirtioMachine(kQueues) {
    plug({"virtio-serial-device,max_ports=3,emergency-write=on", "virtconsole,chardev=0",
          "virtserialport,chardev=1,name=port"});
  }
  Result<CharBackend*> claim_chardev(const std::string& id) override {
    return &peers[id == "0" ? 0 : 1];
  }
  ScriptedPeer peers[2];
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  FuzzInput input(data, size);
  for (ScriptedPeer& peer : machine.peers) peer.begin();
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 4, [&](unsigned step) {
    switch (step) {
      case 0: {  // a control message
        const uint32_t message[] = {input.take<uint8_t>() % 4u,
                                    input.take<uint8_t>() % 9u | (input.take<uint8_t>() % 3u)
                                                                     << 16};
        machine.memory->write(Machine::kBuffers, message, sizeof message);
        machine.submit(Machine::kControlQueue, 0, {{Machine::kBuffers, sizeof message, 0}});
        break;
      }
      case 1: {  // a buffer for any queue, of the right direction
        const unsigned queue = input.take<uint8_t>() % Machine::kQueues;
        const uint16_t flags = queue % 2 ? 0 : Machine::kWrite;
        machine.submit(queue, input.take<uint8_t>(),
                       {{Machine::kBuffers + 0x1000, input.take<uint16_t>() % 0x9000u, flags}});
        break;
      }
      case 2:
      case 3:
        machine.peers[step - 2].act(input);
        break;
    }
  });
  machine.end();
  return 0;
}
