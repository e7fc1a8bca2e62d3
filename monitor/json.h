// JSON values and their text on the QMP wire. Included by the files of monitor only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/result.h"

namespace hv {

// Objects keep the order in which they were built.
using Json = nlohmann::ordered_json;

// Fails with "JSON parse error, ..." that says what was expected and where; a key given twice in
// one object is an error.
Result<Json> parse_json(std::string_view text);

// One line with QEMU's spacing ({"a": 1, "b": [2, 3]}), on which clients' text searches rely;
// `pretty` breaks lines and indents by 4. Non-ASCII is written as \u escapes. No newline at the
// end.
std::string to_text(const Json& value, bool pretty = false);

}  // namespace hv
