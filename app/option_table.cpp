#include "app/option_table.h"

#include "app/option_handlers.h"

namespace hv {
namespace {

constexpr OptionRow kOptions[] = {
#define OPTION(handler, names, argument, group, help, details) \
  {names, argument, OptionGroup::group, help, details, option_handlers::handler},
#include "app/options.inc"
#undef OPTION
};

constexpr RefusedOption kRefused[] = {
#define REFUSED(name, reason) {name, reason},
#include "app/refused_options.inc"
#undef REFUSED
};

bool has_name(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t space = names.find(' ');
    if (names.substr(0, space) == name) return true;
    names = space == std::string_view::npos ? std::string_view{} : names.substr(space + 1);
  }
  return false;
}

}  // namespace

std::string_view group_title(OptionGroup group) {
  switch (group) {
    case OptionGroup::kMachine:
      return "Machine";
    case OptionGroup::kBoot:
      return "Boot";
    case OptionGroup::kStorage:
      return "Storage";
    case OptionGroup::kDevices:
      return "Devices";
    case OptionGroup::kNetwork:
      return "Network";
    case OptionGroup::kConsole:
      return "Console and control";
    case OptionGroup::kProcess:
      return "Process";
    case OptionGroup::kDebug:
      return "Debugging";
    case OptionGroup::kHelp:
      return "Help";
  }
  return "";
}

std::span<const OptionRow> option_table() {
  return kOptions;
}

const OptionRow* find_option(std::string_view name) {
  for (const OptionRow& row : kOptions)
    if (has_name(row.names, name)) return &row;
  return nullptr;
}

std::span<const RefusedOption> refused_options() {
  return kRefused;
}

}  // namespace hv
