// virtio-net: frames to the guest.
#include <cstring>

#include "hw/virtio/net_features.h"
#include "hw/virtio/virtio_net.h"
#include "io/iov.h"

namespace hv {

// The driver has put buffers into the ring. They stay there while no frame waits for them.
bool VirtioNetDevice::handle_rx(unsigned pair) {
  NetRxQueue& rx = rx_[pair];
  if (!rx.waiting) return false;
  rx.waiting = false;
  endpoint_->receive_ready(pair);
  publish(rx_index(pair));
  return rx.waiting;
}

// True when a frame of `length` bytes can be put; otherwise it waits, or `rx.waiting` is false and
// it is to be dropped.
bool VirtioNetDevice::make_room(unsigned pair, size_t length) {
  NetRxQueue& rx = rx_[pair];
  const unsigned index = rx_index(pair);
  if (pair >= active_pairs_ && live()) return false;
  if (!taking() || !queue(index).running()) {
    rx.waiting = true;
    return false;
  }
  for (;;) {
    switch (rx.reserve(length)) {
      case NetRxQueue::Room::kEnough:
        return true;
      case NetRxQueue::Room::kNever:
        return false;
      case NetRxQueue::Room::kBroken:
        break_device(rx.reason());
        return false;
      case NetRxQueue::Room::kMore:
        publish(index);
        if (await_chains(index)) break;
        rx.waiting = true;
        return false;
    }
  }
}

bool VirtioNetDevice::passes_filter(std::span<const iovec> frame) const {
  if (filter_.promiscuous) return true;
  uint8_t head[NetFilter::kLookedAt];
  const size_t size = copy_from_pieces(frame, 0, head, sizeof head);
  MacAddress own;
  const uint64_t mac = mac_.load(std::memory_order_relaxed);
  std::memcpy(own.data(), &mac, own.size());
  return filter_.passes({head, size}, own);
}

bool VirtioNetDevice::receive(unsigned pair, const VnetHeader& header,
                              std::span<const iovec> frame) {
  if (live() && !passes_filter(frame)) return true;
  NetRxQueue& rx = rx_[pair];
  if (!make_room(pair, total_length(frame))) return !rx.waiting;
  rx.put(header, frame);
  return true;
}

std::span<const iovec> VirtioNetDevice::receive_space(unsigned pair) {
  // Without MQ what is a receive queue otherwise may be the control queue.
  if (pair >= active_pairs_) return {};
  NetRxQueue& rx = rx_[pair];
  // As much as there is, for the frame's length is not known; but something.
  switch (taking() && queue(rx_index(pair)).running() ? rx.reserve(kMaxFrame)
                                                      : NetRxQueue::Room::kMore) {
    case NetRxQueue::Room::kBroken:
      break_device(rx.reason());
      return {};
    default:
      break;
  }
  if (!make_room(pair, kEthernetHeader)) return {};
  return rx.space();
}

void VirtioNetDevice::received(unsigned pair, const VnetHeader& header, size_t length) {
  NetRxQueue& rx = rx_[pair];
  if (!passes_filter(rx.space())) return;
  rx.commit(header, length);
}

void VirtioNetDevice::receive_done(unsigned pair) {
  publish(rx_index(pair));
}

}  // namespace hv
