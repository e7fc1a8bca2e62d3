// virtio-net: frames from the guest.
#include "hw/virtio/net_features.h"
#include "hw/virtio/virtio_net.h"
#include "io/iov.h"

namespace hv {

bool VirtioNetDevice::handle_tx(unsigned pair) {
  TxQueue& tx = tx_[pair];
  if (tx.waiting) {
    tx.waiting = false;
    if (!transmit(pair, tx)) return false;
  }
  const unsigned index = tx_index(pair);
  VirtQueue& vq = queue(index);
  for (unsigned taken = 0; taken < vq.size() && live(); ++taken) {
    if (!vq.pop(tx.chain)) break;
    if (!take_front(tx.chain.readable, &tx.header, sizeof tx.header)) {
      break_device("a frame to send without a header");
      break;
    }
    if (!header_is_valid_) tx.header = {};
    if (!transmit(pair, tx)) break;
  }
  endpoint_->transmit_done(pair);
  publish(index);
  return !tx.waiting;
}

// False: the endpoint has no room.
bool VirtioNetDevice::transmit(unsigned pair, TxQueue& tx) {
  const size_t length = total_length(tx.chain.readable);
  if (length >= kEthernetHeader && length <= kMaxFrame &&
      !endpoint_->transmit(pair, tx.header, tx.chain.readable)) {
    tx.waiting = true;
    return false;
  }
  queue(tx_index(pair)).push(tx.chain.head, 0);
  return true;
}

void VirtioNetDevice::transmit_ready(unsigned pair) {
  if (tx_[pair].waiting) service(tx_index(pair));
}

}  // namespace hv
