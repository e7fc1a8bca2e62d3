// Pages of RAM whose code has been decoded: watched, so that what was made of them holds until
// somebody writes there, and fence.i has little to do. See docs/JIT.md, "Modified code".
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpu/hart.h"
#include "io/guest_memory.h"
#include "io/thread_safety.h"

namespace hv {

// A page is in one of three states:
//
//   kPlain --watch--> kSettling --every writer has let go--> kWatched
//      ^                  |                                     |
//      +------ write -----+--------------- write ---------------+
//
// - A hart may have a TLB entry that lets it store to a page without telling anyone. Before it gets
//   one, before_store() sets the hart's bit in the page's `writers` and then looks at the state.
//   watch() sets the state and then looks at `writers` (both sequentially consistent): so either
//   the hart sees that the page is watched and ends that, or the watcher sees the hart's bit.
// - kSettling: harts of that kind have been asked to drop their entries (release()). Until each has
//   done so, or rests and will do so before it executes, stores may go unseen, and code of the page
//   counts as unwatched.
// - kWatched: every store comes through before_store() or written(). The first one makes the page
//   kPlain again, counts its version up, adds it to the list of changes, and only then happens (or,
//   of a device, has just happened and is not yet told to the guest).
//
// So a hart that has seen its fence.i and then reads the list of changes knows of every store that
// the guest could have ordered before that fence.i.
//
// A page that is written again and again while it is watched (code beside data, a compiler's
// output) is left alone for longer and longer.
class CodePages final : public WriteWatcher {
 public:
  // How to have another hart call release(): post() gives a ticket, settled() says whether that
  // hart has done it or rests and will do it before it executes again.
  struct Harts {
    std::function<uint64_t(unsigned hart)> post;
    std::function<bool(unsigned hart, uint64_t ticket)> settled;
  };

  explicit CodePages(GuestMemory& memory);
  ~CodePages();
  CodePages(const CodePages&) = delete;
  CodePages& operator=(const CodePages&) = delete;

  // Before any hart runs, and empty after the last.
  void set_harts(Harts harts) HV_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    harts_ = std::move(harts);
  }
  // Called at each change of a watched page, with mutex() held, until forget_on_change() with the
  // same owner.
  void on_change(const void* owner, std::function<void(uint64_t page)> fn) HV_REQUIRES(mutex_) {
    on_change_.emplace_back(owner, std::move(fn));
  }
  void forget_on_change(const void* owner) HV_REQUIRES(mutex_) {
    std::erase_if(on_change_, [&](const auto& entry) { return entry.first == owner; });
  }

  // --- Hart thread. Addresses of pages are physical, in RAM. At most 64 harts.

  // The hart is about to store to the page, or to keep a TLB entry for that.
  void before_store(unsigned hart, uint64_t page) {
    Page& p = page_of(page);
    const uint64_t me = uint64_t{1} << hart;
    if (!(p.writers.load(std::memory_order_relaxed) & me)) p.writers.fetch_or(me);
    if (state(p.word.load()) != kPlain) [[unlikely]]
      end_watch(page);
  }
  // Whether it has done so before; then a TLB entry made for a load may take stores, too.
  bool stores_to(unsigned hart, uint64_t page) const {
    return page_of(page).writers.load(std::memory_order_relaxed) >> hart & 1;
  }
  // Code of the page is about to be read. The page's version if from now on it is watched, else 0.
  uint32_t watch(Hart& hart, uint64_t page) {
    const uint32_t word = page_of(page).word.load();
    return state(word) == kWatched ? word : begin_watch(hart, page);
  }
  // Drops the hart's TLB entries for stores to pages that others want to watch.
  void release(Hart& hart) HV_EXCLUDES(mutex_);

  // Calls fn(page) for each change since `cursor` (0 at first) and moves that on. False: there were
  // too many to tell.
  template <class Fn>
  bool changes(uint64_t& cursor, Fn fn) HV_EXCLUDES(mutex_) {
    if (changes_end_.load(std::memory_order_acquire) == cursor) [[likely]]
      return true;
    std::vector<uint64_t> pages;
    const bool all = read_changes(cursor, pages);
    for (const uint64_t page : pages) fn(page);
    return all;
  }

  // --- Any thread

  // Whether the page has been watched without a change since watch() gave `version`.
  bool current(uint64_t page, uint32_t version) const {
    return page_of(page).word.load() == version;
  }
  void written(uint64_t address, uint64_t length) override HV_EXCLUDES(mutex_);

  // What on_change() is called under, for those who keep code by page, and what they need to have
  // harts let go of it.
  Mutex& mutex() HV_RETURN_CAPABILITY(mutex_) { return mutex_; }
  bool has_harts() const HV_REQUIRES(mutex_) { return harts_.post != nullptr; }
  uint64_t post(unsigned hart) HV_REQUIRES(mutex_) { return harts_.post(hart); }
  bool settled(unsigned hart, uint64_t ticket) const HV_REQUIRES(mutex_) {
    return harts_.settled && harts_.settled(hart, ticket);
  }

 private:
  // kEnding: within end_watch(), so that nobody goes by either state before the change is listed.
  enum State : uint32_t { kPlain = 0, kSettling = 1, kWatched = 2, kEnding = 3 };
  static constexpr uint32_t kStateBits = 2;
  static State state(uint32_t word) { return static_cast<State>(word & 3); }

  struct Page {
    std::atomic<uint64_t> writers;
    std::atomic<uint32_t> word;  // State, and above it the version
    uint16_t changes;            // while watched
    uint16_t patience;           // calls of watch() still to be refused
  };
  static_assert(sizeof(Page) == 16);
  struct Writer {
    unsigned hart;
    uint64_t ticket;
  };
  static constexpr size_t kChanges = 1 << 14;

  Page& page_of(uint64_t page) const { return pages_[(page - base_) / GuestMemory::kPageSize]; }
  uint32_t begin_watch(Hart& hart, uint64_t page) HV_EXCLUDES(mutex_);
  void end_watch(uint64_t page) HV_EXCLUDES(mutex_);
  bool settle(uint64_t page) HV_REQUIRES(mutex_);
  bool read_changes(uint64_t& cursor, std::vector<uint64_t>& pages) HV_EXCLUDES(mutex_);

  GuestMemory& memory_;
  const uint64_t base_;
  const size_t bytes_;
  Page* const pages_;
  Mutex mutex_;
  Harts harts_ HV_GUARDED_BY(mutex_);
  std::vector<std::pair<const void*, std::function<void(uint64_t page)>>> on_change_
      HV_GUARDED_BY(mutex_);
  // The writers that a kSettling page waits for.
  std::unordered_map<uint64_t, std::vector<Writer>> settling_ HV_GUARDED_BY(mutex_);
  // What release() is to drop, by hart: pages, and the tickets by which it was asked.
  std::vector<std::unordered_map<uint64_t, uint64_t>> wanted_ HV_GUARDED_BY(mutex_);
  std::vector<uint64_t> changes_ HV_GUARDED_BY(mutex_);
  std::atomic<uint64_t> changes_end_{0};
};

}  // namespace hv
