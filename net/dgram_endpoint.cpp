#include "net/dgram_endpoint.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/log.h"

namespace hv {

static constexpr uint32_t kIn = EPOLLIN, kOut = EPOLLOUT;

DgramEndpoint::DgramEndpoint(Options options) : options_(std::move(options)) {
  for (size_t i = 0; i < kBatch; ++i) {
    buffers_[i].resize(kMaxFrame);
    pieces_[i] = {buffers_[i].data(), buffers_[i].size()};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = &pieces_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

DgramEndpoint::~DgramEndpoint() {
  if (!options_.remove_path.empty()) unlink(options_.remove_path.c_str());
}

void DgramEndpoint::attach(EventLoop& loop, NetClient& client) {
  client_ = &client;
  watch_ = loop.watch_fd(options_.socket.get(), EPOLLIN, [this](uint32_t bits) { fired(bits); });
}

void DgramEndpoint::detach() {
  watch_.reset();
  client_ = nullptr;
}

void DgramEndpoint::update() {
  watch_->set_events(shut_down_ ? 0 : (may_read_ ? kIn : 0) | (may_write_ ? 0 : kOut));
}

// An earlier datagram found nobody. Reading takes the error as well, but that waits for the guest.
void DgramEndpoint::take_error() {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(options_.socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
}

void DgramEndpoint::fired(uint32_t bits) {
  if (bits & EPOLLERR) take_error();
  if (bits & EPOLLHUP && !std::exchange(shut_down_, true)) {
    warn("-netdev: a datagram socket was shut down; no more frames pass it");
    update();
  }
  if (bits & (EPOLLOUT | EPOLLERR | EPOLLHUP) && !may_write_) {
    may_write_ = true;
    update();
    client_->transmit_ready(0);
  }
  if (bits & EPOLLIN) read_batch();
}

void DgramEndpoint::read_batch() {
  if (count_ == 0) {
    first_ = 0;
    const int count =
        recvmmsg(options_.socket.get(), messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return;
    count_ = static_cast<size_t>(count);
  }
  if (deliver()) return;
  may_read_ = false;
  update();
}

// False: the guest has no room for one.
bool DgramEndpoint::deliver() {
  for (; count_ > 0; --count_, ++first_) {
    const iovec piece{buffers_[first_].data(), messages_[first_].msg_len};
    if (piece.iov_len < kEthernetHeader) continue;
    if (!client_->receive(0, {}, {&piece, 1})) break;
  }
  client_->receive_done(0);
  return count_ == 0;
}

void DgramEndpoint::receive_ready(unsigned) {
  if (may_read_ || !deliver()) return;
  may_read_ = true;
  update();
}

bool DgramEndpoint::transmit(unsigned, const VnetHeader&, std::span<const iovec> frame) {
  out_.assign(frame.begin(), frame.end());
  msghdr message{};
  if (options_.to_length > 0) {
    message.msg_name = &options_.to;
    message.msg_namelen = options_.to_length;
  }
  message.msg_iov = out_.data();
  message.msg_iovlen = out_.size();
  for (;;) {
    if (sendmsg(options_.socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
    if (errno != EINTR) break;
  }
  if (errno != EAGAIN) return true;  // nobody is there, or it is too long
  may_write_ = false;
  update();
  return false;
}

}  // namespace hv
