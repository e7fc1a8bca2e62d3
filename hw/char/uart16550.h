// The serial port: a 16550A over a CharBackend.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hw/device.h"
#include "io/char_backend.h"
#include "io/irq_line.h"
#include "io/mmio_device.h"
#include "io/thread_safety.h"

namespace hv {

// NS16550A: eight byte-wide registers, 16-byte FIFOs (PC16550D data sheet).
//
// There is no baud rate: a stored byte goes to the backend at once, so THR is empty again before
// the store returns. When the backend has no room the bytes wait in the transmit FIFO with LSR.THRE
// clear, and go on at CharBackend's output_ready(); a driver that honours THRE loses nothing.
// Likewise a character time is zero: the receive time-out has passed as soon as a batch of input
// below the trigger level has come in.
//
// Registers run on the hart threads, input on the backend's loop; one mutex guards all state. The
// wire is driven under it, in one place.
class Uart16550 final : public Device, public MmioDevice, public CharFrontend {
 public:
  // Bytes that answer; the board's device-tree node says 0x100.
  static constexpr uint64_t kWindowSize = 8;
  static constexpr unsigned kMinAccess = 1, kMaxAccess = 8;
  static constexpr uint32_t kClockFrequency = 3'686'400;  // Hz, as the device tree says
  static constexpr unsigned kFifoSize = 16;

  // `backend` may be nullptr (nothing connected) and outlives the device. Construct and destroy
  // while the backend's loop does not run, or on it.
  Uart16550(IrqLine irq, CharBackend* backend);
  ~Uart16550() override;

  std::string_view type_name() const override { return "serial-mm"; }
  void reset() override;
  // "compatible", "clock-frequency" and "interrupts".
  void describe_fdt(FdtNode& node) const;

  // Wider accesses see the addressed register, zero-extended.
  uint64_t mmio_read(uint64_t offset, unsigned size) override;
  void mmio_write(uint64_t offset, unsigned size, uint64_t value) override;

  // What firmware's polled console does: takes received bytes, returns how many. Any thread.
  size_t take_input(std::span<uint8_t> bytes);

  size_t can_receive() override;
  void receive(std::span<const uint8_t> bytes) override;
  void receive_break() override;
  void output_ready() override;

 private:
  // A received character and the LSR error bits that came with it.
  struct Received {
    uint8_t data;
    uint8_t errors;
  };
  template <class T>
  class Fifo {
   public:
    unsigned size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const T& front() const { return slots_[first_]; }
    void push(T value) { slots_[(first_ + size_++) % kFifoSize] = value; }
    T pop() {
      const T value = front();
      first_ = (first_ + 1) % kFifoSize;
      --size_;
      return value;
    }
    void clear() { size_ = 0; }
    // The oldest elements that lie in one piece.
    std::span<const T> contiguous() const {
      return {&slots_[first_], std::min(size_, kFifoSize - first_)};
    }
    template <class Predicate>
    bool any(Predicate predicate) const {
      for (unsigned i = 0; i < size_; ++i)
        if (predicate(slots_[(first_ + i) % kFifoSize])) return true;
      return false;
    }

   private:
    std::array<T, kFifoSize> slots_{};
    unsigned first_ = 0, size_ = 0;
  };

  struct State {
    uint8_t ier = 0, lcr = 0, mcr = 0, scr = 0, fcr = 0;
    uint8_t dll = 12, dlm = 0;  // 9600 baud until somebody sets it
    uint8_t msr_delta = 0;
    // LSR error bits not read yet.
    uint8_t line_errors = 0;
    bool thr_interrupt = false;  // THR became empty and IIR or THR was not touched since
    bool line_driven = false;
    uint8_t last_received = 0;
    Fifo<Received> rx;
    Fifo<uint8_t> tx;
  };

  uint8_t read_register(unsigned reg) HV_REQUIRES(mutex_);
  void write_register(unsigned reg, uint8_t value) HV_REQUIRES(mutex_);
  uint8_t read_data() HV_REQUIRES(mutex_);
  uint8_t line_status() const HV_REQUIRES(mutex_);
  uint8_t modem_lines() const HV_REQUIRES(mutex_);
  uint8_t interrupt_id() const HV_REQUIRES(mutex_);
  bool fifo_enabled() const HV_REQUIRES(mutex_) { return state_.fcr & 1; }
  bool loopback() const HV_REQUIRES(mutex_) { return state_.mcr & 0x10; }
  unsigned rx_capacity() const HV_REQUIRES(mutex_) { return fifo_enabled() ? kFifoSize : 1; }
  unsigned rx_trigger() const HV_REQUIRES(mutex_);
  size_t rx_room() const HV_REQUIRES(mutex_);
  void push_received(uint8_t data, uint8_t errors) HV_REQUIRES(mutex_);
  void show_front_errors() HV_REQUIRES(mutex_);
  void transmit(uint8_t value) HV_REQUIRES(mutex_);
  void flush_transmit() HV_REQUIRES(mutex_);
  void write_fcr(uint8_t value) HV_REQUIRES(mutex_);
  void write_mcr(uint8_t value) HV_REQUIRES(mutex_);
  // Recomputes the interrupt; the only place that drives the wire.
  void update_irq() HV_REQUIRES(mutex_);

  const IrqLine irq_;
  CharBackend* const backend_;
  Mutex mutex_;
  State state_ HV_GUARDED_BY(mutex_);
};

}  // namespace hv
