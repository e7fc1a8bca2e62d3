#include "monitor/json.h"

#include <set>
#include <vector>

namespace hv {
namespace {

// The library's message after its error number and position.
std::string_view reason_of(std::string_view what) {
  const size_t at = what.find("syntax error");
  if (at != std::string_view::npos) return what.substr(at);
  const size_t bracket = what.find("] ");
  return bracket == std::string_view::npos ? what : what.substr(bracket + 2);
}

std::string scalar_text(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

void write_compact(const Json& value, std::string& text) {
  if (!value.is_structured()) {
    text += scalar_text(value);
    return;
  }
  text += value.is_object() ? '{' : '[';
  bool first = true;
  for (const auto& item : value.items()) {
    if (!first) text += ", ";
    first = false;
    if (value.is_object()) text += scalar_text(item.key()) + ": ";
    write_compact(item.value(), text);
  }
  text += value.is_object() ? '}' : ']';
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  // Which of two equal keys counts is not for us to guess; QEMU refuses them too.
  std::vector<std::set<std::string>> open_objects;
  bool duplicate = false;
  const auto note_keys = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start)
      open_objects.emplace_back();
    else if (event == Json::parse_event_t::object_end)
      open_objects.pop_back();
    else if (event == Json::parse_event_t::key)
      duplicate |= !open_objects.back().insert(parsed.get<std::string>()).second;
    return true;
  };
  try {
    auto value = Json::parse(text, note_keys);
    if (duplicate) return fail("JSON parse error, duplicate key");
    return value;
  } catch (const Json::exception& error) {
    return fail("JSON parse error, {}", reason_of(error.what()));
  }
}

std::string to_text(const Json& value, bool pretty) {
  if (pretty) return value.dump(4, ' ', true, Json::error_handler_t::replace);
  std::string text;
  write_compact(value, text);
  return text;
}

}  // namespace hv
