// Option text in QEMU's form: "head,key=value,key=value".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/result.h"

namespace hv {

// The keys of one option in the order given; JSON forms are flattened into the same shape
// ({"cache":{"direct":true}} gives cache.direct=on).
class KeyValues {
 public:
  // `option` is how messages name it ("-device"). A first word without '=' is stored under
  // `implied_key` when that is not empty ("virtio-blk-device" under "driver"). ",," stands for a
  // comma; "key" alone means key=on and "nokey" is not special.
  static Result<KeyValues> parse(std::string_view option, std::string_view text,
                                 std::string_view implied_key = {});

  explicit KeyValues(std::string_view option = {}) : option_(option) {}
  void add(std::string_view key, std::string_view value) { items_.emplace_back(key, value); }

  // The last value given for the key.
  std::optional<std::string> get(std::string_view key) const;
  // As get(), and removes every occurrence: what is left at the end was not understood.
  std::optional<std::string> take(std::string_view key);
  // Typed take(); fail with a line that names option and key.
  Result<std::optional<bool>> take_bool(std::string_view key);
  Result<std::optional<uint64_t>> take_number(std::string_view key);  // decimal or 0x
  Result<std::optional<uint64_t>> take_size(std::string_view key);    // 512, 4k, 1M, 2G
  // Takes every "NAME.KEY=VALUE" and returns them as "KEY=VALUE".
  KeyValues take_below(std::string_view name);
  // Fails on the first key left, naming it; `known` are listed as what would be right.
  Result<> expect_empty(std::string_view known) const;

  const std::string& option() const { return option_; }
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }
  bool empty() const { return items_.empty(); }

 private:
  std::string option_;
  std::vector<std::pair<std::string, std::string>> items_;
};

// "on/off/yes/no/true/false"; nullopt otherwise.
std::optional<bool> parse_bool(std::string_view text);
// Whole-string unsigned number, decimal or 0x; nullopt otherwise (also on overflow).
std::optional<uint64_t> parse_number(std::string_view text);
// A size with an optional suffix B, K, M, G, T (case-insensitive, powers of 1024) and an optional
// fraction ("1.5G"); no suffix means units of `default_unit` bytes.
std::optional<uint64_t> parse_size(std::string_view text, uint64_t default_unit = 1);

}  // namespace hv
