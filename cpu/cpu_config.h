// What -cpu says: the extensions and limits of every hart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/result.h"

namespace hv {

// Extensions that can be switched; rows in cpu/isa/extensions.inc:
// EXTENSION(identifier, "name as in riscv,isa", default on in rv64, "what it is").
enum class Ext : uint8_t {
#define EXTENSION(id, name, on, help) id,
#include "cpu/isa/extensions.inc"
  kCount
};

class ExtensionSet {
 public:
  constexpr bool has(Ext ext) const { return bits_ >> static_cast<unsigned>(ext) & 1; }
  constexpr void set(Ext ext, bool on) {
    const uint64_t bit = 1ull << static_cast<unsigned>(ext);
    bits_ = on ? bits_ | bit : bits_ & ~bit;
  }
  constexpr bool operator==(const ExtensionSet&) const = default;

 private:
  uint64_t bits_ = 0;
};

struct CpuConfig {
  ExtensionSet extensions;
  // Largest paging mode: 39, 48 or 57; 0 = bare only (mmu=off).
  unsigned max_sv = 57;
  unsigned pmp_regions = 16;
  bool debug_triggers = true;  // Sdtrig, which QEMU calls debug
  uint64_t vendor_id = 0;
  uint64_t arch_id = 0;
  uint64_t imp_id = 0;

  // "rv64", "rva22s64" or "max" with ",zba=off,sv48=on,...": fails with a line that names the
  // unknown model or property, or the rule that a combination breaks (d without f, c without ... as
  // the specification says).
  static Result<CpuConfig> parse(std::string_view text);

  // The device tree's strings: "rv64imafdc_zicbom_..." in canonical order, and the list form of
  // riscv,isa-extensions ("i", "m", ...).
  std::string isa_string() const;
  std::vector<std::string> isa_extensions() const;
  // "riscv,sv57" etc., "riscv,none" without an MMU.
  std::string mmu_type() const;
  // misa with MXL = 64.
  uint64_t misa() const;
};

// Text for "-cpu help" and "-cpu rv64,help".
std::string cpu_help();

}  // namespace hv
