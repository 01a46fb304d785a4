#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <string_view>
#include <type_traits>
#include <utility>

#include "unireplk/config/fields.h"
#include "unireplk/config/type.h"

namespace unireplk::config {

template <class Signature>
class Choice;

/// The description of T, made without work at start-up.
template <class T>
const Type& type_of();

/// The one visitor that `fields` lists are ever compiled for.
class FieldCollector {
 public:
  template <class M>
  void operator()(std::string_view key, M& member, std::string_view help) {
    (*this)(key, member, Constraint{}, help);
  }

  template <class M>
  void operator()(std::string_view key, M& member, Constraint constraint, std::string_view help) {
    fields_.push_back({std::string(key), &member, &type_of<M>(), std::move(constraint), std::string(help)});
  }

  std::vector<Field> take() && { return std::move(fields_); }

 private:
  std::vector<Field> fields_;
};

template <class T>
concept HasFields = requires(T& value, FieldCollector& visit) {
  T::fields(value, visit);
};

template <class T>
concept HasValidate = requires(const T& value, Problems& problems) {
  value.validate(problems);
};

template <class T>
concept HasEnumNames = std::is_enum_v<T> && requires {
  std::begin(EnumNames<T>::values);
};

namespace detail {

template <class T>
struct Describe;  // no specialisation: T cannot be a config member

template <class T>
constexpr ScalarType scalar_type(ScalarKind kind) {
  return {.kind = kind,
          .get = [](const void* p) { return Scalar(*static_cast<const T*>(p)); },
          .set = [](void* p, const Scalar& value) { *static_cast<T*>(p) = std::get<T>(value); }};
}

template <>
struct Describe<bool> {
  static constexpr Type type{scalar_type<bool>(ScalarKind::kBool)};
};

template <>
struct Describe<double> {
  static constexpr Type type{scalar_type<double>(ScalarKind::kNumber)};
};

template <>
struct Describe<std::string> {
  static constexpr Type type{scalar_type<std::string>(ScalarKind::kText)};
};

template <>
struct Describe<std::filesystem::path> {
  using Path = std::filesystem::path;
  static constexpr Type type{
      ScalarType{.kind = ScalarKind::kText,
                 .get = [](const void* p) { return Scalar(static_cast<const Path*>(p)->string()); },
                 .set = [](void* p, const Scalar& value) { *static_cast<Path*>(p) = std::get<std::string>(value); }}};
};

template <class T>
requires std::integral<T> &&(!std::same_as<T, bool>)struct Describe<T> {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;

  static void set(void* p, const Scalar& value) {
    const auto* negative = std::get_if<int64_t>(&value);
    *static_cast<T*>(p) = negative ? static_cast<T>(*negative) : static_cast<T>(std::get<uint64_t>(value));
  }

  static constexpr Type type{ScalarType{.kind = ScalarKind::kInteger,
                                        .get = [](const void* p) { return Scalar(Wide{*static_cast<const T*>(p)}); },
                                        .set = set,
                                        .lowest = static_cast<int64_t>(std::numeric_limits<T>::min()),
                                        .highest = static_cast<uint64_t>(std::numeric_limits<T>::max())}};
};

template <HasEnumNames E>
struct Describe<E> {
  static Scalar get(const void* p) {
    for (const auto& [name, value] : EnumNames<E>::values) {
      if (value == *static_cast<const E*>(p)) return std::string(name);
    }
    throw ContractError("an enum value without a name");
  }

  static void set(void* p, const Scalar& text) {
    for (const auto& [name, value] : EnumNames<E>::values) {
      if (name == std::get<std::string>(text)) *static_cast<E*>(p) = value;
    }
  }

  static std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& pair : EnumNames<E>::values) out.emplace_back(pair.first);
    return out;
  }

  static constexpr Type type{ScalarType{.kind = ScalarKind::kEnum, .get = get, .set = set, .names = names}};
};

template <class T>
struct Describe<std::optional<T>> {
  using Self = std::optional<T>;

  static const void* get(const void* p) {
    const auto& self = *static_cast<const Self*>(p);
    return self ? &*self : nullptr;
  }
  static void* emplace(void* p) {
    auto& self = *static_cast<Self*>(p);
    if (!self) self.emplace();
    return &*self;
  }

  static constexpr Type type{OptionalType{
      .element = type_of<T>, .get = get, .emplace = emplace, .reset = [](void* p) { static_cast<Self*>(p)->reset(); }}};
};

template <class List>
void* item_of(void* p, size_t index) {
  return &(*static_cast<List*>(p))[index];
}

template <class T>
requires(!std::same_as<T, bool>)  // std::vector<bool> has no elements to point at
    struct Describe<std::vector<T>> {
  using Self = std::vector<T>;

  static void refill(void* p, size_t count) {
    static_cast<Self*>(p)->clear();
    static_cast<Self*>(p)->resize(count);
  }

  static constexpr Type type{ListType{.element = type_of<T>,
                                      .fixed_size = std::nullopt,
                                      .size = [](const void* p) { return static_cast<const Self*>(p)->size(); },
                                      .item = item_of<Self>,
                                      .refill = refill}};
};

template <class T, size_t N>
struct Describe<std::array<T, N>> {
  using Self = std::array<T, N>;

  static constexpr Type type{ListType{.element = type_of<T>,
                                      .fixed_size = N,
                                      .size = [](const void*) { return N; },
                                      .item = item_of<Self>,
                                      .refill = [](void* p, size_t) { *static_cast<Self*>(p) = Self{}; }}};
};

template <class T>
struct Describe<std::map<std::string, T>> {
  using Self = std::map<std::string, T>;

  static std::vector<std::string> keys(const void* p) {
    std::vector<std::string> out;
    for (const auto& pair : *static_cast<const Self*>(p)) out.push_back(pair.first);
    return out;
  }

  static constexpr Type type{
      MapType{.element = type_of<T>,
              .keys = keys,
              .item = [](void* p, const std::string& key) -> void* { return &(*static_cast<Self*>(p))[key]; },
              .clear = [](void* p) { static_cast<Self*>(p)->clear(); }}};
};

template <HasFields T>
struct Describe<T> {
  static std::vector<Field> fields(void* p) {
    FieldCollector collector;
    T::fields(*static_cast<T*>(p), collector);
    return std::move(collector).take();
  }

  static constexpr auto validate() -> void (*)(const void*, Problems&) {
    if constexpr (HasValidate<T>) {
      return [](const void* p, Problems& problems) { static_cast<const T*>(p)->validate(problems); };
    } else {
      return nullptr;
    }
  }

  static constexpr Type type{StructType{.fields = fields,
                                        .validate = validate(),
                                        .make = []() -> std::shared_ptr<void> { return std::make_shared<T>(); }}};
};

template <class Signature>
struct Describe<Choice<Signature>> {
  static const std::type_info& signature() { return typeid(Signature); }
  static ChoiceBase& base(void* p) { return *static_cast<Choice<Signature>*>(p); }

  static constexpr Type type{ChoiceType{.signature = signature, .base = base}};
};

}  // namespace detail

template <class T>
const Type& type_of() {
  return detail::Describe<T>::type;
}

}  // namespace unireplk::config
