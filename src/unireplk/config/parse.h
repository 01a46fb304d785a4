#pragma once

#include "unireplk/config/registry.h"
#include "unireplk/config/tree.h"
#include "unireplk/config/type_of.h"

namespace unireplk::config {

namespace detail {
void parse_struct(const Tree& tree, const Registries& registries, const StructType& type, void* value);
}

/// Check a tree against a struct and fill it; absent keys keep their defaults.
/// \throws UserError with a Problem for every mistake in the tree.
template <HasFields T>
T parse(const Tree& tree, const Registries& registries) {
  T value;
  detail::parse_struct(tree, registries, std::get<StructType>(type_of<T>().is), &value);
  return value;
}

}  // namespace unireplk::config
