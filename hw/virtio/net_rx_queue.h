// Buffers that a driver gave for frames, taken out of the ring ahead of them.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "hw/virtio/virtqueue.h"
#include "net/endpoint.h"

namespace hv {

// A frame may take one chain or, with mergeable buffers, as many as it needs, and how long it is
// shows only once it was read. So chains are taken in stock; what a frame leaves serves the next.
// Loop thread.
class NetRxQueue {
 public:
  enum class Room {
    kEnough,
    kMore,   // the ring is empty: wait for the driver
    kNever,  // no number of chains will do
    kBroken  // the queue is, or a chain has no room for the header: reason()
  };

  void start(VirtQueue& queue, bool mergeable);
  void stop();

  // Takes chains until a frame of `length` bytes has room.
  Room reserve(size_t length);
  // What is in stock, without the place of the header: enough for what was last reserved, and for
  // the frame's own chain only if they are not mergeable.
  std::span<const iovec> space();
  // Gives the chains back that hold the frame which now lies at the front of space().
  void commit(const VnetHeader& header, size_t length);
  // Copies a frame that was reserved for, and gives its chains back.
  void put(const VnetHeader& header, std::span<const iovec> frame);

  const char* reason() const { return reason_; }

  bool waiting = false;  // a frame found no room

 private:
  struct Chain {
    DescriptorChain descriptors;
    size_t size = 0;
  };
  Chain& at(size_t index) { return stock_[(first_ + index) % stock_.size()]; }
  void grow();

  VirtQueue* queue_ = nullptr;
  bool mergeable_ = false;
  std::vector<Chain> stock_;  // a ring, so that vectors keep their capacity
  size_t first_ = 0, count_ = 0;
  size_t bytes_ = 0;  // in stock; of the first chain alone if not mergeable
  std::vector<iovec> space_;
  const char* reason_ = nullptr;
};

}  // namespace hv
