#include "hw/char/uart16550.h"

namespace hv {
namespace {

// Register offsets.
enum : unsigned { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };

constexpr uint8_t kIerReceive = 1, kIerTransmit = 2, kIerLine = 4, kIerModem = 8;
constexpr uint8_t kIirNone = 1, kIirModem = 0, kIirTransmit = 2, kIirReceive = 4, kIirLine = 6,
                  kIirTimeout = 0xc, kIirFifos = 0xc0;
constexpr uint8_t kFcrEnable = 1, kFcrClearRx = 2;
constexpr uint8_t kLcrDlab = 0x80;
constexpr uint8_t kLsrData = 1, kLsrOverrun = 2, kLsrParity = 4, kLsrFraming = 8, kLsrBreak = 0x10,
                  kLsrThrEmpty = 0x20, kLsrIdle = 0x40, kLsrFifoError = 0x80;
constexpr uint8_t kLsrErrors = kLsrOverrun | kLsrParity | kLsrFraming | kLsrBreak;
constexpr uint8_t kMsrCts = 0x10, kMsrDsr = 0x20, kMsrRing = 0x40, kMsrCarrier = 0x80;
constexpr uint8_t kMsrDeltaRing = 4;
constexpr uint8_t kMcrMask = 0x1f;

}  // namespace

Uart16550::Uart16550(IrqLine irq, CharBackend* backend) : irq_(irq), backend_(backend) {
  if (backend_) backend_->set_frontend(this);
}

Uart16550::~Uart16550() {
  if (backend_) backend_->set_frontend(nullptr);
}

void Uart16550::reset() {
  {
    const MutexLock lock(mutex_);
    state_ = {};
    irq_.set(false);
  }
  if (backend_) backend_->accept_input();
}

void Uart16550::describe_fdt(FdtNode& node) const {
  node.prop_u32("interrupts", irq_.number());
  node.prop_u32("clock-frequency", kClockFrequency);
  node.prop_string("compatible", "ns16550a");
}

uint64_t Uart16550::mmio_read(uint64_t offset, unsigned) {
  uint8_t value;
  bool made_room;
  {
    const MutexLock lock(mutex_);
    const size_t room = rx_room();
    value = read_register(offset & 7);
    made_room = rx_room() > room;
    update_irq();
  }
  if (made_room && backend_) backend_->accept_input();
  return value;
}

void Uart16550::mmio_write(uint64_t offset, unsigned, uint64_t value) {
  bool made_room;
  {
    const MutexLock lock(mutex_);
    const size_t room = rx_room();
    write_register(offset & 7, static_cast<uint8_t>(value));
    made_room = rx_room() > room;
    update_irq();
  }
  if (made_room && backend_) backend_->accept_input();
}

size_t Uart16550::take_input(std::span<uint8_t> bytes) {
  size_t taken = 0;
  {
    const MutexLock lock(mutex_);
    while (taken < bytes.size() && !state_.rx.empty()) bytes[taken++] = read_data();
    update_irq();
  }
  if (taken && backend_) backend_->accept_input();
  return taken;
}

uint8_t Uart16550::read_register(unsigned reg) {
  switch (reg) {
    case kData:
      return state_.lcr & kLcrDlab ? state_.dll : read_data();
    case kIer:
      return state_.lcr & kLcrDlab ? state_.dlm : state_.ier;
    case kIirFcr: {
      const uint8_t id = interrupt_id();
      if (id == kIirTransmit) state_.thr_interrupt = false;
      return id | (fifo_enabled() ? kIirFifos : 0);
    }
    case kLcr:
      return state_.lcr;
    case kMcr:
      return state_.mcr;
    case kLsr: {
      const uint8_t value = line_status();
      state_.line_errors = 0;
      return value;
    }
    case kMsr: {
      const uint8_t value = modem_lines() | state_.msr_delta;
      state_.msr_delta = 0;
      return value;
    }
    case kScr:
      return state_.scr;
  }
  return 0;
}

void Uart16550::write_register(unsigned reg, uint8_t value) {
  switch (reg) {
    case kData:
      if (state_.lcr & kLcrDlab)
        state_.dll = value;
      else
        transmit(value);
      return;
    case kIer:
      if (state_.lcr & kLcrDlab) {
        state_.dlm = value;
        return;
      }
      // Enabling the transmit interrupt while THR is empty raises it.
      if ((value & ~state_.ier & kIerTransmit) && state_.tx.empty()) state_.thr_interrupt = true;
      state_.ier = value & 0xf;
      return;
    case kIirFcr:
      write_fcr(value);
      return;
    case kLcr:
      state_.lcr = value;
      return;
    case kMcr:
      write_mcr(value);
      return;
    case kLsr:
    case kMsr:
      return;  // for factory tests on the real part
    case kScr:
      state_.scr = value;
      return;
  }
}

uint8_t Uart16550::read_data() {
  if (state_.rx.empty()) return state_.last_received;
  state_.last_received = state_.rx.pop().data;
  show_front_errors();
  return state_.last_received;
}

// The errors of a character show in LSR when it is the next to be read.
void Uart16550::show_front_errors() {
  if (!state_.rx.empty()) state_.line_errors |= state_.rx.front().errors;
}

uint8_t Uart16550::line_status() const {
  uint8_t value = state_.line_errors;
  if (!state_.rx.empty()) value |= kLsrData;
  if (state_.tx.empty()) value |= kLsrThrEmpty | kLsrIdle;
  if (fifo_enabled() &&
      state_.rx.any([](const Received& received) { return received.errors != 0; }))
    value |= kLsrFifoError;
  return value;
}

uint8_t Uart16550::modem_lines() const {
  if (!loopback()) return kMsrCarrier | kMsrDsr | kMsrCts;
  uint8_t lines = 0;
  if (state_.mcr & 1) lines |= kMsrDsr;      // DTR
  if (state_.mcr & 2) lines |= kMsrCts;      // RTS
  if (state_.mcr & 4) lines |= kMsrRing;     // OUT1
  if (state_.mcr & 8) lines |= kMsrCarrier;  // OUT2
  return lines;
}

unsigned Uart16550::rx_trigger() const {
  static constexpr std::array<uint8_t, 4> kLevels{1, 4, 8, 14};
  return fifo_enabled() ? kLevels[state_.fcr >> 6] : 1;
}

// Highest priority first (data sheet table IV).
uint8_t Uart16550::interrupt_id() const {
  if ((state_.ier & kIerLine) && (state_.line_errors & kLsrErrors)) return kIirLine;
  if ((state_.ier & kIerReceive) && !state_.rx.empty())
    return state_.rx.size() >= rx_trigger() ? kIirReceive : kIirTimeout;
  if ((state_.ier & kIerTransmit) && state_.thr_interrupt) return kIirTransmit;
  if ((state_.ier & kIerModem) && state_.msr_delta) return kIirModem;
  return kIirNone;
}

void Uart16550::update_irq() {
  const bool level = interrupt_id() != kIirNone;
  if (level == state_.line_driven) return;
  state_.line_driven = level;
  irq_.set(level);
}

void Uart16550::transmit(uint8_t value) {
  state_.thr_interrupt = false;
  if (loopback()) {
    push_received(value, 0);
    state_.thr_interrupt = true;
    return;
  }
  const unsigned capacity = fifo_enabled() ? kFifoSize : 1;
  if (state_.tx.size() >= capacity) return;  // the driver did not wait for THRE
  state_.tx.push(value);
  flush_transmit();
}

void Uart16550::flush_transmit() {
  if (state_.tx.empty()) return;
  while (!state_.tx.empty()) {
    const auto bytes = state_.tx.contiguous();
    const size_t taken = backend_ ? backend_->write(bytes) : bytes.size();
    if (taken == 0) return;
    for (size_t i = 0; i < taken; ++i) state_.tx.pop();
  }
  state_.thr_interrupt = true;
}

void Uart16550::write_fcr(uint8_t value) {
  const bool toggles = (value ^ state_.fcr) & kFcrEnable;
  if (toggles || (value & kFcrClearRx)) {
    state_.rx.clear();
    state_.line_errors &= kLsrOverrun;
  }
  // Bytes in the transmit FIFO wait only for the host, so clearing it does not drop them: to the
  // guest they count as being shifted out.
  state_.fcr = value & kFcrEnable ? value & 0xc1 : 0;
}

void Uart16550::write_mcr(uint8_t value) {
  const uint8_t before = modem_lines();
  state_.mcr = value & kMcrMask;
  const uint8_t after = modem_lines();
  const uint8_t changed = before ^ after;
  // Ring counts when it ends, the others on any change.
  state_.msr_delta |= (changed & (kMsrCts | kMsrDsr | kMsrCarrier)) >> 4;
  if (before & ~after & kMsrRing) state_.msr_delta |= kMsrDeltaRing;
}

size_t Uart16550::rx_room() const {
  // In loopback the serial input is disconnected: what comes waits in the backend.
  if (loopback()) return 0;
  return rx_capacity() - std::min(rx_capacity(), state_.rx.size());
}

void Uart16550::push_received(uint8_t data, uint8_t errors) {
  if (state_.rx.size() >= rx_capacity()) {
    state_.line_errors |= kLsrOverrun;
    return;
  }
  state_.rx.push({data, errors});
  if (state_.rx.size() == 1) show_front_errors();
}

size_t Uart16550::can_receive() {
  const MutexLock lock(mutex_);
  return rx_room();
}

void Uart16550::receive(std::span<const uint8_t> bytes) {
  const MutexLock lock(mutex_);
  for (const uint8_t byte : bytes) push_received(byte, 0);
  update_irq();
}

void Uart16550::receive_break() {
  const MutexLock lock(mutex_);
  push_received(0, kLsrBreak);
  update_irq();
}

void Uart16550::output_ready() {
  const MutexLock lock(mutex_);
  flush_transmit();
  update_irq();
}

}  // namespace hv
