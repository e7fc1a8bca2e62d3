// Which rows a stream is made of, and words of them that keep the stream's rules: the base
// registers stay, memory operands lie in the scratch pages, jumps go where the generator says.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cpu/cpu_config.h"
#include "tests/isa/stream/exclusions.h"
#include "tests/isa/stream/random.h"

namespace hv::isa {
struct Row;
}

namespace hv::test {

inline constexpr uint32_t kBaseRegisters = 1u << 2 | 1u << 3 | 1u << 8;

// What the generator must build around a row's word.
enum class Shape {
  kPlain,        // nothing: ALU, FP, loads and stores with offset, system
  kAddress,      // rs1 holds an address: AMO, LR, cache blocks, anything new that touches memory
  kConditional,  // SC
  kJump,
  kIndirect,  // jalr, c.jr, c.jalr
  kCsr,
};

struct Choice {
  const isa::Row* row;
  Shape shape;
};

// Rows that harts with `extensions` have; with `allowed` false those of the other extensions, which
// must be illegal.
std::vector<Choice> choose_rows(const ExtensionSet& extensions, bool allowed, const Oracle& oracle);
// Extensions (names as in riscv,isa) that some row needs.
std::vector<std::string_view> extensions_of_rows();
const isa::Row& row_named(std::string_view id);

// A random word of the row that writes none of the registers in `reserved`. Jump offsets are 0.
uint32_t random_word(const isa::Row& row, uint32_t reserved, Random& random);

uint32_t encode_i(std::string_view id, unsigned rd, unsigned rs1, int imm);
uint32_t encode_r(std::string_view id, unsigned rd, unsigned rs1, unsigned rs2);
// `word` with the offset of a jump or branch of that row.
uint32_t with_offset(const isa::Row& row, uint32_t word, int offset);

}  // namespace hv::test
