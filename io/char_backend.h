// A byte stream between a device and something on the host (terminal, socket, file, pty).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hv {

// Receives what the host side sends. Called on the backend's loop thread.
class CharFrontend {
 public:
  // How many bytes receive() can take now; the backend stops reading when 0 and resumes after
  // CharBackend::accept_input().
  virtual size_t can_receive() = 0;
  virtual void receive(std::span<const uint8_t> bytes) = 0;
  // A serial line BREAK (C-a b).
  virtual void receive_break() {}
  // There is room again after a write() that took less than it was given.
  virtual void output_ready() {}
  virtual void opened() {}  // a peer has connected
  virtual void closed() {}  // the peer is gone; what it sent before may still come

 protected:
  ~CharFrontend() = default;
};

// One front end at a time. Output is never dropped for a connected peer: it is queued, bounded, and
// output_room() says how much more fits; for a peer that is absent it is discarded as QEMU does.
class CharBackend {
 public:
  virtual ~CharBackend() = default;

  // Before the machine starts, or on the loop thread. nullptr detaches.
  virtual void set_frontend(CharFrontend* frontend) = 0;

  // Any thread, never blocks: queues bytes for the loop to write; returns how many were taken.
  virtual size_t write(std::span<const uint8_t> bytes) = 0;
  // Any thread: bytes that write() would take now.
  virtual size_t output_room() const = 0;
  // Any thread: the front end can receive again.
  virtual void accept_input() = 0;

  // On exit, main thread, after the loop stopped: writes out what is queued, waiting at most
  // `timeout_ms`; restores a terminal.
  virtual void drain(int timeout_ms) = 0;
};

}  // namespace hv
