#include "net/stream_endpoint.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "io/log.h"

namespace hv {

static constexpr uint32_t kIn = EPOLLIN, kOut = EPOLLOUT;

void StreamEndpoint::attach(EventLoop& loop, NetClient& client) {
  loop_ = &loop;
  client_ = &client;
  closing_ = loop.make_bottom_half([this] { close_peer(nullptr); });
  peers_.attach(loop, [this](UniqueFd peer) { open_peer(std::move(peer)); });
}

void StreamEndpoint::detach() {
  peer_watch_.reset();
  peer_.reset();
  peers_.detach();
  closing_.reset();
  client_ = nullptr;
  loop_ = nullptr;
}

// --- peers

void StreamEndpoint::open_peer(UniqueFd peer) {
  peer_ = std::move(peer);
  may_read_ = true;
  peer_watch_ = loop_->watch_fd(peer_.get(), EPOLLIN, [this](uint32_t bits) { fired(bits); });
  client_->link_changed();
}

void StreamEndpoint::close_peer(const char* why) {
  if (!peer_.valid()) return;
  // Once: a peer may come again at will.
  if (why && !std::exchange(warned_, true))
    warn(fmt::format("{}: {}; its connection is closed", name_, why));
  peer_watch_.reset();
  peer_.reset();
  reader_.clear();
  pending_.clear();
  sent_ = 0;
  client_->link_changed();
  if (std::exchange(refused_, false)) client_->transmit_ready(0);
  peers_.lost();
}

void StreamEndpoint::update() {
  if (!peer_watch_) return;
  // A guest that was refused is told by fired(), also when the rest went out before that.
  peer_watch_->set_events((may_read_ ? kIn : 0) | (pending_.empty() && !refused_ ? 0 : kOut));
}

void StreamEndpoint::fired(uint32_t bits) {
  if (bits & EPOLLOUT) {
    if (!flush()) return close_peer(nullptr);
    const bool ready = refused_ && pending_.size() - sent_ < kMaxPending;
    if (ready) refused_ = false;
    update();
    if (ready) client_->transmit_ready(0);
  }
  if (bits & ~uint32_t{EPOLLOUT} && peer_.valid()) read_frames();
}

// --- to the guest

void StreamEndpoint::read_frames() {
  if (!may_read_) return close_peer(nullptr);  // an error or hang-up: nothing else wakes us now
  const std::span<uint8_t> room = reader_.room();
  const ssize_t size = recv(peer_.get(), room.data(), room.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return close_peer(nullptr);
  reader_.filled(static_cast<size_t>(size));
  if (!deliver()) {
    may_read_ = false;
    update();
  }
  if (reader_.bogus()) close_peer("its peer sends a frame of impossible length");
}

// False: the guest has no room for one.
bool StreamEndpoint::deliver() {
  bool all = true;
  while (const auto frame = reader_.frame()) {
    const iovec piece{const_cast<uint8_t*>(frame->data()), frame->size()};
    all = client_->receive(0, {}, {&piece, 1});
    if (!all) break;
    reader_.drop();
  }
  client_->receive_done(0);
  return all;
}

void StreamEndpoint::receive_ready(unsigned) {
  if (may_read_ || !deliver()) return;
  may_read_ = true;
  update();
  // read_frames() closes the peer when the loop calls it next.
  if (reader_.bogus()) closing_->schedule();
}

// --- from the guest

bool StreamEndpoint::transmit(unsigned, const VnetHeader&, std::span<const iovec> frame) {
  if (!peer_.valid()) return true;
  if (pending_.size() - sent_ >= kMaxPending) {
    refused_ = true;
    return false;
  }
  append_framed(pending_, frame);
  if (pending_.size() - sent_ >= kBatch && sent_ == 0 && !flush()) closing_->schedule();
  return true;
}

void StreamEndpoint::transmit_done(unsigned) {
  if (pending_.empty()) return;
  // While EPOLLOUT is waited for, nothing would be taken.
  if (sent_ == 0 && !flush()) closing_->schedule();
  update();
}

// False: the peer is gone.
bool StreamEndpoint::flush() {
  while (sent_ < pending_.size()) {
    const ssize_t size = send(peer_.get(), pending_.data() + sent_, pending_.size() - sent_,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) return false;
      if (sent_ > kMaxPending) {
        pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(sent_));
        sent_ = 0;
      }
      return true;
    }
    sent_ += static_cast<size_t>(size);
  }
  pending_.clear();
  sent_ = 0;
  return true;
}

}  // namespace hv
