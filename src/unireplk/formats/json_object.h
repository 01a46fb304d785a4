#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/core/error.h"

namespace unireplk::formats {

/// What a type is called in messages, alone and in a list, and which values are of it: no number is rounded to an
/// integer, and no `true` is a number.
template <class T>
struct JsonType;

template <>
struct JsonType<std::string> {
  static std::string one() { return "a text"; }
  static std::string many() { return "texts"; }
  static bool fits(const nlohmann::json& value) { return value.is_string(); }
};

template <>
struct JsonType<bool> {
  static std::string one() { return "true or false"; }
  static std::string many() { return "true or false"; }
  static bool fits(const nlohmann::json& value) { return value.is_boolean(); }
};

template <>
struct JsonType<double> {
  static std::string one() { return "a number"; }
  static std::string many() { return "numbers"; }
  static bool fits(const nlohmann::json& value) { return value.is_number(); }
};

template <>
struct JsonType<int64_t> {
  static std::string one() { return "an integer"; }
  static std::string many() { return "integers"; }
  static bool fits(const nlohmann::json& value) {
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    return value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= kMost);
  }
};

template <class T>
struct JsonType<std::vector<T>> {
  static std::string one() { return "a list of " + JsonType<T>::many(); }
  static std::string many() { return "lists of " + JsonType<T>::many(); }
  static bool fits(const nlohmann::json& value) {
    if (!value.is_array()) return false;
    for (const auto& element : value) {
      if (!JsonType<T>::fits(element)) return false;
    }
    return true;
  }
};

template <class T, size_t N>
struct JsonType<std::array<T, N>> {
  static std::string one() { return format("a list of {} {}", N, JsonType<T>::many()); }
  static std::string many() { return format("lists of {} {}", N, JsonType<T>::many()); }
  static bool fits(const nlohmann::json& value) { return value.size() == N && JsonType<std::vector<T>>::fits(value); }
};

/// An object of a JSON document from an untrusted source, which it refers to. What is missing or of another type is a
/// UserError with its place.
class JsonObject {
 public:
  /// \param place  of the object, "state.json: files".
  /// \param cure   of every problem.
  /// \throws UserError when the value is no object.
  JsonObject(const nlohmann::json& value, std::string place, std::string cure);

  bool has(const std::string& key) const { return value_->contains(key); }
  std::vector<std::string> keys() const;

  template <class T>
  T get(const std::string& key) const {
    const auto& value = at(key, JsonType<T>::one());
    if (!JsonType<T>::fits(value)) refuse_value(key, JsonType<T>::one());
    return value.template get<T>();
  }

  /// The same for a key that may be missing.
  template <class T>
  std::optional<T> find(const std::string& key) const {
    return has(key) ? std::optional(get<T>(key)) : std::nullopt;
  }

  JsonObject object(const std::string& key) const;
  std::vector<JsonObject> objects(const std::string& key) const;  ///< a list of them

  const nlohmann::json& value() const { return *value_; }

  /// Throw the UserError of a key whose value cannot be taken.
  [[noreturn]] void refuse_value(const std::string& key, const std::string& expected) const;

 private:
  const nlohmann::json& at(const std::string& key, const std::string& expected) const;
  std::string place_of(const std::string& key) const { return place_ + ": " + key; }

  const nlohmann::json* value_;
  std::string place_, cure_;
};

}  // namespace unireplk::formats
