// Texts made from the option table.
#pragma once

#include <string>
#include <string_view>

namespace hv {

// "hartvisor version X.Y.Z", or QEMU's wording when `program` is qemu-system-riscv64...
std::string version_text(std::string_view program);
// --help: grouped, at most 80 columns.
std::string help_text(std::string_view program);
// The option part of docs/MANUAL.md.
std::string manual_options();

}  // namespace hv
