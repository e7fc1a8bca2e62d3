#include <catch2/catch.hpp>
#include <ctime>

#include "fakes.h"
#include "hw/rtc/goldfish_rtc.h"

using namespace hv;
using namespace hv::test;

namespace {

// Register offsets: goldfish device specification, "Goldfish real time clock".
enum : uint64_t { kTimeLow = 0, kTimeHigh = 4, kAlarmLow = 8, kAlarmHigh = 0xc };
enum : uint64_t { kIrqEnabled = 0x10, kClearAlarm = 0x14, kAlarmStatus = 0x18, kClearIrq = 0x1c };
constexpr unsigned kIrq = 11;

int64_t fake_time = 0;
int64_t fake_clock() {
  return fake_time;
}

struct RtcRig {
  RtcRig() { fake_time = 0x17f1'2345'0000'0000 + 0x8765'4321; }

  std::unique_ptr<EventLoop> loop = EventLoop::create("rtc").value();
  FakeIrqSink sink;
  GoldfishRtc rtc{IrqLine(sink, kIrq), *loop, fake_clock};

  uint32_t read(uint64_t reg) { return static_cast<uint32_t>(rtc.mmio_read(reg, 4)); }
  void write(uint64_t reg, uint64_t value) { rtc.mmio_write(reg, 4, static_cast<uint32_t>(value)); }
  uint64_t time() {
    const uint64_t low = read(kTimeLow);
    return uint64_t{read(kTimeHigh)} << 32 | low;
  }
  void set_alarm(uint64_t at) {
    write(kAlarmHigh, at >> 32);
    write(kAlarmLow, at);
  }
  bool irq() const { return sink.level(kIrq); }
  void run_loop() {
    while (loop->run_once(0)) {
    }
  }
};

}  // namespace

TEST_CASE("rtc: TIME_LOW latches TIME_HIGH", "[rtc]") {
  RtcRig rig;
  CHECK(rig.read(kTimeLow) == 0x87654321);
  fake_time += 1ll << 33;
  CHECK(rig.read(kTimeHigh) == 0x17f12345);
  CHECK(rig.time() == static_cast<uint64_t>(fake_time));
}

TEST_CASE("rtc: the host's wall clock is the default", "[rtc]") {
  const auto loop = EventLoop::create("rtc").value();
  GoldfishRtc rtc(IrqLine(), *loop);
  const time_t before = ::time(nullptr);
  const uint64_t low = rtc.mmio_read(kTimeLow, 4);
  const uint64_t seconds = (rtc.mmio_read(kTimeHigh, 4) << 32 | low) / 1'000'000'000;
  CHECK(seconds >= static_cast<uint64_t>(before));
  CHECK(seconds <= static_cast<uint64_t>(::time(nullptr)) + 1);
}

TEST_CASE("rtc: setting the time moves this clock and it goes on", "[rtc]") {
  RtcRig rig;
  rig.write(kTimeHigh, 2);
  rig.write(kTimeLow, 5);
  CHECK(rig.time() == (2ull << 32 | 5));
  fake_time += 100;
  CHECK(rig.time() == (2ull << 32 | 105));
}

TEST_CASE("rtc: an alarm fires when its time comes, once", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.set_alarm(static_cast<uint64_t>(fake_time) + 1'000'000);
  CHECK(rig.read(kAlarmStatus) == 1);
  rig.run_loop();
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kAlarmStatus) == 1);

  fake_time += 1'000'000;
  while (!rig.irq()) rig.loop->run_once(-1);  // the timer was set for this time
  CHECK(rig.read(kAlarmStatus) == 0);
  rig.write(kClearIrq, 1);
  CHECK_FALSE(rig.irq());
  rig.run_loop();
  CHECK_FALSE(rig.irq());
  CHECK(rig.sink.rises(kIrq) == 1);
}

TEST_CASE("rtc: an early timer waits on", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.set_alarm(static_cast<uint64_t>(fake_time) + 1'000'000);
  // The wall clock is set back: when the timer comes the alarm is not due.
  fake_time -= 1'000'000'000;
  rig.loop->run_once(5'000'000);
  rig.loop->run_once(5'000'000);
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kAlarmStatus) == 1);
}

TEST_CASE("rtc: an alarm in the past fires at once", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.set_alarm(static_cast<uint64_t>(fake_time));
  CHECK(rig.irq());
  CHECK(rig.read(kAlarmStatus) == 0);
}

TEST_CASE("rtc: IRQ_ENABLED gates the wire, not the pending alarm", "[rtc]") {
  RtcRig rig;
  rig.set_alarm(1);
  CHECK_FALSE(rig.irq());
  rig.write(kIrqEnabled, 1);
  CHECK(rig.irq());
  CHECK(rig.read(kIrqEnabled) == 1);
  rig.write(kIrqEnabled, 0);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("rtc: CLEAR_ALARM disarms", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.set_alarm(static_cast<uint64_t>(fake_time) + 1000);
  rig.write(kClearAlarm, 1);
  CHECK(rig.read(kAlarmStatus) == 0);
  fake_time += 2000;
  rig.loop->run_once(2'000'000);
  rig.loop->run_once(2'000'000);
  CHECK_FALSE(rig.irq());
}

TEST_CASE("rtc: an alarm goes by the clock that the guest has set", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.write(kTimeHigh, 0);
  rig.write(kTimeLow, 0);
  rig.set_alarm(60'000'000'000);
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kAlarmLow) == static_cast<uint32_t>(60'000'000'000));
  CHECK(rig.read(kAlarmHigh) == 60'000'000'000 >> 32);
  rig.write(kTimeHigh, 20);  // past the alarm
  while (!rig.irq()) rig.loop->run_once(-1);
}

TEST_CASE("rtc: reset clears alarm, interrupt and offset", "[rtc]") {
  RtcRig rig;
  rig.write(kIrqEnabled, 1);
  rig.write(kTimeHigh, 7);
  rig.set_alarm(1);
  CHECK(rig.irq());
  rig.rtc.reset();
  CHECK_FALSE(rig.irq());
  CHECK(rig.read(kIrqEnabled) == 0);
  CHECK(rig.read(kAlarmStatus) == 0);
  CHECK(rig.time() == static_cast<uint64_t>(fake_time));
}

TEST_CASE("rtc: the node is as QEMU's virt writes it", "[rtc]") {
  RtcRig rig;
  FakeFdtNode node;
  rig.rtc.describe_fdt(node);
  CHECK(node.props == std::map<std::string, std::string>{{"compatible", "google,goldfish-rtc"},
                                                         {"interrupts", "<11>"}});
}
