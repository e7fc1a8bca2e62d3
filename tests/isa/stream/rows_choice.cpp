#include "tests/isa/stream/rows_choice.h"

#include <stdexcept>
#include <string>

#include "cpu/isa/rows.h"

namespace hv::test {
namespace {

using isa::Row;

constexpr uint32_t field(uint32_t word, unsigned low, unsigned count) {
  return word >> low & ((1u << count) - 1);
}

constexpr uint32_t with_field(uint32_t word, unsigned low, unsigned count, uint32_t value) {
  const uint32_t mask = ((1u << count) - 1) << low;
  return (word & ~mask) | (value << low & mask);
}

// A FORM has the memory accesses of its base.
bool touches_memory(const Row& row) {
  return op_has(row.op, op_flags::kReads) || op_has(row.op, op_flags::kWrites);
}

Shape shape_of(const Row& row) {
  switch (row.format) {
    case Format::kJ:
    case Format::kB:
    case Format::kCJ:
    case Format::kCB:
      return Shape::kJump;
    case Format::kJalr:
    case Format::kCJr:
    case Format::kCJalr:
      return Shape::kIndirect;
    case Format::kCsr:
    case Format::kCsrI:
      return Shape::kCsr;
    case Format::kLoad:
    case Format::kStore:
    case Format::kFLoad:
    case Format::kFStore:
      return Shape::kPlain;
    case Format::kCbo:
      return Shape::kAddress;
    default:
      if (row.id.starts_with("sc_")) return Shape::kConditional;
      return touches_memory(row) && row.length == 4 ? Shape::kAddress : Shape::kPlain;
  }
}

// Integer registers that the word may write, as a mask. A format that is not named here may write
// what its usual destination field says.
uint32_t written(const Row& row, uint32_t word) {
  switch (row.format) {
    case Format::kNone:
    case Format::kStore:
    case Format::kB:
    case Format::kFence:
    case Format::kFenceTso:
    case Format::kFenceI:
    case Format::kSfence:
    case Format::kCbo:
    case Format::kFLoad:
    case Format::kFStore:
    case Format::kFR:
    case Format::kFRm:
    case Format::kFRm1:
    case Format::kFR4:
    case Format::kFFromInt:
    case Format::kFFromIntRm:
    case Format::kCFld:
    case Format::kCSw:
    case Format::kCSd:
    case Format::kCFsd:
    case Format::kCFldsp:
    case Format::kCSwsp:
    case Format::kCSdsp:
    case Format::kCFsdsp:
    case Format::kCJ:
    case Format::kCB:
    case Format::kCJr:
      return 0;
    case Format::kCJalr:
      return 1u << 1;
    case Format::kCAddi:
    case Format::kCLi:
    case Format::kCLui:
    case Format::kCShift:
    case Format::kCLwsp:
    case Format::kCLdsp:
    case Format::kCMv:
    case Format::kCAdd:
      return 1u << field(word, 7, 5);
    case Format::kCAddi4spn:
    case Format::kCLw:
    case Format::kCLd:
      return 1u << (8 + field(word, 2, 3));
    case Format::kCShiftP:
    case Format::kCAndi:
    case Format::kCA:
      return 1u << (8 + field(word, 7, 3));
    default:
      if (row.id == "amocas_q") return 3u << field(word, 7, 5);  // a pair of registers
      if (row.length == 4) return 1u << field(word, 7, 5);
      // New compressed formats: either field of x8..x15, for loads the low one.
      if (touches_memory(row)) return 1u << (8 + field(word, 2, 3));
      return 1u << (8 + field(word, 7, 3)) | 1u << field(word, 7, 5);
  }
}

bool uses_stack_pointer(Format format) {
  switch (format) {
    case Format::kCLwsp:
    case Format::kCLdsp:
    case Format::kCFldsp:
    case Format::kCSwsp:
    case Format::kCSdsp:
    case Format::kCFsdsp:
      return true;
    default:
      return false;
  }
}

bool has_rounding_mode(Format format) {
  return format == Format::kFRm || format == Format::kFRm1 || format == Format::kFR4 ||
         format == Format::kFToIntRm || format == Format::kFFromIntRm;
}

uint32_t with_base(const Row& row, uint32_t word, Random& random) {
  if (!touches_memory(row)) return word;
  if (row.length == 2) return uses_stack_pointer(row.format) ? word : with_field(word, 7, 3, 0);
  const bool store = row.format == Format::kStore || row.format == Format::kFStore;
  // Loads from the pool bring fresh operands, without which the registers soon hold few values.
  const unsigned base = !store && random.percent(40) ? 3 : random.percent(50) ? 2 : 8;
  return with_field(word, 15, 5, base);
}

bool excluded(std::string_view id, const Oracle& oracle) {
  for (const Exclusion& entry : kExclusions)
    if (entry.id == id && entry.applies(oracle)) return true;
  return false;
}

struct ExtensionName {
  Ext ext;
  std::string_view name;
};
constexpr ExtensionName kNames[] = {
#define EXTENSION(id, name, on, help) {Ext::id, name},
#include "cpu/isa/extensions.inc"
};

}  // namespace

std::vector<Choice> choose_rows(const ExtensionSet& extensions, bool allowed,
                                const Oracle& oracle) {
  std::vector<Choice> choices;
  for (const Row& row : isa::kRows) {
    if (row.allowed(extensions) != allowed || excluded(row.id, oracle)) continue;
    choices.push_back({&row, shape_of(row)});
  }
  return choices;
}

std::vector<std::string_view> extensions_of_rows() {
  std::vector<std::string_view> names;
  ExtensionSet all;
  for (const auto& [ext, name] : kNames) all.set(ext, true);
  for (const auto& [ext, name] : kNames) {
    ExtensionSet only;
    only.set(ext, true);
    ExtensionSet without = all;
    without.set(ext, false);
    for (const Row& row : isa::kRows) {
      const bool helps = row.allowed(only) && !row.allowed(ExtensionSet());
      if (!helps && row.allowed(without)) continue;
      names.push_back(name);
      break;
    }
  }
  return names;
}

const Row& row_named(std::string_view id) {
  for (const Row& row : isa::kRows)
    if (row.id == id) return row;
  throw std::runtime_error("no row " + std::string(id));
}

uint32_t random_word(const Row& row, uint32_t reserved, Random& random) {
  const uint32_t all = row.length == 4 ? ~0u : 0xffffu;
  for (;;) {
    uint32_t word = row.match | (static_cast<uint32_t>(random.next()) & ~row.mask & all);
    if (row.format == Format::kJ || row.format == Format::kB || row.format == Format::kCJ ||
        row.format == Format::kCB) {
      word = with_offset(row, word, 0);
    } else {
      word = with_base(row, word, random);
    }
    // Reserved rounding modes are illegal: a few will do.
    if (has_rounding_mode(row.format) && (word >> 12 & 7) >= 5 && !random.percent(4))
      word |= 7u << 12;
    if (needs_destination(row.id) && (word >> 7 & 31) == 0) continue;
    if (row.matches(word) && !(written(row, word) & reserved & ~1u)) return word;
  }
}

uint32_t encode_i(std::string_view id, unsigned rd, unsigned rs1, int imm) {
  return row_named(id).match | rd << 7 | rs1 << 15 | static_cast<uint32_t>(imm) << 20;
}

uint32_t encode_r(std::string_view id, unsigned rd, unsigned rs1, unsigned rs2) {
  return row_named(id).match | rd << 7 | rs1 << 15 | rs2 << 20;
}

uint32_t with_offset(const Row& row, uint32_t word, int offset) {
  const auto imm = static_cast<uint32_t>(offset);
  const auto put = [&](unsigned from, unsigned count, unsigned to) {
    word = with_field(word, to, count, imm >> from);
  };
  switch (row.format) {
    case Format::kJ:
      put(12, 8, 12), put(11, 1, 20), put(1, 10, 21), put(20, 1, 31);
      return word;
    case Format::kB:
      put(11, 1, 7), put(1, 4, 8), put(5, 6, 25), put(12, 1, 31);
      return word;
    case Format::kCJ:
      put(5, 1, 2), put(1, 3, 3), put(7, 1, 6), put(6, 1, 7), put(10, 1, 8), put(8, 2, 9);
      put(4, 1, 11), put(11, 1, 12);
      return word;
    case Format::kCB:
      put(5, 1, 2), put(1, 2, 3), put(6, 2, 5), put(3, 2, 10), put(8, 1, 12);
      return word;
    default:
      throw std::runtime_error("no offset in " + std::string(row.id));
  }
}

}  // namespace hv::test
