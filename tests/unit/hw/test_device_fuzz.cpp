// Random register traffic on every platform device: nothing crashes, nothing blocks. The seed is
// printed; set HV_FUZZ_SEED to run one again.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

#include "fakes.h"
#include "hw/char/uart16550.h"
#include "hw/intc/aclint.h"
#include "hw/intc/plic.h"
#include "hw/misc/test_finisher.h"
#include "hw/rtc/goldfish_rtc.h"

using namespace hv;
using namespace hv::test;

namespace {

uint64_t fuzz_seed() {
  if (const char* text = std::getenv("HV_FUZZ_SEED")) return std::strtoull(text, nullptr, 0);
  return std::random_device{}();
}

struct Target {
  MmioDevice& device;
  uint64_t window;
  unsigned min_size, max_size;
};

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : random_(seed) {}

  uint64_t below(uint64_t bound) { return random_() % bound; }
  uint64_t value() {
    switch (below(4)) {
      case 0:
        return below(0x100);
      case 1:
        return 1ull << below(64);
      case 2:
        return ~0ull >> below(64);
      default:
        return random_();
    }
  }
  void access(const Target& target) {
    unsigned size = target.min_size;
    while (size < target.max_size && below(2)) size *= 2;
    // Half of the traffic goes where the registers are, the rest anywhere.
    const uint64_t span = below(2) ? target.window : std::min<uint64_t>(target.window, 0x40);
    const uint64_t offset = below(span) & ~uint64_t{size - 1};
    if (below(2))
      target.device.mmio_write(offset, size,
                               size == 8 ? value() : value() & ((1ull << size * 8) - 1));
    else
      target.device.mmio_read(offset, size);
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace

TEST_CASE("devices survive random register traffic", "[fuzz]") {
  const uint64_t seed = fuzz_seed();
  INFO("HV_FUZZ_SEED=" << seed);
  Fuzzer fuzzer(seed);

  const auto loop = EventLoop::create("fuzz").value();
  FakeHart harts[2]{FakeHart(0), FakeHart(1)};
  const std::vector<HartPort*> ports{&harts[0], &harts[1]};
  GuestClock clock;
  clock.resume();
  FakeSystemControl control;
  FakeCharBackend host;
  Plic plic(ports);
  Clint clint(ports, clock);
  AclintSswi sswi(ports);
  TestFinisher finisher(control);
  Uart16550 uart(IrqLine(plic, 10), &host);
  GoldfishRtc rtc(IrqLine(plic, 11), *loop);
  const Target targets[] = {
      {plic, Plic::kWindowSize, Plic::kMinAccess, Plic::kMaxAccess},
      {clint, Clint::kWindowSize, Clint::kMinAccess, Clint::kMaxAccess},
      {sswi, AclintSswi::kWindowSize, AclintSswi::kMinAccess, AclintSswi::kMaxAccess},
      {finisher, TestFinisher::kWindowSize, TestFinisher::kMinAccess, TestFinisher::kMaxAccess},
      {uart, Uart16550::kWindowSize, Uart16550::kMinAccess, Uart16550::kMaxAccess},
      {rtc, GoldfishRtc::kWindowSize, GoldfishRtc::kMinAccess, GoldfishRtc::kMaxAccess},
  };

  for (int i = 0; i < 200'000; ++i) {
    fuzzer.access(targets[fuzzer.below(std::size(targets))]);
    switch (fuzzer.below(64)) {
      case 0:
        host.send(std::string(fuzzer.below(20), 'x'));
        break;
      case 1:
        host.frontend()->receive_break();
        break;
      case 2:
        host.set_room(fuzzer.below(20));
        break;
      case 3:
        host.grow_room(fuzzer.below(20));
        break;
      case 4:
        plic.set_irq(static_cast<unsigned>(fuzzer.value()), fuzzer.below(2));
        break;
      case 5:
        loop->run_once(0);
        break;
    }
    if (fuzzer.below(5000) == 0) {
      plic.reset();
      uart.reset();
      rtc.reset();
      clint.reset();
    }
  }

  // Whatever happened, a reset leaves working devices.
  uart.reset();
  rtc.reset();
  plic.reset();
  CHECK(uart.mmio_read(5, 1) == 0x60);
  CHECK_FALSE(harts[0].level(HartIrq::kMachineExternal));
  CHECK_FALSE(harts[1].level(HartIrq::kSupervisorExternal));
  plic.mmio_write(4 * 10, 4, 1);
  plic.mmio_write(0x2080, 4, 1 << 10);
  uart.mmio_write(1, 1, 2);
  CHECK(harts[0].level(HartIrq::kSupervisorExternal));
}
