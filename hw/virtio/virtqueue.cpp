#include "hw/virtio/virtqueue.h"

#include <bit>
#include <cassert>

// The rings are little-endian and read in place.
static_assert(std::endian::native == std::endian::little);

namespace hv {

namespace {

constexpr uint16_t kDescNext = 1;
constexpr uint16_t kDescWrite = 2;
constexpr uint16_t kDescIndirect = 4;
constexpr uint16_t kAvailNoInterrupt = 1;
constexpr uint16_t kUsedNoNotify = 1;
constexpr uint32_t kDescSize = 16;
constexpr uint32_t kUsedElementSize = 8;
// Both rings: flags, idx, entries, and the event index of the other side behind them.
constexpr uint32_t kFlags = 0;
constexpr uint32_t kIdx = 2;
constexpr uint32_t kEntries = 4;

uint16_t load16(const uint8_t* at, int order) {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(at), order);
}

void store16(uint8_t* at, uint16_t value, int order) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), value, order);
}

// Virtio 1.2, section 2.7.7.2: has `event` been passed by the step from `before` to `now`?
bool passed_event(uint16_t event, uint16_t now, uint16_t before) {
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - before);
}

}  // namespace

struct VirtQueue::Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

struct VirtQueue::Table {
  const uint8_t* base;
  uint32_t count;
};

bool VirtQueue::start(GuestMemory& memory, const VirtQueueSetup& setup, uint64_t features) {
  stop();
  const uint16_t size = setup.size;
  if (size == 0 || size > kMaxSize || !std::has_single_bit(size))
    return break_queue("queue size is not a power of two in range");
  if (setup.desc % 16 != 0 || setup.driver % 2 != 0 || setup.device % 4 != 0)
    return break_queue("ring address is misaligned");
  desc_ = memory.host(setup.desc, uint64_t{kDescSize} * size);
  avail_ = memory.host(setup.driver, kEntries + 2u * size + 2);
  used_ = memory.host(setup.device, kEntries + kUsedElementSize * size + 2);
  if (!desc_ || !avail_ || !used_) return break_queue("ring lies outside RAM");
  memory_ = &memory;
  size_ = size;
  writable_.resize(size);
  event_idx_ = features & kVirtioRingEventIdx;
  indirect_ = features & kVirtioRingIndirectDesc;
  return true;
}

void VirtQueue::stop() {
  // What was taken and not given back has ended by now, perhaps after it wrote.
  for (auto& buffers : writable_) tell_written(buffers);
  *this = VirtQueue();
}

bool VirtQueue::break_queue(const char* reason) {
  reason_ = reason;
  return false;
}

uint16_t VirtQueue::waiting() const {
  if (!running() || broken()) return 0;
  return load16(avail_ + kIdx, __ATOMIC_ACQUIRE) - next_avail_;
}

bool VirtQueue::pop(DescriptorChain& chain) {
  if (!running() || broken()) return false;
  const uint16_t waiting = load16(avail_ + kIdx, __ATOMIC_ACQUIRE) - next_avail_;
  if (waiting == 0) return false;
  if (waiting > size_) return break_queue("available index is ahead by more than the queue size");
  if (in_use_ >= size_) return break_queue("more chains are available than the queue has entries");
  const uint8_t* entry = avail_ + kEntries + 2u * (next_avail_ & (size_ - 1));
  chain.head = load16(entry, __ATOMIC_RELAXED);
  chain.readable.clear();
  chain.writable.clear();
  taken_ = 0;
  if (!walk({desc_, size_}, chain.head, false, chain)) return false;
  ++next_avail_;
  ++in_use_;
  return true;
}

bool VirtQueue::walk(Table table, uint16_t index, bool indirect, DescriptorChain& chain) {
  for (uint32_t left = table.count;; --left) {
    if (left == 0) return break_queue("descriptor chain loops");
    if (index >= table.count) return break_queue("descriptor index is beyond the table");
    Descriptor descriptor;
    static_assert(sizeof descriptor == kDescSize);
    copy_from_guest(&descriptor, table.base + uint64_t{kDescSize} * index, kDescSize);

    if (descriptor.flags & kDescIndirect) {
      if (!indirect_) return break_queue("indirect descriptor without the feature");
      if (indirect) return break_queue("indirect descriptor in an indirect table");
      if (descriptor.flags & kDescNext) return break_queue("indirect descriptor with a successor");
      if (descriptor.length == 0 || descriptor.length % kDescSize != 0)
        return break_queue("indirect table length is not a multiple of 16");
      const uint8_t* base = memory_->host(descriptor.address, descriptor.length);
      if (!base) return break_queue("indirect table lies outside RAM");
      return walk({base, descriptor.length / kDescSize}, 0, true, chain);
    }
    if (++taken_ > kMaxChain) return break_queue("descriptor chain is too long");
    if (!add_buffer(descriptor, chain)) return false;
    if (!(descriptor.flags & kDescNext)) return true;
    index = descriptor.next;
  }
}

bool VirtQueue::add_buffer(const Descriptor& descriptor, DescriptorChain& chain) {
  const bool writable = descriptor.flags & kDescWrite;
  if (!writable && !chain.writable.empty())
    return break_queue("readable descriptor behind a writable one");
  if (descriptor.length == 0) return true;
  uint8_t* host = memory_->host(descriptor.address, descriptor.length);
  if (!host) return break_queue("buffer lies outside RAM");
  (writable ? chain.writable : chain.readable).push_back({host, descriptor.length});
  if (writable) writable_[chain.head].emplace_back(descriptor.address, descriptor.length);
  return true;
}

void VirtQueue::tell_written(Buffers& buffers) {
  for (const auto& [address, length] : buffers) memory_->note_written(address, length);
  buffers.clear();
}

void VirtQueue::push(uint16_t head, uint32_t written) {
  if (!running()) return;
  assert(in_use_ > 0);
  --in_use_;
  tell_written(writable_[head]);
  const uint32_t element[2] = {head, written};
  copy_to_guest(used_ + kEntries + kUsedElementSize * (next_used_ & (size_ - 1)), element,
                sizeof element);
  ++next_used_;
}

// Both here and in enable_notifications(), our index store must be visible before we look at what
// the other side wants (section 2.7.13.4.1): a sequentially consistent store and load on each side.
bool VirtQueue::publish() {
  if (!running() || next_used_ == published_used_) return false;
  const uint16_t before = published_used_;
  published_used_ = next_used_;
  store16(used_ + kIdx, next_used_, __ATOMIC_SEQ_CST);
  if (event_idx_) {
    const uint16_t event = load16(avail_ + kEntries + 2u * size_, __ATOMIC_SEQ_CST);
    return passed_event(event, next_used_, before);
  }
  return !(load16(avail_ + kFlags, __ATOMIC_SEQ_CST) & kAvailNoInterrupt);
}

// With EVENT_IDX the driver rings when it passes avail_event: one place back, it has passed that
// already.
void VirtQueue::disable_notifications() {
  if (!running() || !notifications_on_) return;
  notifications_on_ = false;
  if (event_idx_)
    store16(used_ + kEntries + kUsedElementSize * size_, next_avail_ - 1, __ATOMIC_RELAXED);
  else
    store16(used_ + kFlags, kUsedNoNotify, __ATOMIC_RELAXED);
}

bool VirtQueue::enable_notifications() {
  if (!running() || broken()) return false;
  notifications_on_ = true;
  if (event_idx_)
    store16(used_ + kEntries + kUsedElementSize * size_, next_avail_, __ATOMIC_SEQ_CST);
  else
    store16(used_ + kFlags, 0, __ATOMIC_SEQ_CST);
  return load16(avail_ + kIdx, __ATOMIC_SEQ_CST) != next_avail_;
}

}  // namespace hv
