#include "unireplk/formats/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace unireplk::formats {
namespace {

using nlohmann::json;

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

}  // namespace

Result<json> parse_json(std::string_view text, const std::string& place, int max_depth) {
  if (text.find('\0') != std::string_view::npos) {  // the parser would take it for the end of the text
    return Problem{.place = place, .message = "not valid JSON: it holds a zero byte", .cure = ""};
  }
  Watch watch(max_depth);
  try {
    return json::parse(text,
                       [&](int depth, json::parse_event_t event, json& value) { return watch(depth, event, value); });
  } catch (const JsonRefusal& refusal) {
    return Problem{.place = place, .message = "not acceptable JSON: " + refusal.message, .cure = ""};
  } catch (const json::exception& error) {
    return Problem{.place = place, .message = format("not valid JSON: {}", error.what()), .cure = ""};
  }
}

}  // namespace unireplk::formats
