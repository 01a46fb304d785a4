#include "unireplk/config/defaults.h"

#include "unireplk/config/parse_scalar.h"
#include "unireplk/config/registry.h"

namespace unireplk::config {
namespace {

bool is_empty(const Type& type, void* member) {
  if (const auto* t = std::get_if<ListType>(&type.is)) return t->size(member) == 0;
  if (const auto* t = std::get_if<MapType>(&type.is)) return t->keys(member).empty();
  if (const auto* t = std::get_if<ChoiceType>(&type.is)) return t->base(member).name().empty();
  return false;
}

}  // namespace

bool must_be_given(const Field& field) {
  if (field.constraint.required) return true;
  if (const auto* t = std::get_if<ScalarType>(&field.type->is)) {
    return !fits(*t, t->get(field.member), field.constraint);
  }
  return field.constraint.non_empty && is_empty(*field.type, field.member);
}

}  // namespace unireplk::config
