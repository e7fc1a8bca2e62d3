// Stand-ins for what surrounds a device.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hw/device.h"
#include "io/char_backend.h"
#include "io/hart_port.h"
#include "io/irq_line.h"
#include "io/system_control.h"

namespace hv::test {

// Keeps the level of each interrupt number and counts rises. Any thread.
class FakeIrqSink final : public IrqSink {
 public:
  void set_irq(unsigned number, bool level) override {
    if (!levels_.at(number).exchange(level) && level) ++rises_.at(number);
  }
  bool level(unsigned number) const { return levels_.at(number); }
  unsigned rises(unsigned number) const { return rises_.at(number); }

 private:
  std::array<std::atomic<bool>, 96> levels_{};
  std::array<std::atomic<unsigned>, 96> rises_{};
};

// A hart's inputs. Any thread.
class FakeHart final : public HartPort {
 public:
  explicit FakeHart(unsigned id) : id_(id) {}

  bool drive_irq(HartIrq irq, bool level) override {
    const auto bit = static_cast<unsigned>(irq);
    // Calls for one wire must not overlap, or an older level could win.
    if (busy_.at(bit).exchange(true)) overlapped_ = true;
    const bool rose = level && !levels_.at(bit).exchange(level);
    levels_.at(bit) = level;
    ++calls_.at(bit);
    busy_.at(bit) = false;
    return rose;
  }
  void notice_irqs() override {
    ++notices_;
    if (on_notice) on_notice();
  }
  // Set it before others may drive the hart.
  std::function<void()> on_notice;
  void set_mtimecmp(uint64_t deadline_ticks) override {
    mtimecmp_ = deadline_ticks;
    ++timer_updates_;
  }
  uint64_t mtimecmp() const override { return mtimecmp_; }
  unsigned hart_id() const override { return id_; }

  bool level(HartIrq irq) const { return levels_.at(static_cast<unsigned>(irq)); }
  unsigned calls(HartIrq irq) const { return calls_.at(static_cast<unsigned>(irq)); }
  unsigned notices() const { return notices_; }
  unsigned timer_updates() const { return timer_updates_; }
  bool overlapped() const { return overlapped_; }

 private:
  unsigned id_;
  std::array<std::atomic<bool>, 16> levels_{}, busy_{};
  std::array<std::atomic<unsigned>, 16> calls_{};
  std::atomic<bool> overlapped_{false};
  std::atomic<unsigned> notices_{0};
  std::atomic<uint64_t> mtimecmp_{~0ull};
  std::atomic<unsigned> timer_updates_{0};
};

// Takes at most `room` bytes of output; tests run it on one thread, or only through write().
class FakeCharBackend final : public CharBackend {
 public:
  void set_frontend(CharFrontend* frontend) override { frontend_ = frontend; }
  size_t write(std::span<const uint8_t> bytes) override {
    const std::lock_guard lock(mutex_);
    const size_t taken = std::min(bytes.size(), room_);
    output_.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    room_ -= taken;
    return taken;
  }
  size_t output_room() const override {
    const std::lock_guard lock(mutex_);
    return room_;
  }
  void accept_input() override { ++accepts_; }
  void drain(int) override {}

  // The host has made room for `bytes` more.
  void grow_room(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      room_ += bytes;
    }
    if (frontend_) frontend_->output_ready();
  }
  void set_room(size_t bytes) {
    const std::lock_guard lock(mutex_);
    room_ = bytes;
  }
  // Sends text to the device as far as it can take it; returns how much.
  size_t send(std::string_view text) {
    const size_t count = std::min(text.size(), frontend_->can_receive());
    if (count) frontend_->receive({reinterpret_cast<const uint8_t*>(text.data()), count});
    return count;
  }

  CharFrontend* frontend() { return frontend_; }
  std::string output() const {
    const std::lock_guard lock(mutex_);
    return output_;
  }
  unsigned accepts() const { return accepts_; }

 private:
  mutable std::mutex mutex_;
  CharFrontend* frontend_ = nullptr;
  std::string output_;
  size_t room_ = SIZE_MAX / 2;
  std::atomic<unsigned> accepts_{0};
};

class FakeSystemControl final : public SystemControl {
 public:
  void request_shutdown(ShutdownCause cause, int exit_status) override {
    ++shutdowns;
    last_cause = cause;
    last_status = exit_status;
  }
  void request_reset(bool by_guest) override {
    ++resets;
    last_reset_by_guest = by_guest;
  }
  void report_disk_error(const DiskError& error) override {
    std::lock_guard lock(mutex);
    disk_errors.push_back(error);
  }
  size_t disk_error_count() {
    std::lock_guard lock(mutex);
    return disk_errors.size();
  }
  std::mutex mutex;
  std::vector<DiskError> disk_errors;

  std::atomic<unsigned> shutdowns{0}, resets{0};
  std::atomic<ShutdownCause> last_cause{};
  std::atomic<int> last_status{-1};
  std::atomic<bool> last_reset_by_guest{false};
};

// Properties as text: cells as "<1 2>", strings as "a,b".
class FakeFdtNode final : public FdtNode {
 public:
  void prop_u32(std::string_view name, uint32_t value) override { prop_cells(name, {value}); }
  void prop_u64(std::string_view name, uint64_t value) override {
    prop_cells(name, {static_cast<uint32_t>(value >> 32), static_cast<uint32_t>(value)});
  }
  void prop_cells(std::string_view name, const std::vector<uint32_t>& cells) override {
    std::string text = "<";
    for (size_t i = 0; i < cells.size(); ++i) text += (i ? " " : "") + std::to_string(cells[i]);
    props[std::string(name)] = text + ">";
  }
  void prop_string(std::string_view name, std::string_view value) override {
    props[std::string(name)] = value;
  }
  void prop_strings(std::string_view name, const std::vector<std::string>& values) override {
    std::string text;
    for (const auto& value : values) text += (text.empty() ? "" : ",") + value;
    props[std::string(name)] = text;
  }
  void prop_empty(std::string_view name) override { props[std::string(name)] = ""; }
  void prop_bytes(std::string_view name, const void*, size_t size) override {
    props[std::string(name)] = std::to_string(size) + " bytes";
  }

  std::map<std::string, std::string> props;
};

}  // namespace hv::test
