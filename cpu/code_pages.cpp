#include "cpu/code_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "cpu/mmu.h"

namespace hv {
namespace {

constexpr uint64_t kPage = GuestMemory::kPageSize;
constexpr unsigned kMaxHarts = 64;
// This many changes are forgiven; each further one doubles the patience, to that limit.
constexpr unsigned kForgiven = 6, kMaxPatience = 256;

// Zero pages, for most are never touched.
void* reserve(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

}  // namespace

CodePages::CodePages(GuestMemory& memory)
    : memory_(memory),
      base_(memory.base()),
      bytes_(memory.size() / kPage * sizeof(Page)),
      pages_(static_cast<Page*>(reserve(bytes_))),
      wanted_(kMaxHarts),
      changes_(kChanges) {
  memory_.set_watcher(this);
}

CodePages::~CodePages() {
  memory_.set_watcher(nullptr);
  munmap(pages_, bytes_);
}

uint32_t CodePages::begin_watch(Hart& hart, uint64_t page) {
  MutexLock lock(mutex_);
  Page& p = page_of(page);
  uint32_t word = p.word.load();
  if (state(word) == kWatched) return word;
  if (state(word) == kPlain) {
    if (p.patience > 0) {
      --p.patience;
      return 0;
    }
    word |= kSettling;
    p.word.store(word);
    uint64_t writers = p.writers.load();
    const uint64_t me = uint64_t{1} << hart.id;
    if (writers & me) {
      hart.mmu->drop_writable({&page, 1});
      p.writers.fetch_and(~me);
      writers &= ~me;
    }
    if (writers) {
      std::vector<Writer>& waits = settling_[page];
      for (; writers; writers &= writers - 1) {
        const auto writer = static_cast<unsigned>(__builtin_ctzll(writers));
        const auto [wanted, first] = wanted_[writer].try_emplace(page, 0);
        if (first && harts_.post) wanted->second = harts_.post(writer);
        waits.push_back({writer, wanted->second});
      }
    }
  }
  if (!settle(page)) return 0;
  word = word - kSettling + kWatched;
  p.word.store(word);
  return word;
}

bool CodePages::settle(uint64_t page) {
  const auto found = settling_.find(page);
  if (found == settling_.end()) return true;
  std::vector<Writer>& waits = found->second;
  while (!waits.empty() && settled(waits.back().hart, waits.back().ticket)) waits.pop_back();
  if (!waits.empty()) return false;
  settling_.erase(found);
  return true;
}

void CodePages::end_watch(uint64_t page) {
  MutexLock lock(mutex_);
  Page& p = page_of(page);
  const uint32_t word = p.word.load();
  if (state(word) == kPlain) return;
  if (state(word) == kSettling) settling_.erase(page);
  if (p.changes < kForgiven + 16) ++p.changes;
  if (p.changes > kForgiven)
    p.patience = static_cast<uint16_t>(std::min(1u << (p.changes - kForgiven), kMaxPatience));
  p.word.store(word | kEnding);
  const uint64_t end = changes_end_.load(std::memory_order_relaxed);
  changes_[end % kChanges] = page;
  for (const auto& [owner, fn] : on_change_) fn(page);
  changes_end_.store(end + 1);
  p.word.store(((word >> kStateBits) + 1) << kStateBits);
}

void CodePages::release(Hart& hart) {
  std::vector<uint64_t> pages;
  {
    MutexLock lock(mutex_);
    for (const auto& [page, ticket] : wanted_[hart.id]) pages.push_back(page);
    wanted_[hart.id].clear();
  }
  if (pages.empty()) return;
  std::ranges::sort(pages);
  hart.mmu->drop_writable(pages);
  for (const uint64_t page : pages) page_of(page).writers.fetch_and(~(uint64_t{1} << hart.id));
}

bool CodePages::read_changes(uint64_t& cursor, std::vector<uint64_t>& pages) {
  MutexLock lock(mutex_);
  const uint64_t end = changes_end_.load(), begin = std::exchange(cursor, end);
  if (end - begin > kChanges) return false;
  for (uint64_t i = begin; i != end; ++i) pages.push_back(changes_[i % kChanges]);
  return true;
}

void CodePages::written(uint64_t address, uint64_t length) {
  // The write, then the look at the state; watch() and its read of the code are the other side.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint64_t last = (address + length - 1) & ~(kPage - 1);
  for (uint64_t page = address & ~(kPage - 1);; page += kPage) {
    if (state(page_of(page).word.load()) != kPlain) end_watch(page);
    if (page == last) return;
  }
}

}  // namespace hv
