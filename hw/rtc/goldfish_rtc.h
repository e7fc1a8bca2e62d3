// Android's goldfish real-time clock: host wall-clock time with an alarm.
#pragma once

#include <memory>

#include "hw/device.h"
#include "io/irq_line.h"
#include "io/mmio_device.h"
#include "io/thread_safety.h"
#include "main-loop/event_loop.h"

namespace hv {

// Nanoseconds since 1970 UTC in two 32-bit words. Registers:
//
//   0x00 TIME_LOW         read: low word, and latches the high word; write: sets the low word
//   0x04 TIME_HIGH        read: the latched high word; write: sets the high word
//   0x08 ALARM_LOW        write: sets the low word and arms the alarm
//   0x0c ALARM_HIGH       the high word, to be written first
//   0x10 IRQ_ENABLED      bit 0
//   0x14 CLEAR_ALARM      a write disarms
//   0x18 ALARM_STATUS     1 while armed
//   0x1c CLEAR_INTERRUPT  a write drops the interrupt
//
// An alarm in the past fires at once. Setting the time moves this clock only, not the host's.
// Registers: any hart thread, one mutex. The alarm's timer belongs to the loop; a register store
// only asks the loop to look at it again.
class GoldfishRtc final : public Device, public MmioDevice {
 public:
  static constexpr uint64_t kWindowSize = 0x1000;
  static constexpr unsigned kMinAccess = 4, kMaxAccess = 4;

  // Host wall-clock time in ns since 1970; tests bring their own.
  using WallClock = int64_t (*)();
  static int64_t host_wall_clock();

  // Construct and destroy on the loop's thread.
  GoldfishRtc(IrqLine irq, EventLoop& loop, WallClock wall_clock = host_wall_clock);

  std::string_view type_name() const override { return "goldfish_rtc"; }
  void reset() override;
  // "compatible" and "interrupts".
  void describe_fdt(FdtNode& node) const;

  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  struct State {
    uint64_t offset = 0;  // guest time - host time, ns
    uint32_t latched_high = 0;
    uint64_t alarm = 0;
    bool alarm_armed = false;
    bool irq_enabled = false;
    bool irq_pending = false;
  };

  uint64_t now() const HV_REQUIRES(mutex_);
  void set_time_word(unsigned shift, uint32_t value) HV_REQUIRES(mutex_);
  void arm() HV_REQUIRES(mutex_);
  void update_irq() HV_REQUIRES(mutex_);
  // Loop thread: fires a due alarm, sets the timer for one to come.
  void look_at_alarm();

  const IrqLine irq_;
  const WallClock wall_clock_;
  Mutex mutex_;
  State state_ HV_GUARDED_BY(mutex_);
  std::unique_ptr<Timer> timer_;            // loop thread
  std::unique_ptr<BottomHalf> look_again_;  // runs look_at_alarm() on the loop
};

}  // namespace hv
