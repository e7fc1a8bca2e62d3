#include "cpu/isa/lookup.h"

#include <array>

namespace hv::isa {
namespace {

// Rows by opcode and funct3: 256 buckets for 32-bit words, then 32 for 16-bit words. A row whose
// funct3 is an operand is in all buckets of its opcode. Subset rows come first in a bucket.
constexpr size_t kWideBuckets = 256;
constexpr size_t kBuckets = kWideBuckets + 32;

constexpr size_t bucket_of(uint32_t word) {
  if ((word & 3) == 3) return (word >> 2 & 0x1f) | (word >> 12 & 7) << 5;
  return kWideBuckets + ((word & 3) | (word >> 13 & 7) << 2);
}

// Calls fn(bucket) for each bucket of the row.
template <class Fn>
constexpr void for_each_bucket(const Row& row, Fn&& fn) {
  if (row.length == 2) {
    fn(bucket_of(row.match));
    return;
  }
  for (uint32_t funct3 = 0; funct3 < 8; ++funct3) {
    const uint32_t bits = funct3 << 12;
    if (((bits ^ row.match) & row.mask & 0x7000) == 0) fn(bucket_of((row.match & ~0x7000u) | bits));
  }
}

constexpr size_t count_entries() {
  size_t entries = 0;
  for (const Row& row : kRows) for_each_bucket(row, [&](size_t) { ++entries; });
  return entries;
}

struct Index {
  std::array<uint16_t, kBuckets + 1> start{};
  std::array<uint16_t, count_entries()> rows{};
};

constexpr Index make_index() {
  Index index;
  for (const Row& row : kRows) for_each_bucket(row, [&](size_t b) { ++index.start[b + 1]; });
  for (size_t b = 0; b < kBuckets; ++b) index.start[b + 1] += index.start[b];
  auto next = index.start;
  for (const bool subset : {true, false}) {
    for (size_t i = 0; i < kRowCount; ++i) {
      if (((kRows[i].flags & kSubset) != 0) != subset) continue;
      for_each_bucket(kRows[i], [&](size_t b) { index.rows[next[b]++] = i; });
    }
  }
  return index;
}

constexpr Index kIndex = make_index();

}  // namespace

const Row* find_row(uint32_t word, const ExtensionSet& extensions) {
  if ((word & 3) != 3) word &= 0xffff;
  const size_t bucket = bucket_of(word);
  for (size_t i = kIndex.start[bucket]; i < kIndex.start[bucket + 1]; ++i) {
    const Row& row = kRows[kIndex.rows[i]];
    if (row.matches(word) && row.allowed(extensions)) return &row;
  }
  return nullptr;
}

}  // namespace hv::isa
