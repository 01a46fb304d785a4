#include "unireplk/config/describe.h"

#include "unireplk/config/text.h"
#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

std::string with_range(std::string noun, const Constraint& constraint) {
  const std::string range = constraint.range.text();
  return range.empty() ? noun : noun + ' ' + range;
}

std::string scalar_text(const ScalarType& type, const Constraint& constraint) {
  switch (type.kind) {
    case ScalarKind::kBool:
      return "true or false";
    case ScalarKind::kInteger:
      return with_range("an integer", constraint);
    case ScalarKind::kNumber:
      return with_range("a number", constraint);
    case ScalarKind::kEnum:
      return "one of " + comma_list(type.names());
    case ScalarKind::kText:
      break;
  }
  if (!constraint.one_of.empty()) return "one of " + comma_list(constraint.one_of);
  return constraint.non_empty ? "a text that is not empty" : "a text";
}

std::string list_text(const ListType& type, const Constraint& constraint) {
  const std::string item = describe(type.element(), constraint);
  if (type.fixed_size) return format("a list of {} values, each {}", *type.fixed_size, item);
  return format("{}, each {}", constraint.non_empty ? "a list that is not empty" : "a list", item);
}

}  // namespace

std::string describe(const Type& type, const Constraint& constraint) {
  return std::visit(Overloaded{
                        [&](const ScalarType& t) { return scalar_text(t, constraint); },
                        [&](const OptionalType& t) { return describe(t.element(), constraint) + " or null"; },
                        [&](const ListType& t) { return list_text(t, constraint); },
                        [&](const MapType& t) { return "a map, each value " + describe(t.element(), constraint); },
                        [&](const StructType&) { return std::string("a map"); },
                        [&](const ChoiceType&) { return std::string("a map with a name"); },
                    },
                    type.is);
}

}  // namespace unireplk::config
