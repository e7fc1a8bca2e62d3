// Decoded code of one hart: blocks by physical address, and the way to them from a virtual pc.
// How it stays coherent with memory: docs/INTERPRETER.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "cpu/decoded_op.h"
#include "cpu/hart.h"
#include "cpu/mmu.h"
#include "cpu/op.h"

namespace hv {

inline constexpr uint64_t kNoPhysical = ~0ull;
inline constexpr unsigned kMaxBlockOps = 64;

// A run of instructions without a way in but its start. In memory it is followed by op_count + 1
// DecodedOps (the last one ends a block that no jump ends, and holds its length) and then by a copy
// of its source bytes.
struct Block {
  // Where it went before, within the same virtual page: [0] falling through, [1] branch taken.
  // BlockCache's stale block when not known.
  Block* next[2];
  // Value of hart.code_generation for which the source bytes are known to be those in RAM; 0: never
  // to be entered again.
  uint64_t verified;
  uint32_t op_count;
  uint32_t bytes;
  Block* hash_next;
  uint64_t physical;
  // Where the second half of the instruction lies, of a block that is one instruction across two
  // pages; else kNoPhysical.
  uint64_t physical2;
  // May be entered from within its virtual page without another look at the translation: not an
  // instruction across two pages, nor one of a page that a PMP entry divides.
  bool chainable;

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
  // What the engine makes of a decoded instruction and of the end of a block.
  struct Handlers {
    std::function<const void*(Op op, const DecodedOp& fields)> of_op;
    const void* end_of_block = nullptr;
  };

  BlockCache(Hart& hart, Handlers handlers, size_t byte_limit = kDefaultByteLimit);
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // The block at hart.pc if this fetch context has been there lately, else nullptr.
  [[gnu::always_inline]] Block* lookup_recent() const {
    const uint64_t pc = hart_.pc, context = hart_.mmu->fetch_generation();
    const JumpEntry& entry = jumps_[jump_index(pc, context)];
    if (entry.pc == pc && entry.context == context &&
        entry.block->verified == hart_.code_generation) [[likely]]
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

  // What Block::next holds when nothing is known.
  Block* stale() { return &stale_; }
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

  static constexpr size_t kJumpEntries = 4096;
  static constexpr unsigned kBucketBits = 16;
  static constexpr size_t kBuckets = size_t{1} << kBucketBits;
  static constexpr size_t kChunkBytes = size_t{256} << 10;

  static size_t jump_index(uint64_t pc, uint64_t context) {
    return (pc >> 1 ^ pc >> 13 ^ context * 0x9e3779b1u) % kJumpEntries;
  }
  static size_t bucket_of(uint64_t physical) {
    return physical * 0x9e3779b97f4a7c15ull >> (64 - kBucketBits);
  }

  bool fetch_source(Source& source);
  Block* find(const Source& source);
  Block* build(const Source& source);
  Block* decode(const Source& source, unsigned max_ops, bool keep);
  bool matches_memory(Block& block) const;
  std::byte* allocate(size_t size);
  void log_block(Block& block) const;

  Hart& hart_;
  const Handlers handlers_;
  const size_t byte_limit_;
  Block stale_{};
  std::vector<JumpEntry> jumps_;
  std::vector<Block*> buckets_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  size_t chunk_used_ = kChunkBytes;
  size_t bytes_in_use_ = 0;
  uint64_t clears_ = 0;
  std::unique_ptr<std::byte[]> single_;
};

}  // namespace hv
