// Registers of virtio-mmio in any order, on a device that says when it is not taken through its
// life as VirtioDevice has it.
#include <array>
#include <utility>

#include "virtio_machine.h"

namespace {

using namespace hv;

constexpr unsigned kQueues = 3;

// Answers its requests when the script says so.
class ScriptedDevice final : public VirtioDevice {
 public:
  ScriptedDevice(GuestMemory& memory, EventLoop& loop)
      : VirtioDevice({.device_id = 42,
                      .features = kVirtioVersion1 | kVirtioRingEventIdx | kVirtioRingIndirectDesc,
                      .queue_count = kQueues,
                      .queue_size = 64},
                     memory, loop) {}
  std::string_view type_name() const override { return "scripted"; }
  void read_config(uint32_t offset, std::span<uint8_t> to) override {
    for (uint8_t& byte : to) byte = offset < config_.size() ? config_[offset++] : 0;
  }
  void write_config(uint32_t offset, std::span<const uint8_t> from) override {
    for (const uint8_t byte : from)
      if (offset < config_.size()) config_[offset++] = byte;
  }
  void reset_config() override { config_ = {}; }

  void complete() {
    for (const auto& [index, head] : std::exchange(waiting_, {})) {
      if (live()) {
        queue(index).push(head, 1);
        publish(index);
      }
      end_request();
    }
  }
  void change_config() {
    ++config_[0];
    config_changed();
  }
  bool started() const { return started_; }

 protected:
  bool handle_queue(unsigned index) override {
    if (!started_ || held()) std::abort();
    VirtQueue& vq = queue(index);
    for (unsigned taken = 0; taken < vq.size() && vq.pop(chain_); ++taken) {
      begin_request();
      waiting_.emplace_back(index, chain_.head);
    }
    return true;
  }
  void on_start(uint64_t features) override {
    if (std::exchange(started_, true) || features & ~this->features()) std::abort();
  }
  void on_stop() override {
    if (!std::exchange(started_, false) || !waiting_.empty()) std::abort();
  }
  void on_hold() override {
    if (!started_) std::abort();
  }
  void on_release() override {
    if (!started_) std::abort();
  }

 private:
  std::array<uint8_t, 8> config_{};
  std::vector<std::pair<unsigned, uint16_t>> waiting_;
  DescriptorChain chain_;
  bool started_ = false;
};

struct Machine final : VirtioMachine {
  Machine() : VirtioMachine(kQueues) {
    auto made = std::make_unique<ScriptedDevice>(*memory, *loop);
    device = made.get();
    plug(std::move(made));
  }
  void before_reset() override {
    loop->post([this] { loop->post([this] { device->complete(); }); });
  }
  ScriptedDevice* device = nullptr;
};

constexpr uint64_t kRegisters[] = {0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64,
                                   0x70, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xac};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  FuzzInput input(data, size);
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 6, [&](unsigned step) {
    switch (step) {
      case 0:
      case 1: {
        const uint64_t offset = kRegisters[input.take<uint8_t>() % std::size(kRegisters)];
        const uint32_t value = step ? input.take<uint32_t>() : input.take<uint8_t>();
        machine.write(offset, value);
        // Section 2.4.2: the reset is over when it reads 0, and then nothing runs.
        if (offset == Machine::kStatus && (value & 0xff) == 0 &&
            (machine.read(offset) != 0 || machine.device->started()))
          std::abort();
        break;
      }
      case 2:
        machine.device->complete();
        break;
      case 3:
        machine.device->change_config();
        break;
      case 4:
        machine.before_reset();
        machine.slot.quiesce();
        if (!machine.device->idle()) std::abort();
        machine.slot.resume();
        break;
      case 5:
        machine.before_reset();
        machine.slot.reset();
        break;
    }
  });
  machine.end();
  return 0;
}
