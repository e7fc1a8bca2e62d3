// Decoded code of one hart: blocks by physical address, and the way to them from a virtual pc.
// How it stays coherent with memory: docs/INTERPRETER.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "cpu/decoded_op.h"
#include "cpu/hart.h"
#include "cpu/mmu.h"
#include "cpu/op.h"

namespace hv {

inline constexpr uint64_t kNoPhysical = ~0ull;
inline constexpr unsigned kMaxBlockOps = 64;

struct NativeTrace;

// A run of instructions without a way in but its start. In memory it is followed by op_count + 1
// DecodedOps (the last one ends a block that no jump ends, and holds its length) and then by a copy
// of its source bytes.
struct Block {
  // Where it went before, within the same virtual page: [0] falling through, [1] branch taken.
  // BlockCache's unlinked block when not known.
  Block* next[2];
  // Value of hart.code_generation for which the source bytes are known to be those in RAM;
  // kWatched: they are until CodePages lists a change; 0: never to be entered again.
  uint64_t verified;
  static constexpr uint64_t kWatched = ~0ull, kToCompare = 1;
  uint32_t op_count;
  uint32_t bytes;
  Block* hash_next;
  Block* page_next;
  uint64_t physical;
  // Where the second half of the instruction lies, of a block that is one instruction across two
  // pages; else kNoPhysical.
  uint64_t physical2;
  // With Finisher::cold: the first op's own handler, and what is left of Finisher::heat.
  const void* entry;
  uint32_t heat;
  // May be entered from within its virtual page without another look at the translation: not an
  // instruction across two pages, nor one of a page that a PMP entry divides.
  bool chainable;
  // The engine's own.
  NativeTrace* native;

  DecodedOp* ops() { return reinterpret_cast<DecodedOp*>(this + 1); }
  uint8_t* source() { return reinterpret_cast<uint8_t*>(ops() + op_count + 1); }
  bool straddles() const { return physical2 != kNoPhysical; }
  // The instruction bits of `op`, one of ops().
  uint32_t word(const DecodedOp* op) {
    uint32_t bits = 0;
    std::memcpy(&bits, source() + op->pc_halfwords * 2, op_length(op));
    return bits;
  }
  static unsigned op_length(const DecodedOp* op) {
    return (op[1].pc_halfwords - op->pc_halfwords) * 2u;
  }
};
static_assert(sizeof(Block) % alignof(DecodedOp) == 0);

// Hart thread only.
class BlockCache {
 public:
  // What the engine adds to decoded code.
  struct Finisher {
    // Fills in the handlers of a block's ops and of the end that follows them (its pc_halfwords is
    // the block's length); may rewrite operands for the engine's own use. page_offset is that of
    // the block's first byte.
    std::function<void(std::span<const Op> kinds, std::span<DecodedOp> ops, uint64_t page_offset)>
        finish;
    // Handler of the block that stands for an unknown successor.
    const void* unlinked = nullptr;
    // When not nullptr: what chainable blocks begin with, instead of Block::entry.
    const void* cold = nullptr;
    uint32_t heat = 0;
    // With `cold`: whether there is code for the place already, so that the block is hot at once.
    std::function<bool(uint64_t physical)> known = nullptr;
    // At a fence.i, for each page that has changed since the one before.
    std::function<void(uint64_t page)> page_changed = nullptr;
    std::function<void()> all_changed = nullptr;
  };

  BlockCache(Hart& hart, Finisher finisher, size_t byte_limit = kDefaultByteLimit);
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // The block at `pc` if this fetch context has been there lately, else nullptr. `hart` is the
  // cache's own, which the caller has in a register.
  [[gnu::always_inline]] Block* lookup_recent(const Hart& hart, uint64_t pc) const {
    const uint64_t context = hart.fetch_generation;
    const JumpEntry& entry = jumps_[jump_index(pc)];
    if (entry.pc == pc && entry.context == context && entry.block->verified >= hart.code_generation)
        [[likely]]
      return entry.block;
    return nullptr;
  }
  // The block at hart.pc, decoded if need be; nullptr: the fetch failed, the exception is in the
  // hart. May drop all other blocks to make room: clears() tells. One that is not chainable may be
  // valid until the next call only.
  Block* lookup();
  // A block of the one instruction at hart.pc, outside the cache, valid until the next call;
  // nullptr as above.
  Block* single();

  // Makes `to` a successor of a block: `link` is one of its Block::next. It holds until
  // unlink_outdated() finds it outdated. The caller has seen that both are in one virtual page.
  void link(Block** link, Block* to) {
    // A mapping that has changed without a fence may have led to another page.
    if ((owner_of(link)->physical ^ to->physical) & kPageMask) return;
    *link = to;
    if (to->verified != Block::kWatched) links_.push_back(link);
  }
  // After hart.code_generation has changed and before a block's successor is followed: forgets
  // successors in pages that are not watched or have changed, for what they lead to is to be
  // compared with memory first.
  void unlink_outdated() {
    if (linked_generation_ != hart_.code_generation) [[unlikely]]
      unlink();
  }
  void clear();
  // Differs after Block pointers have become invalid.
  uint64_t clears() const { return clears_; }
  size_t bytes_in_use() const { return bytes_in_use_; }

  static constexpr size_t kDefaultByteLimit = size_t{32} << 20;

 private:
  struct JumpEntry {
    uint64_t pc;
    uint64_t context;
    Block* block;
    uint64_t unused;
  };
  // Where the code at hart.pc lies.
  struct Source {
    const uint8_t* host;
    size_t bytes;  // that may be executed, to the end of the page at most
    uint64_t physical;
    bool cacheable;  // the whole page has one permission
    // When bytes is 2: those two, read once, for they decide whether there is a second page.
    uint8_t last[2];
    const uint8_t* host2 = nullptr;
    uint64_t physical2 = kNoPhysical;
  };

  static constexpr size_t kJumpEntries = 16384;
  static constexpr unsigned kBucketBits = 17;
  static constexpr size_t kBuckets = size_t{1} << kBucketBits;
  static constexpr size_t kChunkBytes = size_t{256} << 10;

  // Not by context: one that comes again under another number finds what it left.
  static size_t jump_index(uint64_t pc) { return (pc >> 1 ^ pc >> 13) % kJumpEntries; }
  static size_t bucket_of(uint64_t physical) {
    return physical * 0x9e3779b97f4a7c15ull >> (64 - kBucketBits);
  }

  static Block* owner_of(Block** link) {
    static_assert(offsetof(Block, next) == 0 && alignof(std::max_align_t) == 16);
    return reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(link) & ~uintptr_t{15});
  }
  void unlink();
  void page_changed(uint64_t page);
  // What Block::verified becomes for a block whose bytes are read after this.
  uint64_t watch(uint64_t physical);
  bool fetch_source(Source& source);
  Block* find(const Source& source);
  Block* build(const Source& source);
  Block* decode(const Source& source, unsigned max_ops, bool keep);
  bool matches_memory(Block& block) const;
  std::byte* allocate(size_t size);
  void log_block(Block& block) const;

  Hart& hart_;
  const Finisher finisher_;
  const size_t byte_limit_;
  // A block of nothing but its end.
  struct {
    Block block{};
    DecodedOp end{};
  } unlinked_;
  // Places that hold a block which is not kWatched.
  std::vector<Block**> links_;
  uint64_t linked_generation_ = 0;
  // CodePages::changes() up to here are known. All blocks by the page they begin in.
  uint64_t changes_seen_ = 0;
  std::unordered_map<uint64_t, Block*> pages_;
  std::vector<JumpEntry> jumps_;
  // The first block's address is there for the usual case that it is the one, or the only one.
  struct Bucket {
    uint64_t physical;
    Block* first;
  };
  std::vector<Bucket> buckets_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  size_t chunk_used_ = kChunkBytes;
  size_t bytes_in_use_ = 0;
  uint64_t clears_ = 0;
  std::unique_ptr<std::byte[]> single_;
};

}  // namespace hv
