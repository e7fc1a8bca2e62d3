#include "app/help.h"

#include <fmt/format.h>

#include "app/option_table.h"
#include "monitor/qmp_server.h"

namespace hv {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kHelpColumn = 26;

// "-machine, -M NAME"
std::string usage(const OptionRow& row, std::string_view separator) {
  std::string text;
  for (std::string_view names = row.names; !names.empty();) {
    const size_t space = names.find(' ');
    if (!text.empty()) text += separator;
    text += fmt::format("-{}", names.substr(0, space));
    names = space == std::string_view::npos ? std::string_view{} : names.substr(space + 1);
  }
  if (!row.argument.empty()) text += fmt::format(" {}", row.argument);
  return text;
}

// Appends `help` broken at spaces, each line starting at kHelpColumn.
void append_wrapped(std::string& text, size_t column, std::string_view help) {
  if (column + 2 > kHelpColumn) {
    text += '\n';
    column = 0;
  }
  while (!help.empty()) {
    text.append(kHelpColumn - column, ' ');
    const size_t room = kColumns - kHelpColumn;
    size_t length = help.size();
    if (length > room) {
      length = help.rfind(' ', room);
      if (length == std::string_view::npos || length == 0) length = room;
    }
    text += help.substr(0, length);
    text += '\n';
    help.remove_prefix(length);
    if (help.starts_with(' ')) help.remove_prefix(1);
    column = 0;
  }
}

}  // namespace

std::string version_text(std::string_view program) {
  if (program.starts_with("qemu-system-riscv64")) {
    return fmt::format("QEMU emulator version {}.{}.{} (hartvisor {})\n", kQemuMajor, kQemuMinor,
                       kQemuMicro, HV_VERSION);
  }
  return fmt::format("hartvisor version {}\n", HV_VERSION);
}

std::string help_text(std::string_view program) {
  std::string text = version_text(program);
  text += fmt::format(
      "A RISC-V machine, compatible with QEMU's command line.\n"
      "usage: {} [options]\n\n"
      "To boot a kernel on 4 harts, console in this terminal (C-a x ends it):\n"
      "  {} -M virt -smp 4 -m 1G -nographic -kernel Image \\\n"
      "    -append \"root=/dev/vda\" -drive file=disk.img,format=raw,if=virtio\n",
      program, program);
  for (const OptionGroup group : kOptionGroups) {
    text += fmt::format("\n{}:\n", group_title(group));
    for (const OptionRow& row : option_table()) {
      if (row.group != group) continue;
      const std::string left = "  " + usage(row, ", ");
      text += left;
      append_wrapped(text, left.size(), row.help);
    }
  }
  text += "\nTwo dashes do as well as one. docs/MANUAL.md has the details.\n";
  return text;
}

std::string manual_options() {
  std::string text;
  for (const OptionGroup group : kOptionGroups) {
    text += fmt::format("\n### {}\n", group_title(group));
    for (const OptionRow& row : option_table()) {
      if (row.group != group) continue;
      std::string_view details = row.details;
      if (details.starts_with('\n')) details.remove_prefix(1);
      text += fmt::format("\n#### `{}`\n\n{}{}.\n", usage(row, "`, `"),
                          static_cast<char>(std::toupper(row.help.front())), row.help.substr(1));
      if (!details.empty()) text += fmt::format("\n{}\n", details);
    }
  }
  return text;
}

}  // namespace hv
