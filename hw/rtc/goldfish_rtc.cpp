#include "hw/rtc/goldfish_rtc.h"

#include <time.h>

#include <algorithm>

#include "io/log.h"

namespace hv {
namespace {

enum : uint64_t {
  kTimeLow = 0x00,
  kTimeHigh = 0x04,
  kAlarmLow = 0x08,
  kAlarmHigh = 0x0c,
  kIrqEnabled = 0x10,
  kClearAlarm = 0x14,
  kAlarmStatus = 0x18,
  kClearInterrupt = 0x1c,
};

// The wall clock may be set while an alarm waits, so no sleep is longer than this (ns).
constexpr uint64_t kLongestSleep = 60'000'000'000;

constexpr uint64_t with_word(uint64_t value, unsigned shift, uint32_t word) {
  return (value & ~(0xffff'ffffull << shift)) | uint64_t{word} << shift;
}

}  // namespace

int64_t GoldfishRtc::host_wall_clock() {
  timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return static_cast<int64_t>(ts.tv_sec) * 1'000'000'000 + ts.tv_nsec;
}

GoldfishRtc::GoldfishRtc(IrqLine irq, EventLoop& loop, WallClock wall_clock)
    : irq_(irq),
      wall_clock_(wall_clock),
      timer_(loop.make_timer([this] { look_at_alarm(); })),
      look_again_(loop.make_bottom_half([this] { look_at_alarm(); })) {}

void GoldfishRtc::reset() {
  const MutexLock lock(mutex_);
  state_ = {};
  update_irq();
}

void GoldfishRtc::describe_fdt(FdtNode& node) const {
  node.prop_u32("interrupts", irq_.number());
  node.prop_string("compatible", "google,goldfish-rtc");
}

uint64_t GoldfishRtc::now() const {
  return static_cast<uint64_t>(wall_clock_()) + state_.offset;
}

void GoldfishRtc::set_time_word(unsigned shift, uint32_t value) {
  const uint64_t old = now();
  state_.offset += with_word(old, shift, value) - old;
  look_again_->schedule();
}

void GoldfishRtc::arm() {
  state_.alarm_armed = true;
  if (state_.alarm <= now()) {
    state_.alarm_armed = false;
    state_.irq_pending = true;
  }
  look_again_->schedule();
}

void GoldfishRtc::update_irq() {
  irq_.set(state_.irq_pending && state_.irq_enabled);
}

void GoldfishRtc::look_at_alarm() {
  const MutexLock lock(mutex_);
  timer_->cancel();
  if (!state_.alarm_armed) return;
  const uint64_t time = now();
  if (state_.alarm <= time) {
    state_.alarm_armed = false;
    state_.irq_pending = true;
    update_irq();
    return;
  }
  timer_->arm_in(static_cast<int64_t>(std::min(state_.alarm - time, kLongestSleep)));
}

uint64_t GoldfishRtc::mmio_read(uint64_t offset, unsigned) {
  const MutexLock lock(mutex_);
  switch (offset) {
    case kTimeLow: {
      const uint64_t time = now();
      state_.latched_high = static_cast<uint32_t>(time >> 32);
      return static_cast<uint32_t>(time);
    }
    case kTimeHigh:
      return state_.latched_high;
    case kAlarmLow:
      return static_cast<uint32_t>(state_.alarm);
    case kAlarmHigh:
      return state_.alarm >> 32;
    case kIrqEnabled:
      return state_.irq_enabled;
    case kAlarmStatus:
      return state_.alarm_armed;
  }
  log(kLogGuestErrors, "goldfish_rtc: read of offset {:#x}", offset);
  return 0;
}

void GoldfishRtc::mmio_write(uint64_t offset, unsigned, uint64_t value) {
  const MutexLock lock(mutex_);
  const auto word = static_cast<uint32_t>(value);
  switch (offset) {
    case kTimeLow:
      set_time_word(0, word);
      break;
    case kTimeHigh:
      set_time_word(32, word);
      break;
    case kAlarmLow:
      state_.alarm = with_word(state_.alarm, 0, word);
      arm();
      break;
    case kAlarmHigh:
      state_.alarm = with_word(state_.alarm, 32, word);
      break;
    case kIrqEnabled:
      state_.irq_enabled = word & 1;
      break;
    case kClearAlarm:
      state_.alarm_armed = false;
      break;
    case kClearInterrupt:
      state_.irq_pending = false;
      break;
    default:
      log(kLogGuestErrors, "goldfish_rtc: write of {:#x} to offset {:#x}", value, offset);
      return;
  }
  update_irq();
}

}  // namespace hv
