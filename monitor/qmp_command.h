// QMP commands: what they may do, what they take, and how they answer.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "monitor/json.h"
#include "monitor/qmp_server.h"

namespace hv {

// An error reply. `error_class` is one of QEMU's: GenericError, CommandNotFound, DeviceNotFound.
struct QmpError {
  std::string error_class;
  std::string description;
};
using QmpResult = std::expected<Json, QmpError>;

template <class... Args>
std::unexpected<QmpError> qmp_error(std::string_view error_class,
                                    fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(
      QmpError{std::string(error_class), fmt::format(format, std::forward<Args>(args)...)});
}

// What a command sees of its session.
struct QmpCall {
  MonitorContext& context;
  bool& negotiated;  // qmp_capabilities has been served
  const Json& arguments;
};

// One row of monitor/commands.inc.
struct QmpCommand {
  std::string_view name;
  // "name:type" separated by spaces, '?' before an optional one; types: string, boolean, integer,
  // array, object, any.
  std::string_view arguments;
  QmpResult (*run)(QmpCall& call);
};

// The "version" member of the greeting and the reply of query-version.
Json qmp_version();

// All commands, in the order of the rows.
std::span<const QmpCommand> qmp_commands();

}  // namespace hv
