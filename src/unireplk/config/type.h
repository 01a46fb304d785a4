#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <variant>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/scalar.h"

/// A description of C++ types at run time, so that each visitor (parse, dump, schema, ...) is ordinary code,
/// compiled once. type_of.h makes the descriptions.
namespace unireplk::config {

class Problems;
class ChoiceBase;
struct Type;
using TypeGetter = const Type& (*)();  ///< a function, so that types may contain themselves

/// One line of a `fields` list.
struct Field {
  std::string key;
  void* member = nullptr;
  const Type* type = nullptr;
  Constraint constraint;
  std::string help;
};

enum class ScalarKind { kBool, kInteger, kNumber, kText, kEnum };

struct ScalarType {
  ScalarKind kind;
  Scalar (*get)(const void*);
  void (*set)(void*, const Scalar&);              ///< the scalar has the alternative of `kind` and fits
  int64_t lowest = 0;                             ///< of an integer
  uint64_t highest = 0;                           ///< of an integer
  std::vector<std::string> (*names)() = nullptr;  ///< of an enum
};

struct OptionalType {
  TypeGetter element;
  const void* (*get)(const void*);  ///< nullptr when empty
  void* (*emplace)(void*);          ///< the present value, or a new one
  void (*reset)(void*);
};

struct ListType {
  TypeGetter element;
  std::optional<size_t> fixed_size;
  size_t (*size)(const void*);
  void* (*item)(void*, size_t);
  void (*refill)(void*, size_t);  ///< with that many new elements
};

struct MapType {
  TypeGetter element;
  std::vector<std::string> (*keys)(const void*);
  void* (*item)(void*, const std::string&);  ///< makes it when absent
  void (*clear)(void*);
};

struct StructType {
  std::vector<Field> (*fields)(void*);
  void (*validate)(const void*, Problems&);  ///< nullptr when there is none
  std::shared_ptr<void> (*make)();
};

struct ChoiceType {
  const std::type_info& (*signature)();
  ChoiceBase& (*base)(void*);
};

struct Type {
  std::variant<ScalarType, OptionalType, ListType, MapType, StructType, ChoiceType> is;
};

/// Overload set for std::visit on Type::is.
template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;  // clang 14 does not find it by itself

/// The fields of a struct that is only read.
inline std::vector<Field> fields_of(const StructType& type, const void* value) {
  return type.fields(const_cast<void*>(value));
}

}  // namespace unireplk::config
