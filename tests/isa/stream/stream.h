// A random program: groups of instructions that belong together, forward jumps, short
// loops, and longer ones that walk through memory.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/isa/stream/rows_choice.h"

namespace hv::test {

class Stream {
 public:
  struct Instruction {
    uint32_t offset;
    uint32_t word;
    uint8_t length;
    // Instructions of a group are removed together by whoever shrinks a program: one alone could
    // reach outside the scratch pages or never end.
    uint32_t group;
  };
  struct Options {
    ExtensionSet extensions;
    Oracle oracle;
    unsigned groups = 1000;
  };

  Stream(const Options& options, Random& random);

  const std::vector<Instruction>& instructions() const { return instructions_; }
  std::vector<uint8_t> code() const;
  // Of the instruction that ends the program.
  uint32_t end() const { return end_; }

 private:
  struct Fixup {
    size_t instruction;
    const isa::Row* row;  // nullptr: the I immediate, relative to an auipc `behind` bytes earlier
    uint32_t behind;
    unsigned groups_left;
  };

  void generate(unsigned groups);
  void add_group();
  void add_row(const Choice& choice);
  void add_loop();
  void add_walk();
  void add_jump(const isa::Row& row);
  void add_indirect(const isa::Row& row);
  void add_csr(const isa::Row& row);
  void add_address_row(const isa::Row& row);
  void add_conditional(const isa::Row& row);
  void add_stack_move();
  void add_illegal();

  // rd of an address in the scratch pages.
  unsigned emit_address(unsigned alignment, bool plain_pages, uint32_t avoid = 0);
  void emit(uint32_t word, unsigned length = 4);
  void emit_random(const isa::Row& row);
  void land(bool all);
  unsigned free_register(uint32_t avoid = 0);

  const Options& options_;
  Random& random_;
  std::vector<Choice> choices_, absent_;
  std::vector<Instruction> instructions_;
  std::vector<Fixup> fixups_;
  uint32_t at_ = 0, end_ = 0, group_ = 0, next_group_ = 0;
  uint32_t reserved_ = kBaseRegisters;
};

}  // namespace hv::test
