#include "cpu/block_cache.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cpu/code_pages.h"
#include "cpu/decode.h"
#include "cpu/disasm.h"
#include "io/log.h"

namespace hv {
namespace {

constexpr unsigned kMaxBlockBytes = kMaxBlockOps * 4;
// Odd: no pc has it.
constexpr uint64_t kNoPc = 1;

constexpr size_t block_size(size_t ops, size_t bytes) {
  return (sizeof(Block) + (ops + 1) * sizeof(DecodedOp) + bytes + 15) / 16 * 16;
}

uint16_t halfword_at(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] | bytes[1] << 8);
}

// Copies instructions. Another hart may be patching them, and a fetch has to see each aligned word
// as it was or as it is, not half of either (Ziccif): a copy of bytes does not keep that. No
// aligned word leaves the page.
void copy_code(uint8_t* to, const uint8_t* from, size_t size) {
  constexpr size_t kWord = sizeof(uint64_t);
  while (size > 0) {
    const size_t skip = reinterpret_cast<uintptr_t>(from) % kWord;
    const size_t part = std::min(size, kWord - skip);
    const uint64_t word =
        __atomic_load_n(reinterpret_cast<const uint64_t*>(from - skip), __ATOMIC_RELAXED);
    if (part == kWord)
      std::memcpy(to, &word, kWord);
    else
      std::memcpy(to, reinterpret_cast<const uint8_t*>(&word) + skip, part);
    to += part;
    from += part;
    size -= part;
  }
}

}  // namespace

BlockCache::BlockCache(Hart& hart, Finisher finisher, size_t byte_limit)
    : hart_(hart),
      finisher_(std::move(finisher)),
      byte_limit_(byte_limit),
      jumps_(kJumpEntries),
      buckets_(kBuckets),
      single_(new std::byte[block_size(1, 4)]) {
  unlinked_.end.handler = finisher_.unlinked;
  clear();
}

void BlockCache::unlink() {
  for (Block** link : links_) *link = &unlinked_.block;
  links_.clear();
  linked_generation_ = hart_.code_generation;
  if (!hart_.code_pages) return;
  const auto changed = [this](uint64_t page) {
    page_changed(page);
    if (finisher_.page_changed) finisher_.page_changed(page);
  };
  if (hart_.code_pages->changes(changes_seen_, changed)) return;
  for (const auto& [page, first] : pages_) page_changed(page);
  if (finisher_.all_changed) finisher_.all_changed();
}

void BlockCache::page_changed(uint64_t page) {
  const auto found = pages_.find(page);
  if (found == pages_.end()) return;
  for (Block* block = found->second; block; block = block->page_next) {
    if (block->verified == Block::kWatched) block->verified = Block::kToCompare;
    block->next[0] = block->next[1] = &unlinked_.block;
  }
}

uint64_t BlockCache::watch(uint64_t physical) {
  const bool watched = hart_.code_pages && hart_.code_pages->watch(hart_, physical & kPageMask);
  return watched ? Block::kWatched : hart_.code_generation;
}

void BlockCache::clear() {
  std::ranges::fill(buckets_, Bucket{});
  std::ranges::fill(jumps_, JumpEntry{kNoPc, 0, &unlinked_.block, 0});
  links_.clear();
  pages_.clear();
  chunks_.clear();
  chunk_used_ = kChunkBytes;
  bytes_in_use_ = 0;
  ++clears_;
}

Block* BlockCache::lookup() {
  Source source;
  if (!fetch_source(source)) return nullptr;
  if (!source.cacheable) return decode(source, 1, false);
  JumpEntry& jump = jumps_[jump_index(hart_.pc)];
  const uint64_t context = hart_.fetch_generation;
  if (jump.pc == hart_.pc && jump.block->physical == source.physical &&
      jump.block->physical2 == source.physical2 && jump.block->verified >= hart_.code_generation) {
    jump.context = context;
    return jump.block;
  }
  Block* block = find(source);
  if (!block) block = build(source);
  jump = {hart_.pc, context, block, 0};
  return block;
}

Block* BlockCache::single() {
  Source source;
  return fetch_source(source) ? decode(source, 1, false) : nullptr;
}

// An instruction that starts in the last two bytes takes a second fetch.
bool BlockCache::fetch_source(Source& source) {
  FetchResult found;
  if (!hart_.mmu->fetch(hart_.pc, found)) return false;
  source.host = found.host;
  source.physical = found.physical;
  source.bytes = found.size;
  source.cacheable = found.whole_page;
  if (source.bytes != 2) return true;
  copy_from_guest(source.last, source.host, 2);
  if (instruction_length(halfword_at(source.last)) == 2) return true;
  if (!hart_.mmu->fetch(hart_.pc + 2, found)) return false;
  source.host2 = found.host;
  source.physical2 = found.physical;
  source.cacheable = source.cacheable && found.whole_page;
  return true;
}

Block* BlockCache::find(const Source& source) {
  Bucket& bucket = buckets_[bucket_of(source.physical)];
  if (!bucket.first) return nullptr;
  Block** link = &bucket.first;
  if (bucket.physical != source.physical) link = &bucket.first->hash_next;
  for (; *link; link = &(*link)->hash_next) {
    Block* block = *link;
    if (block->physical != source.physical || block->physical2 != source.physical2) continue;
    if (block->verified >= hart_.code_generation) return block;
    const uint64_t verified = block->straddles() ? hart_.code_generation : watch(block->physical);
    if (matches_memory(*block)) {
      block->verified = verified;
      return block;
    }
    // Jump entries may still point here; 0 keeps them out.
    block->verified = 0;
    *link = block->hash_next;
    if (bucket.first) bucket.physical = bucket.first->physical;
    return nullptr;
  }
  return nullptr;
}

// Half of an old word beside half of a new one cannot match unless the old word would have.
bool BlockCache::matches_memory(Block& block) const {
  std::array<uint8_t, kMaxBlockBytes> now;
  if (block.straddles()) {
    copy_from_guest(now.data(), hart_.memory->host(block.physical, 2), 2);
    copy_from_guest(now.data() + 2, hart_.memory->host(block.physical2, 2), 2);
  } else {
    copy_from_guest(now.data(), hart_.memory->host(block.physical, block.bytes), block.bytes);
  }
  return std::memcmp(now.data(), block.source(), block.bytes) == 0;
}

Block* BlockCache::build(const Source& source) {
  Block* block = decode(source, kMaxBlockOps, true);
  Bucket& bucket = buckets_[bucket_of(source.physical)];
  block->hash_next = bucket.first;
  bucket = {source.physical, block};
  Block*& first = pages_[block->physical & kPageMask];
  block->page_next = first;
  first = block;
  if (log_enabled(kLogInAsm)) [[unlikely]]
    log_block(*block);
  return block;
}

// keep: the block goes to the cache's memory, else to single_.
Block* BlockCache::decode(const Source& source, unsigned max_ops, bool keep) {
  uint64_t verified = keep && !source.host2 ? watch(source.physical) : hart_.code_generation;
  std::array<uint8_t, kMaxBlockBytes + 4> code;
  size_t available = std::min<size_t>(source.bytes, max_ops * 4);
  copy_code(code.data(), source.host, available);
  if (source.bytes == 2) {
    // These were read before the page was watched.
    if (!std::equal(source.last, source.last + 2, code.begin())) verified = hart_.code_generation;
    std::copy_n(source.last, 2, code.begin());
  }
  if (source.host2) {
    copy_from_guest(code.data() + 2, source.host2, 2);
    available = 4;
  }

  std::array<DecodedOp, kMaxBlockOps + 1> ops;
  std::array<Op, kMaxBlockOps> kinds;
  size_t count = 0, bytes = 0;
  while (count < max_ops && bytes + 2 <= available) {
    uint32_t word = halfword_at(&code[bytes]);
    const unsigned length = instruction_length(static_cast<uint16_t>(word));
    if (bytes + length > available) break;
    if (length == 4) word |= static_cast<uint32_t>(halfword_at(&code[bytes + 2])) << 16;
    const Decoded decoded = hv::decode(word, hart_.config->extensions);
    kinds[count] = decoded.op;
    DecodedOp& op = ops[count++];
    op = decoded.fields;
    op.pc_halfwords = static_cast<uint8_t>(bytes / 2);
    bytes += length;
    if (op_has(decoded.op, op_flags::kEndsBlock)) break;
  }
  ops[count] = DecodedOp{};
  ops[count].pc_halfwords = static_cast<uint8_t>(bytes / 2);
  finisher_.finish(std::span(kinds).first(count), std::span(ops).first(count + 1),
                   source.physical & ~kPageMask);

  std::byte* memory = keep ? allocate(block_size(count, bytes)) : single_.get();
  auto* block = reinterpret_cast<Block*>(memory);
  *block = Block{.next = {&unlinked_.block, &unlinked_.block},
                 .verified = verified,
                 .op_count = static_cast<uint32_t>(count),
                 .bytes = static_cast<uint32_t>(bytes),
                 .hash_next = nullptr,
                 .page_next = nullptr,
                 .physical = source.physical,
                 .physical2 = source.physical2,
                 .entry = nullptr,
                 .heat = finisher_.heat,
                 .chainable = keep && !source.host2,
                 .native = nullptr};
  std::copy_n(ops.begin(), count + 1, block->ops());
  block->entry = block->ops()->handler;
  if (finisher_.cold && block->chainable) {
    block->ops()->handler = finisher_.cold;
    if (finisher_.known(block->physical)) block->heat = 1;
  }
  std::copy_n(code.begin(), bytes, block->source());
  return block;
}

std::byte* BlockCache::allocate(size_t size) {
  if (bytes_in_use_ + size > byte_limit_) clear();
  if (chunk_used_ + size > kChunkBytes) {
    chunks_.emplace_back(new std::byte[kChunkBytes]);
    chunk_used_ = 0;
  }
  std::byte* memory = chunks_.back().get() + chunk_used_;
  chunk_used_ += size;
  bytes_in_use_ += size;
  return memory;
}

void BlockCache::log_block(Block& block) const {
  log(kLogInAsm, "----------------\nIN: hart {} priv {} physical 0x{:x}", hart_.id,
      static_cast<unsigned>(hart_.priv), block.physical);
  for (uint32_t i = 0; i < block.op_count; ++i) {
    const DecodedOp* op = &block.ops()[i];
    const uint64_t pc = hart_.pc + op->pc_halfwords * 2u;
    const uint32_t word = block.word(op);
    log(kLogInAsm, "0x{:016x}:  {:0{}x}\t{}", pc, word, Block::op_length(op) * 2,
        disassemble(word, pc, hart_.config->extensions));
  }
}

}  // namespace hv
