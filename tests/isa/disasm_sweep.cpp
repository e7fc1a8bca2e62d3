// Writes a sweep of instruction words as raw code and as our disassembly, for compare_objdump.py.
//
// disasm_sweep CODE TEXT: CODE gets the words one behind the other, TEXT a line for each:
// "address<tab>word<tab>text".
#include <cstdio>
#include <fstream>
#include <iostream>
#include <random>

#include <fmt/format.h>

#include "cpu/disasm.h"
#include "cpu/isa/rows.h"

using namespace hv;

namespace {

class Sweep {
 public:
  Sweep(const char* code, const char* text) : code_(code, std::ios::binary), text_(text) {
    for (unsigned i = 0; i < static_cast<unsigned>(Ext::kCount); ++i)
      extensions_.set(static_cast<Ext>(i), true);
  }

  void add(uint32_t word) {
    // objdump takes formats longer than 32 bits as a whole.
    if ((word & 0x1f) == 0x1f) return;
    const unsigned length = (word & 3) == 3 ? 4 : 2;
    code_.write(reinterpret_cast<const char*>(&word), length);
    text_ << fmt::format("{:x}\t{:x}\t{}\n", address_, word,
                         disassemble(word, address_, extensions_));
    address_ += length;
  }

  bool finish() {
    code_.close();
    text_.close();
    return code_.good() && text_.good();
  }

 private:
  std::ofstream code_, text_;
  ExtensionSet extensions_;
  uint64_t address_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: disasm_sweep CODE TEXT\n";
    return 2;
  }
  Sweep sweep(argv[1], argv[2]);
  for (uint32_t word = 0; word < 0x10000; ++word)
    if ((word & 3) != 3) sweep.add(word);

  std::mt19937 random(1);
  constexpr int kWordsPerRow = 600;
  for (const auto& row : isa::kRows) {
    if (row.length != 4) continue;
    for (int i = 0; i < kWordsPerRow; ++i)
      sweep.add(row.match | (static_cast<uint32_t>(random()) & ~row.mask));
    // One fixed bit wrong: most are words of other rows or none.
    for (int bit = 2; bit < 32; ++bit) {
      const uint32_t flip = 1u << bit;
      if (row.mask & flip)
        sweep.add((row.match ^ flip) | (static_cast<uint32_t>(random()) & ~row.mask));
    }
  }
  for (int i = 0; i < 100000; ++i) sweep.add(static_cast<uint32_t>(random()) | 3);
  return sweep.finish() ? 0 : 1;
}
