// The instruction rows as data, checked at compile time. Included by few .cpp files: it is slow to
// compile.
//
// INSN(id, pattern, format, extension, flags)
// FORM(id, base, pattern, format, extension, flags): another encoding of INSN `base`.
//
// pattern   16 or 32 characters, most significant bit first, blanks ignored: 0, 1, or a letter for
//           an operand bit. The letter's open bits must be those of the format. Capital letters of
//           one row together must not all be zero, else the row does not match.
// extension an Ext, kI for what every hart has, or a name of ExtNames for two of them. A FORM needs
//           its base's extension as well.
// flags     op_flags::Flag
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cpu/cpu_config.h"
#include "cpu/isa/format.h"
#include "cpu/op.h"

namespace hv::isa {

using namespace op_flags;  // the rows' last column

inline constexpr Ext kAlways = Ext::kCount;

// What a row needs: an extension, both of two, or one of two.
class Needs {
 public:
  constexpr Needs(Ext ext) : Needs(ext, ext, true) {}
  static constexpr Needs both(Ext a, Ext b) { return {a, b, true}; }
  static constexpr Needs either(Ext a, Ext b) { return {a, b, false}; }

  constexpr bool met(const ExtensionSet& set) const {
    if (first_ == kAlways) return true;
    return all_ ? set.has(first_) && set.has(second_) : set.has(first_) || set.has(second_);
  }

 private:
  constexpr Needs(Ext first, Ext second, bool all) : first_(first), second_(second), all_(all) {}
  Ext first_, second_;
  bool all_;
};

struct Row {
  std::string_view id;
  Op op;
  uint32_t mask;     // fixed bits
  uint32_t match;    // their values
  uint32_t nonzero;  // 0, or bits of which one must be set
  uint8_t length;    // bytes
  Format format;
  Needs ext, base_ext;
  uint8_t flags;

  constexpr bool matches(uint32_t word) const {
    return (word & mask) == match && (nonzero == 0 || (word & nonzero) != 0);
  }
  constexpr bool allowed(const ExtensionSet& set) const {
    return ext.met(set) && base_ext.met(set);
  }
};

namespace detail {

struct ExtNames {
  using enum Ext;
  static constexpr Ext kI = kAlways;
  static constexpr Needs kZabhaAndZacas = Needs::both(kZabha, kZacas);
  static constexpr Needs kZfhminAndD = Needs::both(kZfhmin, kD);
  static constexpr Needs kZfaAndD = Needs::both(kZfa, kD);
  static constexpr Needs kZfaAndZfh = Needs::both(kZfa, kZfh);
  static constexpr Needs kZbbOrZbkb = Needs::either(kZbb, kZbkb);
  static constexpr Needs kZbcOrZbkc = Needs::either(kZbc, kZbkc);
  static constexpr Needs kZkneOrZknd = Needs::either(kZkne, kZknd);
};

inline constexpr Needs kOpExt[] = {
    kAlways,
#define INSN(id, pattern, format, ext, flags) ExtNames::ext,
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};

// A throw makes the row's initialiser fail to compile.
consteval Row make_row(std::string_view id, Op op, std::string_view pattern, Format format,
                       Needs ext, uint8_t flags) {
  Row row{id, op, 0, 0, 0, 0, format, ext, kOpExt[static_cast<size_t>(op)], flags};
  unsigned bits = 0;
  for (const char c : pattern) {
    if (c == ' ') continue;
    row.mask <<= 1;
    row.match <<= 1;
    row.nonzero <<= 1;
    ++bits;
    if (c == '0' || c == '1') {
      row.mask |= 1;
      row.match |= c == '1';
    } else if (c >= 'A' && c <= 'Z') {
      row.nonzero |= 1;
    } else if (c < 'a' || c > 'z') {
      throw "pattern: only 0, 1, letters and blanks";
    }
  }
  if (bits != 16 && bits != 32) throw "pattern: 16 or 32 bits";
  row.length = bits / 8;
  if (((row.match & 3) == 3) != (bits == 32)) throw "pattern: low bits contradict the length";
  const uint32_t all = bits == 32 ? ~0u : 0xffffu;
  if ((~row.mask & all) != operand_bits(format)) throw "pattern: open bits are not the format's";
  return row;
}

}  // namespace detail

inline constexpr Row kRows[] = {
#define INSN(id, pattern, format, ext, flags) \
  detail::make_row(#id, Op::id, pattern, Format::format, detail::ExtNames::ext, (flags)),
#define FORM(id, base, pattern, format, ext, flags) \
  detail::make_row(#id, Op::base, pattern, Format::format, detail::ExtNames::ext, (flags)),
#include "cpu/isa/all.inc"
};
inline constexpr size_t kRowCount = sizeof(kRows) / sizeof(kRows[0]);

namespace detail {

// Some word could match both.
constexpr bool overlap(const Row& a, const Row& b) {
  if (a.length != b.length || ((a.match ^ b.match) & a.mask & b.mask) != 0) return false;
  const auto excluded = [](const Row& needs, const Row& other) {
    return needs.nonzero != 0 && (needs.nonzero & ~other.mask) == 0 &&
           (needs.nonzero & other.match) == 0;
  };
  return !excluded(a, b) && !excluded(b, a);
}

// b matches whatever a's fixed bits match.
constexpr bool inside(const Row& a, const Row& b) {
  return (b.mask & ~a.mask) == 0 && ((a.match ^ b.match) & b.mask) == 0 && a.mask != b.mask;
}

// The first row that another one makes ambiguous, or kRowCount.
constexpr size_t find_ambiguous() {
  for (size_t i = 0; i < kRowCount; ++i) {
    for (size_t j = i + 1; j < kRowCount; ++j) {
      if (!overlap(kRows[i], kRows[j])) continue;
      const bool i_wins = (kRows[i].flags & op_flags::kSubset) && inside(kRows[i], kRows[j]);
      const bool j_wins = (kRows[j].flags & op_flags::kSubset) && inside(kRows[j], kRows[i]);
      if (i_wins == j_wins) return i;
    }
  }
  return kRowCount;
}

template <size_t kIndex>
constexpr bool row_is_unambiguous = kIndex == kRowCount;
static_assert(row_is_unambiguous<find_ambiguous()>, "two rows match the same word");

}  // namespace detail

}  // namespace hv::isa
