#include "hw/virtio/virtio_serial_port.h"

#include <climits>
#include <utility>

#include "hw/virtio/virtio_serial.h"
#include "io/iov.h"
#include "io/log.h"

namespace hv {

void ChainBatch::fill(VirtQueue& queue) {
  while (count_ < kSize && queue.pop(at(count_))) ++count_;
}

void ChainBatch::pop_front() {
  first_ = (first_ + 1) % kSize;
  --count_;
}

VirtioSerialPort::VirtioSerialPort(VirtioSerialDevice& device,
                                   const VirtioSerialBus::PortConfig& config)
    : device_(device), config_(config) {
  pieces_.reserve(IOV_MAX);
}

// Section 5.3.2: port 0 has the queues 0 and 1, the control queues follow, then port 1 and on.
unsigned VirtioSerialPort::receive_queue() const {
  return config_.number == 0 ? 0 : 2 + 2 * config_.number;
}

void VirtioSerialPort::write_emergency(uint8_t byte) {
  if (config_.backend) config_.backend->write({&byte, 1});
}

void VirtioSerialPort::attach() {
  patience_ = device_.loop().make_timer([this] { run_out_of_patience(); });
  if (config_.backend) config_.backend->set_frontend(this);
}

void VirtioSerialPort::detach() {
  if (config_.backend) config_.backend->set_frontend(nullptr);
  patience_.reset();
}

void VirtioSerialPort::stop() {
  room_.clear();
  output_.clear();
  output_offset_ = 0;
  guest_opened(false);
  guest_ready_ = false;
  messages_ = {};
  patience_->cancel();
}

// --- from the host to the guest

bool VirtioSerialPort::guest_listens() const {
  return device_.taking() && (guest_open_ || !device_.multiport());
}

bool VirtioSerialPort::offer_room() {
  VirtQueue& queue = device_.queue(receive_queue());
  if (!queue.running()) room_.clear();
  room_.fill(queue);
  // A buffer that holds nothing would hold up those behind it.
  bool returned = false;
  while (!room_.empty() && total_length(room_.front().writable) == 0) {
    queue.push(room_.front().head, 0);
    room_.pop_front();
    returned = true;
  }
  if (returned) device_.publish(receive_queue());
  if (!room_.empty() && guest_listens() && std::exchange(starved_, false))
    config_.backend->accept_input();
  return room_.empty();
}

size_t VirtioSerialPort::can_receive() {
  if (!device_.queue(receive_queue()).running()) room_.clear();
  if (guest_listens() && room_.count() < ChainBatch::kSize / 2) device_.service(receive_queue());
  size_t size = 0;
  if (guest_listens())
    for (unsigned i = 0; i < room_.count(); ++i) size += total_length(room_.at(i).writable);
  starved_ = size == 0;
  return size;
}

void VirtioSerialPort::receive(std::span<const uint8_t> bytes) {
  VirtQueue& queue = device_.queue(receive_queue());
  if (!queue.running()) return;
  while (!bytes.empty() && !room_.empty()) {
    const DescriptorChain& chain = room_.front();
    const size_t part = copy_to_pieces(chain.writable, 0, bytes.data(), bytes.size());
    queue.push(chain.head, static_cast<uint32_t>(part));
    room_.pop_front();
    bytes = bytes.subspan(part);
  }
  device_.publish(receive_queue());
}

// --- from the guest to the host

// Up to what one call to the host takes.
size_t VirtioSerialPort::gather_output() {
  pieces_.clear();
  size_t total = 0, skip = output_offset_;
  for (unsigned i = 0; i < output_.count(); ++i) {
    for (iovec piece : output_.at(i).readable) {
      const size_t skipped = std::min(skip, piece.iov_len);
      skip -= skipped;
      piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + skipped;
      piece.iov_len -= skipped;
      if (piece.iov_len == 0) continue;
      if (pieces_.size() == IOV_MAX) return total;
      pieces_.push_back(piece);
      total += piece.iov_len;
    }
  }
  return total;
}

void VirtioSerialPort::give_back(size_t done) {
  VirtQueue& queue = device_.queue(transmit_queue());
  output_offset_ += done;
  while (!output_.empty()) {
    const uint64_t length = total_length(output_.front().readable);
    if (length > output_offset_) break;
    output_offset_ -= length;
    queue.push(output_.front().head, 0);
    output_.pop_front();
  }
  device_.publish(transmit_queue());
}

bool VirtioSerialPort::send_output() {
  VirtQueue& queue = device_.queue(transmit_queue());
  if (!queue.running()) output_.clear();
  output_.fill(queue);
  if (output_.empty()) return true;
  const size_t total = gather_output();
  const size_t done = total > 0 && host_listens() ? config_.backend->write_pieces(pieces_) : total;
  if (done < total && gave_up_) {
    give_back(total);
    return true;
  }
  give_back(done);
  if (done == total) return output_.empty();
  if (config_.console && !patience_->armed()) patience_->arm_in(kPatienceNs);
  return false;
}

void VirtioSerialPort::output_ready() {
  gave_up_ = false;
  patience_->cancel();
  device_.service(transmit_queue());
}

void VirtioSerialPort::run_out_of_patience() {
  gave_up_ = true;
  warn(fmt::format("virtconsole, port {}: output is discarded, for nothing reads it", number()));
  device_.service(transmit_queue());
}

// --- comings and goings

void VirtioSerialPort::guest_ready() {
  guest_ready_ = true;
  messages_.console = config_.console;
  messages_.name = !config_.name.empty();
  messages_.close = false;
  messages_.open = host_listens();
  messages_.resize = config_.console && size_ != CharSize{};
  device_.tell_driver();
}

void VirtioSerialPort::guest_opened(bool open) {
  if (std::exchange(guest_open_, open) != open && !config_.console && !config_.id.empty())
    device_.guest_opened_port(config_.id, open);
  if (config_.backend && open) config_.backend->accept_input();
}

void VirtioSerialPort::opened() {
  host_open_ = true;
  if (!guest_ready_ || config_.console) return;
  messages_.open = true;
  device_.tell_driver();
}

void VirtioSerialPort::closed() {
  host_open_ = false;
  if (config_.console) return;
  if (guest_ready_) {
    messages_.close = true;
    messages_.open = false;
    device_.tell_driver();
  }
  // What waited for this peer is not for the next one.
  device_.service(transmit_queue());
}

void VirtioSerialPort::resized(CharSize size) {
  if (!config_.console) return;
  size_ = size;
  messages_.resize = guest_ready_;
  device_.console_resized(*this);
}

}  // namespace hv
