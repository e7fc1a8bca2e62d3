// A driver of virtio-net that does anything, and frames that come meanwhile.
#include "virtio_machine.h"

namespace {

using namespace hv;

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
    return room_ > 0 && room_--;
  }
  void receive_ready(unsigned) override {}
  bool link_up() const override { return up_; }

  void begin() {
    room_ = 3;
    if (!up_) flip_link();
  }
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
    room_ = frames;
    for (unsigned pair = 0; pair < 2; ++pair) client_->transmit_ready(pair);
  }
  void flip_link() {
    up_ = !up_;
    client_->link_changed();
  }

 private:
  size_t check(const iovec& piece) const {
    const auto at = static_cast<uint64_t>(static_cast<uint8_t*>(piece.iov_base) - memory_.data());
    if (piece.iov_len == 0 || !memory_.contains(memory_.base() + at, piece.iov_len)) std::abort();
    return piece.iov_len;
  }
  GuestMemory& memory_;
  Traits traits_;
  NetClient* client_ = nullptr;
  unsigned room_ = 0;
  bool up_ = true;
};

struct Machine final : VirtioMachine {
  static constexpr unsigned kControlQueue = 4;
  Machine() : VirtioMachine(5) {
    plug({"virtio-net-device,netdev=n,mq=on,rx_queue_size=64,tx_queue_size=64"});
  }
  Result<std::unique_ptr<NetEndpoint>> claim_netdev(const std::string&) override {
    auto made = std::make_unique<FuzzEndpoint>(*memory);
    endpoint = made.get();
    return made;
  }
  FuzzEndpoint* endpoint = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine& machine = *new Machine;
  FuzzEndpoint& endpoint = *machine.endpoint;
  FuzzInput input(data, size);
  endpoint.begin();
  machine.begin(input.take<uint32_t>());
  run_steps(machine, input, 7, [&](unsigned step) {
    switch (step) {
      case 0:
      case 1: {  // header and frame for any queue
        const unsigned queue = input.take<uint8_t>() % 5;
        const uint8_t kind = input.take<uint8_t>();
        const uint16_t second = kind & 1 ? Machine::kWrite : 0;
        const uint16_t third = kind & 2 ? Machine::kWrite : second;
        machine.submit(queue, input.take<uint8_t>(),
                       {{Machine::kBuffers, kind & 4 ? 12u : 2u,
                         static_cast<uint16_t>(kind & 8 ? Machine::kWrite : 0)},
                        {Machine::kBuffers + 0x1000, input.take<uint16_t>() % 5000u, second},
                        {Machine::kBuffers + 0x4000, static_cast<uint32_t>(kind >> 4), third}});
        break;
      }
      case 2: {  // a command of the control queue
        uint8_t command[2 + 16] = {static_cast<uint8_t>(input.take<uint8_t>() % 6),
                                   static_cast<uint8_t>(input.take<uint8_t>() % 6)};
        const auto bytes = input.bytes(input.take<uint8_t>() % 17);
        std::copy(bytes.begin(), bytes.end(), command + 2);
        machine.memory->write(Machine::kBuffers, command, sizeof command);
        machine.submit(Machine::kControlQueue, 0,
                       {{Machine::kBuffers, 2, 0},
                        {Machine::kBuffers + 2, static_cast<uint32_t>(bytes.size()), 0},
                        {Machine::kBuffers + 0x100, 1, Machine::kWrite}});
        break;
      }
      case 3:
        endpoint.receive(input.take<uint8_t>() % 2, input.bytes(input.take<uint8_t>()));
        break;
      case 4:
        endpoint.receive_in_place(input.take<uint8_t>() % 2, input.take<uint16_t>());
        break;
      case 5:
        endpoint.make_room(input.take<uint8_t>() % 8);
        break;
      case 6:
        endpoint.flip_link();
        break;
    }
  });
  machine.end();
  return 0;
}
