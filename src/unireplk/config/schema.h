#pragma once

#include <string>

#include "unireplk/config/registry.h"

namespace unireplk::config {

namespace detail {
std::string schema(const StructType& type, const Registries& registries);
std::string help(const StructType& type, const Registries& registries);
}  // namespace detail

/// JSON Schema (draft 2020-12) of the files that parse<T> accepts, indented; editors complete and check with
/// it. Included files are not seen: a key that an include provides counts as missing below the top.
template <HasFields T>
std::string schema(const Registries& registries) {
  return detail::schema(std::get<StructType>(type_of<T>().is), registries);
}

/// One line for each key of T, nested keys dotted: what it may be, its default, what it does.
template <HasFields T>
std::string help(const Registries& registries) {
  return detail::help(std::get<StructType>(type_of<T>().is), registries);
}

/// The same for the keys beside `name: <entry>`.
inline std::string help(const Entry& entry, const Registries& registries) {
  return detail::help(*entry.config, registries);
}

}  // namespace unireplk::config
