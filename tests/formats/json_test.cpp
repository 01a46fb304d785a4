#include "unireplk/formats/json.h"

#include "support/catch.h"
#include "unireplk/formats/json_object.h"

namespace unireplk::formats {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

std::string complaint(std::string_view text) {
  const auto parsed = parse_json(text, "list.json");
  return parsed ? "" : parsed.problem().text();
}

TEST_CASE("json: where a text is none, and what stands there") {
  CHECK(complaint("{\"a\": [1, 2,\n  3, ]}") ==
        "list.json: not valid JSON at line 2, column 6: got \"]}\". Mend the file, or make it again.");
  CHECK_THAT(complaint("no state"), Contains("at line 1, column 2: got \"o state\""));
  CHECK_THAT(complaint("{\"a\": 1"), Contains("at line 1, column 8: got its end"));
  CHECK_THAT(complaint(""), Contains("at line 1, column 1: got its end"));
  CHECK_THAT(complaint("{\"a\nb\": 1}"), Contains("at line 1, column 4: got the end of the line"));
  CHECK_THAT(complaint("[\"\xc3x\"]"), Contains("at line 1, column 3: got bytes that are not UTF-8"));
  CHECK_THAT(complaint("[1e999]"), Contains("not valid JSON: a number is too large"));
  CHECK_THAT(complaint(std::string_view("[]\0", 3)), Contains("a zero byte"));
  CHECK_THAT(complaint(R"({"a": 1, "a": 2})"), Contains("key \"a\" appears twice"));
  CHECK_THAT(complaint(std::string(40, '[')), Contains("at most 32 levels"));
}

/// What reading `text` as an object says.
template <class Read>
std::string refusal(const char* text, Read read) {
  const auto value = json::parse(text);
  try {
    read(JsonObject(value, "file", "Mend it."));
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

template <class T>
std::string refusal_of(const char* value) {
  const auto text = std::string(R"({"key": )") + value + "}";
  return refusal(text.c_str(), [](const JsonObject& object) { object.get<T>("key"); });
}

TEST_CASE("json object: what is missing or of another type is told with its place") {
  CHECK(refusal("[1]", [](const JsonObject&) {}) == "file: expected an object, got [1]. Mend it.");
  CHECK(refusal("{}", [](const JsonObject& object) { object.get<int64_t>("key"); }) ==
        "file: key: expected an integer, got nothing. Mend it.");
  CHECK(refusal("{}", [](const JsonObject& object) { object.object("key"); }) ==
        "file: key: expected an object, got nothing. Mend it.");
  const auto second = [](const JsonObject& object) { object.objects("key").at(1).get<bool>("on"); };
  CHECK(refusal(R"({"key": [{"on": true}, {"on": 1}]})", second) ==
        "file: key[1]: on: expected true or false, got 1. Mend it.");
  CHECK(refusal(R"({"key": [{"on": true}, 2]})", second) == "file: key[1]: expected an object, got 2. Mend it.");
  CHECK(refusal(R"({"key": 3})", second) == "file: key: expected a list of objects, got 3. Mend it.");
  CHECK(refusal(R"({"key": [{}, {"on": false}]})", second).empty());
}

TEST_CASE("json object: a value of another type is refused, not converted") {
  CHECK(refusal_of<std::string>("5") == "file: key: expected a text, got 5. Mend it.");
  CHECK(refusal_of<int64_t>("1.5") == "file: key: expected an integer, got 1.5. Mend it.");
  CHECK(refusal_of<int64_t>("1e300") == "file: key: expected an integer, got 1e+300. Mend it.");
  CHECK_THAT(refusal_of<int64_t>("9223372036854775808"), Contains("expected an integer, got 9223372036854775808"));
  CHECK_THAT(refusal_of<int64_t>("true"), Contains("expected an integer, got true"));
  CHECK_THAT(refusal_of<double>("null"), Contains("expected a number, got null"));
  CHECK_THAT(refusal_of<bool>("0"), Contains("expected true or false, got 0"));
  CHECK_THAT(refusal_of<std::vector<std::string>>(R"(["a", 1])"), Contains(R"(expected a list of texts, got ["a",1])"));
  CHECK_THAT((refusal_of<std::array<int64_t, 2>>("[1]")), Contains("expected a list of 2 integers, got [1]"));
  CHECK_THAT((refusal_of<std::vector<std::array<int64_t, 2>>>("[[1, 2], 3]")),
             Contains("expected a list of lists of 2 integers, got [[1,2],3]"));
  CHECK(refusal_of<double>(R"("0123456789012345678901234567890123456789")") ==
        "file: key: expected a number, got \"012345678901234567890123456789012345678... Mend it.");
  CHECK(refusal_of<double>("3").empty());
  CHECK(refusal_of<int64_t>("9223372036854775807").empty());
  CHECK((refusal_of<std::vector<std::array<int64_t, 2>>>("[[1, 2], [3, -4]]")).empty());
}

}  // namespace
}  // namespace unireplk::formats
