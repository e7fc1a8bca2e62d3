#include "cpu/vcpu_mailbox.h"

#include <utility>

#include "cpu/mmu.h"

namespace hv {

void Mailbox::post(std::function<void(Hart&)> fn) {
  MutexLock lock(mutex_);
  queue_.push_back(std::move(fn));
}

void Mailbox::drain(Hart& hart) {
  for (;;) {
    std::vector<std::function<void(Hart&)>> batch;
    {
      MutexLock lock(mutex_);
      batch.swap(queue_);
    }
    if (batch.empty()) return;
    for (auto& fn : batch) fn(hart);
  }
}

uint64_t FenceQueue::post(const RemoteFence& fence) {
  MutexLock lock(mutex_);
  if (fence.code) {
    code_ = true;
  } else if (count_ < kCapacity) {
    fences_[count_++] = fence;
  } else {
    bool instruction = fence.instruction;
    for (const RemoteFence& queued : fences_) instruction |= queued.instruction;
    fences_[0] = RemoteFence{.instruction = instruction, .translation = true};
    count_ = 1;
  }
  return posted_.fetch_add(1) + 1;
}

bool FenceQueue::apply(Hart& hart, Engine& engine) {
  if (posted_.load() == applied_.load()) return false;
  std::array<RemoteFence, kCapacity> fences;
  unsigned count;
  bool code;
  uint64_t ticket;
  {
    MutexLock lock(mutex_);
    fences = fences_;
    count = std::exchange(count_, 0);
    code = std::exchange(code_, false);
    ticket = posted_.load();
  }
  for (unsigned i = 0; i < count; ++i) apply_fence(hart, engine, fences[i]);
  if (code) engine.release_code();
  applied_.store(ticket);
  return true;
}

void apply_fence(Hart& hart, Engine& engine, const RemoteFence& fence) {
  if (fence.instruction) engine.fence_i();
  if (!fence.translation) return;
  // More pages than this are dropped faster all at once.
  constexpr uint64_t kMaxPages = 64;
  constexpr uint64_t kPage = GuestMemory::kPageSize;
  const bool everything = !fence.start || fence.size == 0 || fence.size > kMaxPages * kPage ||
                          *fence.start + fence.size < *fence.start;
  if (everything) return hart.mmu->flush(std::nullopt, fence.asid);
  const uint64_t first = *fence.start & kPageMask;
  const uint64_t pages = (*fence.start - first + fence.size + kPage - 1) / kPage;
  for (uint64_t i = 0; i < pages; ++i) hart.mmu->flush(first + i * kPage, fence.asid);
}

}  // namespace hv
