// A byte stream between a device and something on the host (terminal, socket, file, pty).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace hv {

// Of a terminal, in characters.
struct CharSize {
  uint16_t columns = 0;
  uint16_t rows = 0;
  bool operator==(const CharSize&) const = default;
};

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
  virtual void closed() {}  // the peer is gone, and what it sent has been received
  // The peer is a terminal of this size: once it is known, and when it changes.
  virtual void resized(CharSize size) {}

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
  // The back end's loop thread: as write(), for bytes that lie in pieces, in guest memory too; no
  // copy is made where a descriptor takes them. What is not taken is not kept: output_ready() says
  // when to come again.
  virtual size_t write_pieces(std::span<const iovec> pieces) {
    size_t done = 0;
    for (const iovec& piece : pieces) {
      const size_t taken = write({static_cast<const uint8_t*>(piece.iov_base), piece.iov_len});
      done += taken;
      if (taken < piece.iov_len) break;
    }
    return done;
  }
  // Any thread: bytes that write() would take now.
  virtual size_t output_room() const = 0;
  // Any thread: the front end can receive again.
  virtual void accept_input() = 0;

  // On exit, main thread, after the loop stopped: writes out what is queued, waiting at most
  // `timeout_ms`; restores a terminal.
  virtual void drain(int timeout_ms) = 0;
};

}  // namespace hv
