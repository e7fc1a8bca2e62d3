#include "io/key_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace hv {

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "n") return false;
  return std::nullopt;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> parse_size(std::string_view text, uint64_t default_unit) {
  if (text.empty()) return std::nullopt;
  uint64_t unit = default_unit;
  switch (text.back() | 0x20) {
    case 'b':
      unit = 1;
      break;
    case 'k':
      unit = 1ull << 10;
      break;
    case 'm':
      unit = 1ull << 20;
      break;
    case 'g':
      unit = 1ull << 30;
      break;
    case 't':
      unit = 1ull << 40;
      break;
    default:
      unit = 0;
  }
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (unit != 0 && !(hexadecimal && (text.back() | 0x20) == 'b'))
    text.remove_suffix(1);
  else
    unit = default_unit;
  const size_t dot = text.find('.');
  if (dot != std::string_view::npos) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0 || dot == 0)
      return std::nullopt;
    const double bytes = std::floor(value * static_cast<double>(unit));
    if (bytes >= 9.2e18) return std::nullopt;
    return static_cast<uint64_t>(bytes);
  }
  const auto value = parse_number(text);
  if (!value || *value > UINT64_MAX / unit) return std::nullopt;
  return *value * unit;
}

Result<KeyValues> KeyValues::parse(std::string_view option, std::string_view text,
                                   std::string_view implied_key) {
  KeyValues result(option);
  bool first = true;
  size_t at = 0;
  while (at < text.size()) {
    std::string word;
    bool ended_by_comma = false;
    for (; at < text.size(); ++at) {
      if (text[at] != ',') {
        word += text[at];
      } else if (at + 1 < text.size() && text[at + 1] == ',') {
        word += ',';
        ++at;
      } else {
        ended_by_comma = true;
        break;
      }
    }
    ++at;
    const size_t equals = word.find('=');
    if (equals == 0) return fail("{} {}: a key is missing before '='", option, text);
    if (word.empty()) {
      if (!(first && ended_by_comma))
        return fail("{} {}: an empty item (a comma too many)", option, text);
    } else if (equals != std::string::npos) {
      result.add(word.substr(0, equals), word.substr(equals + 1));
    } else if (first && !implied_key.empty()) {
      result.add(implied_key, word);
    } else {
      result.add(word, "on");
    }
    first = false;
    if (!ended_by_comma) break;
  }
  return result;
}

std::optional<std::string> KeyValues::get(std::string_view key) const {
  for (auto it = items_.rbegin(); it != items_.rend(); ++it)
    if (it->first == key) return it->second;
  return std::nullopt;
}

std::optional<std::string> KeyValues::take(std::string_view key) {
  auto value = get(key);
  if (value) std::erase_if(items_, [&](const auto& item) { return item.first == key; });
  return value;
}

Result<std::optional<bool>> KeyValues::take_bool(std::string_view key) {
  const auto text = take(key);
  if (!text) return std::nullopt;
  const auto value = parse_bool(*text);
  if (!value) return fail("{}: {}={} is not a switch: use on or off", option_, key, *text);
  return value;
}

Result<std::optional<uint64_t>> KeyValues::take_number(std::string_view key) {
  const auto text = take(key);
  if (!text) return std::nullopt;
  const auto value = parse_number(*text);
  if (!value) return fail("{}: {}={} is not a whole number of 0 or more", option_, key, *text);
  return value;
}

Result<std::optional<uint64_t>> KeyValues::take_size(std::string_view key) {
  const auto text = take(key);
  if (!text) return std::nullopt;
  const auto value = parse_size(*text);
  if (!value)
    return fail("{}: {}={} is not a size: use a number with an optional K, M, G or T", option_, key,
                *text);
  return value;
}

KeyValues KeyValues::take_below(std::string_view name) {
  KeyValues below(option_);
  const std::string prefix = std::string(name) + ".";
  std::erase_if(items_, [&](const auto& item) {
    if (!item.first.starts_with(prefix)) return false;
    below.add(std::string_view(item.first).substr(prefix.size()), item.second);
    return true;
  });
  return below;
}

Result<> KeyValues::expect_empty(std::string_view known) const {
  if (items_.empty()) return {};
  return fail("{}: there is no '{}' here; known: {}", option_, items_.front().first, known);
}

}  // namespace hv
