// A split virtqueue, seen from the device (virtio 1.2, section 2.7).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "io/guest_memory.h"

namespace hv {

// Feature bits that belong to the rings and to every device (virtio 1.2, section 6).
inline constexpr uint64_t kVirtioRingIndirectDesc = 1ull << 28;
inline constexpr uint64_t kVirtioRingEventIdx = 1ull << 29;
inline constexpr uint64_t kVirtioVersion1 = 1ull << 32;

// Where the driver put a queue: what the transport's queue registers hold.
struct VirtQueueSetup {
  bool ready = false;
  uint16_t size = 0;    // entries, a power of two
  uint64_t desc = 0;    // guest-physical: descriptor table, 16 bytes per entry
  uint64_t driver = 0;  // available ring
  uint64_t device = 0;  // used ring
};

// The buffers of one request, as host pointers into guest RAM. The guest can change what they hold
// at any time: read each byte once. Reused from request to request, so that its vectors keep their
// capacity.
struct DescriptorChain {
  uint16_t head = 0;
  std::vector<iovec> readable;  // what the driver wrote for the device
  std::vector<iovec> writable;  // where the device answers
};

// One queue. Everything in it runs on the device's loop thread.
//
// The rings are hostile: indices are checked, every descriptor is copied once before it is looked
// at, a chain that loops, is too long, leaves RAM or mixes directions breaks the queue. A broken
// queue gives nothing more until start(); the device tells its transport (NEEDS_RESET).
//
// Completions gather: push() writes used entries, publish() shows all of them to the driver with
// one index store and says whether the driver asked for an interrupt.
class VirtQueue {
 public:
  // Most buffers of a chain, in direct descriptors and in the indirect table together: QEMU's
  // limit, and the host's for one scatter-gather call. The descriptor of the table itself does not
  // count.
  static constexpr unsigned kMaxChain = 1024;
  static constexpr unsigned kMaxSize = 1024;

  // Begins anew with index 0; the rings must lie in RAM, aligned as section 2.7 asks. False (and
  // broken, with reason()) when they do not.
  bool start(GuestMemory& memory, const VirtQueueSetup& setup, uint64_t features);
  // Forgets the rings; guest memory is not touched any more.
  void stop();

  bool running() const { return size_ != 0; }
  bool broken() const { return reason_ != nullptr; }
  const char* reason() const { return reason_; }  // what the driver did wrong; a constant string
  uint16_t size() const { return size_; }
  // Chains taken and not yet pushed back.
  unsigned in_use() const { return in_use_; }

  // Chains that the driver has made available and that were not taken yet; what a bad driver says
  // may be more than size(). One load.
  uint16_t waiting() const;
  bool has_work() const { return waiting() > 0; }
  // Takes the next chain. False when there is none or the queue broke (see broken()).
  bool pop(DescriptorChain& chain);
  // Gives a chain back; `written` bytes of its writable part are valid.
  void push(uint16_t head, uint32_t written);
  // Chains pushed and not yet published.
  uint16_t unpublished() const { return next_used_ - published_used_; }
  // Shows the pushed chains to the driver. True if it wants an interrupt for them.
  [[nodiscard]] bool publish();

  // Asks the driver not to / to notify. After enabling, true means that work arrived meanwhile and
  // may have come without a notification.
  void disable_notifications();
  [[nodiscard]] bool enable_notifications();

 private:
  struct Descriptor;
  struct Table;
  using Buffers = std::vector<std::pair<uint64_t, uint64_t>>;  // guest address, length
  bool break_queue(const char* reason);
  bool walk(Table table, uint16_t index, bool indirect, DescriptorChain& chain);
  bool add_buffer(const Descriptor& descriptor, DescriptorChain& chain);
  void tell_written(Buffers& buffers);

  GuestMemory* memory_ = nullptr;
  const uint8_t* desc_ = nullptr;
  uint8_t* avail_ = nullptr;
  uint8_t* used_ = nullptr;
  uint16_t size_ = 0;
  bool event_idx_ = false;
  bool indirect_ = false;
  bool notifications_on_ = true;
  uint16_t next_avail_ = 0;      // free-running: the next avail entry to take
  uint16_t next_used_ = 0;       // free-running: the next used entry to write
  uint16_t published_used_ = 0;  // what the driver sees as used.idx
  unsigned in_use_ = 0;
  // Where the device writes, by head.
  std::vector<Buffers> writable_;
  unsigned taken_ = 0;  // buffers of the chain being walked
  const char* reason_ = nullptr;
};

}  // namespace hv
