#include "monitor/qmp_dispatcher.h"

namespace hv {
namespace {

const QmpCommand* find_command(std::string_view name) {
  for (const QmpCommand& command : qmp_commands())
    if (command.name == name) return &command;
  return nullptr;
}

bool has_type(const Json& value, std::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "any") return true;
  if (type == "array") return value.is_array();
  return value.is_object();
}

// Checks `arguments` against a row's declaration; the messages are QEMU's.
std::expected<void, QmpError> check_arguments(const QmpCommand& command, const Json& arguments) {
  size_t known = 0;
  for (std::string_view rest = command.arguments; !rest.empty();) {
    const size_t space = rest.find(' ');
    std::string_view item = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
    const bool optional = item.starts_with('?');
    if (optional) item.remove_prefix(1);
    const size_t colon = item.find(':');
    const std::string name(item.substr(0, colon));
    const std::string_view type = item.substr(colon + 1);
    const auto found = arguments.find(name);
    if (found == arguments.end()) {
      if (!optional) return qmp_error("GenericError", "Parameter '{}' is missing", name);
    } else if (!has_type(*found, type)) {
      return qmp_error("GenericError", "Invalid parameter type for '{}', expected: {}", name, type);
    } else {
      ++known;
    }
  }
  if (known == arguments.size()) return {};
  for (const auto& item : arguments.items()) {
    const std::string declared = " " + std::string(command.arguments);
    if (declared.find(" " + item.key() + ":") == std::string::npos &&
        declared.find("?" + item.key() + ":") == std::string::npos)
      return qmp_error("GenericError", "Parameter '{}' is unexpected", item.key());
  }
  return {};
}

// The envelope: which command, with which arguments.
QmpResult run(MonitorContext& context, bool& negotiated, const Json& request) {
  static const Json kNoArguments = Json::object();
  const Json* arguments = &kNoArguments;
  const Json* execute = nullptr;
  for (const auto& item : request.items()) {
    if (item.key() == "execute" || item.key() == "exec-oob") {
      if (!item.value().is_string())
        return qmp_error("GenericError", "QMP input member '{}' must be a string", item.key());
      if (execute)
        return qmp_error("GenericError", "QMP input member 'execute' clashes with 'exec-oob'");
      execute = &item.value();
    } else if (item.key() == "arguments") {
      if (!item.value().is_object())
        return qmp_error("GenericError", "QMP input member 'arguments' must be an object");
      arguments = &item.value();
    } else if (item.key() != "id") {
      return qmp_error("GenericError", "QMP input member '{}' is unexpected", item.key());
    }
  }
  if (!execute) return qmp_error("GenericError", "QMP input lacks member 'execute'");

  const std::string name = execute->get<std::string>();
  if (request.contains("exec-oob"))
    return qmp_error("GenericError", "QMP input member 'exec-oob' is unexpected");
  if (!negotiated && name != "qmp_capabilities")
    return qmp_error("CommandNotFound",
                     "Expecting capabilities negotiation with 'qmp_capabilities'");
  const QmpCommand* command = find_command(name);
  if (!command) return qmp_error("CommandNotFound", "The command {} has not been found", name);
  if (auto checked = check_arguments(*command, *arguments); !checked)
    return std::unexpected(checked.error());
  QmpCall call{context, negotiated, *arguments};
  return command->run(call);
}

}  // namespace

Json qmp_error_reply(const QmpError& error) {
  return {{"error", {{"class", error.error_class}, {"desc", error.description}}}};
}

Json qmp_dispatch(MonitorContext& context, bool& negotiated, std::string_view text) {
  const auto request = parse_json(text);
  if (!request) return qmp_error_reply({"GenericError", request.error().message});
  if (!request->is_object())
    return qmp_error_reply({"GenericError", "QMP input must be a JSON object"});

  const QmpResult result = run(context, negotiated, *request);
  Json reply = result ? Json{{"return", *result}} : qmp_error_reply(result.error());
  if (const auto id = request->find("id"); id != request->end()) reply["id"] = *id;
  return reply;
}

}  // namespace hv
