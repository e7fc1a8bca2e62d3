// What the chardev tests share.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>

#include "io/unique_fd.h"
#include "main-loop/chardev.h"
#include "main-loop/io_thread.h"

namespace hv {

// A front end that remembers what it is told, with room for `room` bytes at a time.
class RecordingFrontend final : public CharFrontend {
 public:
  explicit RecordingFrontend(size_t room = SIZE_MAX) : room_(room) {}

  size_t can_receive() override {
    const std::lock_guard lock(mutex_);
    return room_;
  }
  void receive(std::span<const uint8_t> bytes) override {
    const std::lock_guard lock(mutex_);
    overrun_ |= bytes.size() > room_;
    if (room_ != SIZE_MAX) room_ -= std::min(bytes.size(), room_);
    received_.append(bytes.begin(), bytes.end());
    changed_.notify_all();
  }
  void receive_break() override { note("<break>"); }
  void output_ready() override {
    const std::lock_guard lock(mutex_);
    ready_calls_++;
    changed_.notify_all();
  }
  void opened() override { note("<opened>"); }
  void closed() override { note("<closed>"); }

  void set_room(size_t room) {
    const std::lock_guard lock(mutex_);
    room_ = room;
  }
  // Waits until `condition` holds for what was received and noted; the test's time limit is the
  // only one.
  template <class Condition>
  void wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return condition(received_); });
  }
  void wait_for(const std::string& text) {
    wait_until([&](const std::string& received) { return received == text; });
  }
  void wait_for_ready(int calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready_calls_ >= calls; });
  }
  std::string received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  bool overrun() {
    const std::lock_guard lock(mutex_);
    return overrun_;
  }
  int ready_calls() {
    const std::lock_guard lock(mutex_);
    return ready_calls_;
  }

 private:
  void note(const char* text) {
    const std::lock_guard lock(mutex_);
    received_ += text;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string received_;
  size_t room_;
  bool overrun_ = false;
  int ready_calls_ = 0;
};

inline std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Writes everything, waiting for room as a device would by coming back later.
inline void write_all(CharBackend& backend, const std::string& text) {
  std::span<const uint8_t> left = as_bytes(text);
  while (!left.empty()) {
    const size_t taken = backend.write(left);
    left = left.subspan(taken);
    if (taken == 0) usleep(1000);
  }
}

// Blocks until exactly `size` bytes have come.
inline std::string read_exactly(int fd, size_t size) {
  std::string text(size, '\0');
  size_t at = 0;
  while (at < size) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    poll(&ready, 1, -1);
    const ssize_t got = read(fd, text.data() + at, size - at);
    if (got < 0 && errno == EAGAIN) continue;
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

inline void put(int fd, const std::string& text) {
  REQUIRE(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

inline KeyValues chardev_options(const std::string& text) {
  auto options = KeyValues::parse("-chardev", text, "backend");
  REQUIRE(options.has_value());
  return *options;
}

inline std::unique_ptr<CharBackend> make_chardev(EventLoop& loop, const std::string& text,
                                                 const CharEscapes& escapes = {}) {
  auto backend = create_chardev(loop, chardev_options(text), escapes);
  if (!backend) FAIL(backend.error().message);
  return std::move(*backend);
}

inline std::string chardev_error(EventLoop& loop, const std::string& text) {
  auto backend = create_chardev(loop, chardev_options(text), {});
  return backend ? "no error" : backend.error().message;
}

// An empty directory for sockets, pipes and files.
class TempDir {
 public:
  TempDir() { REQUIRE(mkdtemp(path_)); }
  ~TempDir() {
    [[maybe_unused]] const int rc = std::system(("rm -rf " + std::string(path_)).c_str());
  }
  std::string operator/(const std::string& name) const { return std::string(path_) + "/" + name; }

 private:
  char path_[32] = "/tmp/hv-main-loop-XXXXXX";
};

}  // namespace hv
