#include "net/guest_forward.h"

#include <algorithm>

namespace hv {

GuestForward::GuestForward(CharBackend& backend) : backend_(backend) {
  backend_.set_frontend(this);
}

GuestForward::~GuestForward() {
  backend_.set_frontend(nullptr);
}

void GuestForward::attach(EventLoop& loop, std::function<void()> arrived) {
  loop_ = &loop;
  loop.attach(arrived_, std::move(arrived));
}

void GuestForward::detach() {
  if (loop_) loop_->detach(arrived_);
  loop_ = nullptr;
}

std::vector<uint8_t> GuestForward::take(size_t most) {
  std::vector<uint8_t> bytes;
  {
    MutexLock lock(mutex_);
    const size_t size = std::min(most, from_chardev_.size());
    bytes.assign(from_chardev_.begin(), from_chardev_.begin() + static_cast<ptrdiff_t>(size));
    from_chardev_.erase(from_chardev_.begin(),
                        from_chardev_.begin() + static_cast<ptrdiff_t>(size));
  }
  if (!bytes.empty()) backend_.accept_input();
  return bytes;
}

size_t GuestForward::write(std::span<const uint8_t> bytes) {
  MutexLock lock(mutex_);
  const size_t size = std::min(bytes.size(), kBuffer - to_chardev_.size());
  to_chardev_.insert(to_chardev_.end(), bytes.begin(),
                     bytes.begin() + static_cast<ptrdiff_t>(size));
  flush_locked();
  return size;
}

void GuestForward::flush_locked() {
  const size_t taken = backend_.write(to_chardev_);
  to_chardev_.erase(to_chardev_.begin(), to_chardev_.begin() + static_cast<ptrdiff_t>(taken));
}

size_t GuestForward::can_receive() {
  MutexLock lock(mutex_);
  return kBuffer - from_chardev_.size();
}

void GuestForward::receive(std::span<const uint8_t> bytes) {
  {
    MutexLock lock(mutex_);
    from_chardev_.insert(from_chardev_.end(), bytes.begin(), bytes.end());
  }
  arrived_.set();
}

void GuestForward::output_ready() {
  MutexLock lock(mutex_);
  flush_locked();
}

}  // namespace hv
