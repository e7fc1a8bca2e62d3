// Frames between a network device and the host: the two sides of one cable.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "main-loop/event_loop.h"

namespace hv {

// What goes with a frame when offloads are in use; the layout of virtio 1.2, section 5.1.6, and of
// Linux's tap devices. All zero: the frame is as it would be on a wire.
struct VnetHeader {
  static constexpr uint8_t kNeedsCsum = 1;  // flags
  static constexpr uint8_t kDataValid = 2;
  static constexpr uint8_t kGsoNone = 0;  // gso_type
  static constexpr uint8_t kGsoTcp4 = 1;
  static constexpr uint8_t kGsoTcp6 = 4;
  static constexpr uint8_t kGsoEcn = 0x80;  // with one of the above

  uint8_t flags = 0;
  uint8_t gso_type = kGsoNone;
  uint16_t header_length = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;   // the sum over all from here on ...
  uint16_t csum_offset = 0;  // ... is stored this far behind it
  uint16_t buffers = 0;      // of a device with mergeable buffers; nothing to an endpoint
};
static_assert(sizeof(VnetHeader) == 12);

// The longest frame, a segmentation offload's: an IP packet behind an Ethernet header with a VLAN
// tag.
inline constexpr size_t kMaxFrame = 65535 + 18;
inline constexpr size_t kEthernetHeader = 14;

// What one side may leave undone in the frames that it hands to the other.
struct NetOffloads {
  bool checksum = false;  // kNeedsCsum
  bool tso4 = false;      // kGsoTcp4
  bool tso6 = false;      // kGsoTcp6
  bool ecn = false;       // kGsoEcn
  bool operator==(const NetOffloads&) const = default;
};

// A network device, as its endpoint sees it. Loop thread. `pair` counts queue pairs from 0.
//
// Nothing is lost while the device has room. A frame that finds none stays with the endpoint, which
// stops asking its source for more until receive_ready().
class NetClient {
 public:
  // Copies one frame. False: there is no room; to be offered again after receive_ready().
  virtual bool receive(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) = 0;

  // Where the next frame may be put without a copy; empty when there is no room, as above. It may
  // be too short for the frame, which then goes through receive(). Valid until the next call of
  // the client.
  virtual std::span<const iovec> receive_space(unsigned pair) = 0;
  // A frame of `length` bytes was put there.
  virtual void received(unsigned pair, const VnetHeader& header, size_t length) = 0;

  // No more frames for now: those that came may be shown to the guest.
  virtual void receive_done(unsigned pair) = 0;

  // After a transmit() that was refused: there is room again.
  virtual void transmit_ready(unsigned pair) = 0;

  // link_up() says something new.
  virtual void link_changed() = 0;

 protected:
  ~NetClient() = default;
};

// A back end of -netdev, with one client or, before attach() and after detach(), with none.
//
// Made and destroyed on the main thread; all else runs on the client's loop. receive_ready(),
// transmit() and transmit_done() may call the client's receive functions before they return, and no
// other ones.
class NetEndpoint {
 public:
  struct Traits {
    unsigned pairs = 1;    // queue pairs, all with a source and a sink of their own
    NetOffloads transmit;  // what transmit() copes with
    NetOffloads receive;   // what set_receive_offloads() may ask for
  };

  virtual ~NetEndpoint() = default;
  // Constant, any thread.
  virtual const Traits& traits() const = 0;

  virtual void attach(EventLoop& loop, NetClient& client) = 0;
  virtual void detach() = 0;

  // Sends a frame; its buffers are the caller's again on return. False: there is no room; the
  // caller keeps the frame until transmit_ready(). What cannot be sent at all is dropped.
  virtual bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) = 0;
  // After a transmit() that was refused: the caller has dropped the frame, for its driver is gone.
  virtual void transmit_forget(unsigned pair) {}
  // A burst of transmit() calls is over.
  virtual void transmit_done(unsigned pair) {}

  // After a receive() or receive_space() that found no room: there is some.
  virtual void receive_ready(unsigned pair) = 0;

  // What received frames may leave undone from now on; none at first.
  virtual void set_receive_offloads(const NetOffloads& offloads) {}
  // Pairs from this one on are not in use; one is, at first.
  virtual void set_active_pairs(unsigned count) {}

  virtual bool link_up() const { return true; }
};

}  // namespace hv
