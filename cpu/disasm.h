// Instruction words as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cpu/cpu_config.h"

namespace hv {

// In the form of GNU objdump -d -M no-aliases, mnemonic and operands separated by a tab:
// "c.addi\tsp,-32", "bne\ta0,zero,0x80000010". `pc` is the instruction's address, for targets.
// What the extensions do not contain is ".2byte\t0x..." or ".4byte\t0x...". The upper half of
// `word` is ignored when the lower half is a compressed instruction. Thread-safe.
std::string disassemble(uint32_t word, uint64_t pc, const ExtensionSet& extensions);

// ABI names: "a0", "fa0".
std::string_view register_name(unsigned number);
std::string_view float_register_name(unsigned number);

}  // namespace hv
