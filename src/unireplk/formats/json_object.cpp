#include "unireplk/formats/json_object.h"

#include "unireplk/core/utf8.h"

namespace unireplk::formats {
namespace {

using nlohmann::json;

/// A value as a message shows it; the beginning of a long one.
std::string shown(const json& value) {
  constexpr size_t kMost = 40;
  auto text = value.dump();
  if (text.size() <= kMost) return text;
  text.resize(kMost);
  return text.substr(0, valid_utf8_prefix(text)) + "...";
}

}  // namespace

JsonObject::JsonObject(const json& value, std::string place, std::string cure)
    : value_(&value), place_(std::move(place)), cure_(std::move(cure)) {
  if (!value.is_object()) throw UserError({place_, "expected an object, got " + shown(value), cure_});
}

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : value_->items()) keys.push_back(key);
  return keys;
}

const json& JsonObject::at(const std::string& key, const std::string& expected) const {
  const auto found = value_->find(key);
  if (found == value_->end()) throw UserError({place_of(key), format("expected {}, got nothing", expected), cure_});
  return *found;
}

void JsonObject::refuse_value(const std::string& key, const std::string& expected) const {
  throw UserError({place_of(key), format("expected {}, got {}", expected, shown(value_->at(key))), cure_});
}

JsonObject JsonObject::object(const std::string& key) const { return {at(key, "an object"), place_of(key), cure_}; }

std::vector<JsonObject> JsonObject::objects(const std::string& key) const {
  const auto& list = at(key, "a list of objects");
  if (!list.is_array()) refuse_value(key, "a list of objects");
  std::vector<JsonObject> objects;
  for (const auto& element : list) {
    objects.emplace_back(element, format("{}[{}]", place_of(key), objects.size()), cure_);
  }
  return objects;
}

}  // namespace unireplk::formats
