#include "unireplk/formats/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "unireplk/core/utf8.h"

namespace unireplk::formats {
namespace {

using nlohmann::json;

constexpr const char* kCure = "Mend the file, or make it again.";

struct JsonRefusal {
  std::string message;
};

/// Watches a parse: nlohmann keeps the last of two equal keys and nests without limit.
class Watch {
 public:
  explicit Watch(int max_depth) : max_depth_(max_depth) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= max_depth_)
          throw JsonRefusal{format("expected at most {} levels of nesting, got more", max_depth_)};
        keys_.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = value.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second) throw JsonRefusal{format("key \"{}\" appears twice", key)};
        break;
      }
      case json::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  int max_depth_;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open
};

/// Where a text stops being JSON, and what stands there.
/// \param at  bytes before that place.
std::string stop_in(std::string_view text, size_t at) {
  constexpr size_t kExcerpt = 20;
  at = std::min({at, text.size(), valid_utf8_prefix(text)});
  const auto before = text.substr(0, at);
  const auto line_start = before.rfind('\n') + 1;  // 0 when there is none
  auto excerpt = text.substr(at, kExcerpt);
  excerpt = excerpt.substr(0, std::min(valid_utf8_prefix(excerpt), excerpt.find('\n')));
  const auto got = at == text.size() ? std::string("its end")
                   : excerpt.empty() ? (text[at] == '\n' ? "the end of the line" : "bytes that are not UTF-8")
                                     : json(excerpt).dump();
  return format("line {}, column {}: got {}", 1 + std::ranges::count(before, '\n'), 1 + at - line_start, got);
}

}  // namespace

Result<json> parse_json(std::string_view text, const std::string& place, int max_depth) {
  if (text.find('\0') != std::string_view::npos) {  // the parser would take it for the end of the text
    return Problem{.place = place, .message = "not valid JSON: it holds a zero byte", .cure = kCure};
  }
  Watch watch(max_depth);
  try {
    return json::parse(text,
                       [&](int depth, json::parse_event_t event, json& value) { return watch(depth, event, value); });
  } catch (const JsonRefusal& refusal) {
    return Problem{.place = place, .message = "not acceptable JSON: " + refusal.message, .cure = kCure};
  } catch (const json::parse_error& error) {  // counts the byte that it did not expect
    return Problem{.place = place, .message = "not valid JSON at " + stop_in(text, error.byte - 1), .cure = kCure};
  } catch (const json::out_of_range&) {
    return Problem{.place = place, .message = "not valid JSON: a number is too large", .cure = kCure};
  }
}

}  // namespace unireplk::formats
