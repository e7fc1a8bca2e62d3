#include "monitor/json_options.h"

#include "monitor/json.h"

namespace hv {
namespace {

constexpr unsigned kMaxDepth = 32;

Result<> flatten(const Json& value, const std::string& key, unsigned depth, KeyValues& out) {
  if (depth > kMaxDepth) return fail("{}: JSON is nested too deep", out.option());
  const auto join = [&](const std::string& part) { return key.empty() ? part : key + "." + part; };
  if (value.is_object()) {
    for (const auto& item : value.items())
      HV_TRY(flatten(item.value(), join(item.key()), depth + 1, out));
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i)
      HV_TRY(flatten(value[i], join(std::to_string(i)), depth + 1, out));
  } else if (value.is_string()) {
    out.add(key, value.get<std::string>());
  } else if (value.is_boolean()) {
    out.add(key, value.get<bool>() ? "on" : "off");
  } else if (value.is_number()) {
    out.add(key, value.dump());
  } else {
    return fail("{}: '{}' is null; leave it out instead", out.option(), key);
  }
  return {};
}

}  // namespace

Result<KeyValues> key_values_from_json(std::string_view option, std::string_view text) {
  const auto value = parse_json(text);
  if (!value) return fail("{}: {}", option, value.error().message);
  if (!value->is_object()) return fail("{}: expected a JSON object in braces", option);
  KeyValues out(option);
  HV_TRY(flatten(*value, "", 0, out));
  return out;
}

}  // namespace hv
