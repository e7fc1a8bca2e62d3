// The handlers of app/options.inc, one per option, in options_*.cpp.
#pragma once

#include <string>

#include "app/options.h"

namespace hv::option_handlers {

#define OPTION(handler, names, argument, group, help, details) \
  Result<> handler(Options& options, const std::string& value);
#include "app/options.inc"
#undef OPTION

}  // namespace hv::option_handlers
