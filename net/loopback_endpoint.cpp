#include "net/loopback_endpoint.h"

#include "net/frame.h"

namespace hv {

LoopbackEndpoint::LoopbackEndpoint(unsigned pairs) : pairs_(pairs) {
  const NetOffloads all{.checksum = true, .tso4 = true, .tso6 = true, .ecn = true};
  traits_ = {.pairs = pairs, .transmit = all, .receive = all};
}

void LoopbackEndpoint::attach(EventLoop& loop, NetClient& client) {
  client_ = &client;
  ready_soon_ = loop.make_bottom_half([this] { tell_ready(); });
}

void LoopbackEndpoint::detach() {
  client_ = nullptr;
  ready_soon_.reset();
  for (Pair& pair : pairs_) pair = Pair();
}

bool LoopbackEndpoint::transmit(unsigned index, const VnetHeader& header,
                                std::span<const iovec> frame) {
  Pair& pair = pairs_[index];
  if (pair.queue.size() >= kQueue) {
    pair.refused = true;
    return false;
  }
  pair.queue.push_back({header, gather_frame(frame)});
  return true;
}

void LoopbackEndpoint::transmit_done(unsigned pair) {
  deliver(pair);
}

void LoopbackEndpoint::deliver(unsigned index) {
  Pair& pair = pairs_[index];
  while (!pair.queue.empty()) {
    Frame& frame = pair.queue.front();
    const iovec piece{frame.bytes.data(), frame.bytes.size()};
    if (!client_->receive(index, frame.header, {&piece, 1})) break;
    pair.queue.pop_front();
  }
  client_->receive_done(index);
  if (pair.refused && pair.queue.size() < kQueue) ready_soon_->schedule();
}

void LoopbackEndpoint::tell_ready() {
  for (unsigned index = 0; index < pairs_.size(); ++index) {
    Pair& pair = pairs_[index];
    if (!pair.refused || pair.queue.size() >= kQueue) continue;
    pair.refused = false;
    client_->transmit_ready(index);
  }
}

}  // namespace hv
