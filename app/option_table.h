// The one table of options: it drives parsing, --help and the option part of docs/MANUAL.md.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "app/options.h"

namespace hv {

enum class OptionGroup {
  kMachine,
  kBoot,
  kStorage,
  kDevices,
  kNetwork,
  kConsole,
  kProcess,
  kDebug,
  kHelp
};
inline constexpr OptionGroup kOptionGroups[] = {
    OptionGroup::kMachine, OptionGroup::kBoot,    OptionGroup::kStorage,
    OptionGroup::kDevices, OptionGroup::kNetwork, OptionGroup::kConsole,
    OptionGroup::kProcess, OptionGroup::kDebug,   OptionGroup::kHelp};
std::string_view group_title(OptionGroup group);

struct OptionRow {
  std::string_view names;     // spellings without the dash, separated by spaces; the first is shown
  std::string_view argument;  // as --help shows it; empty: the option takes none
  OptionGroup group;
  std::string_view help;     // a sentence or two
  std::string_view details;  // Markdown for the manual only; may be empty
  Result<> (*apply)(Options& options, const std::string& value);
};
std::span<const OptionRow> option_table();
// nullptr: no such option.
const OptionRow* find_option(std::string_view name);

// QEMU's options that are not here, with the reason (a clause for "not supported: ...").
struct RefusedOption {
  std::string_view name;
  std::string_view reason;
};
std::span<const RefusedOption> refused_options();

}  // namespace hv
