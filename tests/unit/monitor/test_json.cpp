#include <catch2/catch.hpp>

#include "monitor/json.h"
#include "monitor/json_framer.h"
#include "monitor/json_options.h"

namespace hv {
namespace {

// Texts and faults ("!...") in their order, fed in pieces of `step` bytes.
std::vector<std::string> cut(std::string_view input, size_t step = SIZE_MAX) {
  JsonFramer framer;
  std::vector<std::string> out;
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    framer.feed({reinterpret_cast<const uint8_t*>(piece.data()), piece.size()},
                [&](std::string_view text, std::string_view fault) {
                  out.push_back(fault.empty() ? std::string(text) : "!" + std::string(fault));
                });
  }
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("Framer: objects without newlines, several in a piece, one over many pieces") {
  const std::string input = R"({"a":1}{"b":[2,{"c":"}"}]} [3])"
                            "\r\n\"x\\\"{\" 7 ";
  const Texts expected{R"({"a":1})", R"({"b":[2,{"c":"}"}]})", "[3]", R"("x\"{")", "7"};
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, SIZE_MAX})
    CHECK(cut(input, step) == expected);
}

TEST_CASE("Framer: single quotes become double quotes") {
  CHECK(cut(R"({'a':'say "hi" it\'s'})") == Texts{R"({"a":"say \"hi\" it's"})"});
}

TEST_CASE("Framer: stray closers are reported and 0xff starts afresh") {
  CHECK(cut("}") == Texts{"!JSON parse error, expecting value"});
  CHECK(cut("{\"half\":\xff{}") == Texts{"!JSON parse error, stray '\\uFFFD'", "{}"});
  CHECK(cut("{\"in a string \xff{}") == Texts{"!JSON parse error, stray '\\uFFFD'", "{}"});
}

TEST_CASE("Framer: a missing quote costs its line, not the session") {
  const std::string fault = "!JSON parse error, control character in a string";
  CHECK(cut("{\"a\":\"b}\n{\"c\":1}\n{\"d\":2}\n") == Texts{fault, R"({"c":1})", R"({"d":2})"});
  CHECK(cut("{'a\\\n[1]") == Texts{fault, "[1]"});
}

TEST_CASE("Framer: what is too large or too deep is reported once and skipped") {
  const std::string fault = "!JSON parse error, text is too large or nested too deep";
  const std::string deep(JsonFramer::kMaxDepth + 1, '[');
  const std::string ends(JsonFramer::kMaxDepth + 1, ']');
  CHECK(cut(deep + ends + "{}") == Texts{fault, "{}"});
  CHECK(cut(deep.substr(1) + ends.substr(1)).front() != fault);
  CHECK(cut("[\"" + std::string(JsonFramer::kMaxSize, 'x') + "\"]{}") == Texts{fault, "{}"});
}

TEST_CASE("Wire text has QEMU's spacing") {
  const Json value{{"a", 1}, {"b", {1, 2}}, {"c", Json::object()}, {"d", "\u00e4\n"}};
  CHECK(to_text(value) == R"({"a": 1, "b": [1, 2], "c": {}, "d": "\u00e4\n"})");
  CHECK(to_text(Json{{"return", Json::object()}}) == R"({"return": {}})");
}

TEST_CASE("A bad text gives one message without the library's own wording") {
  const auto result = parse_json(R"({"execute" "x"})");
  REQUIRE_FALSE(result);
  CHECK(result.error().message.starts_with("JSON parse error, syntax error"));
  CHECK(result.error().message.find("json.exception") == std::string::npos);
}

TEST_CASE("A key given twice is refused") {
  const auto result = parse_json(R"({"execute":"query-status","execute":"quit"})");
  REQUIRE_FALSE(result);
  CHECK(result.error().message == "JSON parse error, duplicate key");
  CHECK_FALSE(parse_json(R"([{"a":{"b":1,"b":2}}])"));
  CHECK(parse_json(R"({"a":{"b":1},"b":[{"b":1},{"b":2}]})"));
}

TEST_CASE("JSON options take the shape of key=value options") {
  const auto values = key_values_from_json(
      "-blockdev",
      R"({"driver":"raw","read-only":false,"n":4,"file":{"driver":"file","l":["x"]}})");
  REQUIRE(values);
  const std::vector<std::pair<std::string, std::string>> expected{{"driver", "raw"},
                                                                  {"read-only", "off"},
                                                                  {"n", "4"},
                                                                  {"file.driver", "file"},
                                                                  {"file.l.0", "x"}};
  CHECK(values->items() == expected);
  CHECK_FALSE(key_values_from_json("-device", "{"));
  CHECK_FALSE(key_values_from_json("-device", "[]"));
  CHECK_FALSE(key_values_from_json("-device", R"({"a":null})"));
}

}  // namespace hv
