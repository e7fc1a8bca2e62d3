// Rings and descriptors of any content: every buffer that comes out lies in RAM, and it ends.
#include <cstdlib>
#include <vector>

#include "fuzz_input.h"
#include "hw/virtio/virtqueue.h"

namespace {

constexpr uint64_t kBase = 0x8000'0000;
constexpr uint64_t kSize = 64 << 10;

void check_buffers(const hv::GuestMemory& memory, const std::vector<iovec>& buffers) {
  for (const iovec& buffer : buffers) {
    const auto at = static_cast<uint64_t>(static_cast<uint8_t*>(buffer.iov_base) - memory.data());
    if (buffer.iov_len == 0 || !memory.contains(kBase + at, buffer.iov_len)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hv::FuzzInput input(data, size);
  auto memory = *hv::GuestMemory::create(kBase, kSize);
  hv::VirtQueueSetup setup{.ready = true};
  setup.size = static_cast<uint16_t>(1u << input.take<uint8_t>() % 11);
  // Mostly where it works, at times anywhere.
  const uint8_t place = input.take<uint8_t>();
  setup.desc = kBase + (place & 1 ? input.take<uint64_t>() : 0);
  setup.driver = kBase + (place & 2 ? input.take<uint64_t>() : 0x4000);
  setup.device = kBase + (place & 4 ? input.take<uint64_t>() : 0x6000);
  const uint64_t features =
      (place & 8 ? hv::kVirtioRingEventIdx : 0) | (place & 16 ? 0 : hv::kVirtioRingIndirectDesc);

  // The rest of the input lies over RAM: descriptors first, then the available ring.
  const auto ring = input.bytes(256);
  if (!ring.empty()) memory->write(kBase + 0x4000, ring.data(), ring.size());
  const auto table = input.bytes(0x4000);
  if (!table.empty()) memory->write(kBase, table.data(), table.size());

  hv::VirtQueue queue;
  if (!queue.start(*memory, setup, features)) {
    if (!queue.broken() || queue.running()) std::abort();
    return 0;
  }
  hv::DescriptorChain chain;
  unsigned taken = 0;
  while (queue.pop(chain)) {
    if (++taken > setup.size) std::abort();
    if (chain.head >= setup.size) std::abort();
    if (chain.readable.size() + chain.writable.size() > hv::VirtQueue::kMaxChain) std::abort();
    check_buffers(*memory, chain.readable);
    check_buffers(*memory, chain.writable);
    if (taken % 3 == 0) queue.push(chain.head, taken);
    if (taken % 5 == 0) (void)queue.publish();
  }
  (void)queue.publish();
  queue.disable_notifications();
  (void)queue.enable_notifications();
  return 0;
}
