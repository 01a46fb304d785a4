#include "unireplk/core/name_pattern.h"

#include <fnmatch.h>

#include <algorithm>

namespace unireplk {
namespace {

/// As many leading parts of a dotted name as `pattern` has, so that the rest of the name needs no match.
std::string leading_parts(std::string_view name, const std::string& pattern) {
  size_t end = 0;
  for (auto parts = std::ranges::count(pattern, '.') + 1; parts > 0 && end < name.size(); --parts) {
    end = std::min(name.find('.', end + 1), name.size());
  }
  return std::string(name.substr(0, end));
}

std::string as_path(std::string name) {
  std::ranges::replace(name, '.', '/');
  return name;
}

}  // namespace

bool names(const std::string& pattern, std::string_view name) {
  const auto path = as_path(leading_parts(name, pattern));
  return fnmatch(as_path(pattern).c_str(), path.c_str(), FNM_PATHNAME | FNM_NOESCAPE) == 0;
}

bool any_names(const std::vector<std::string>& patterns, std::string_view name) {
  return std::ranges::any_of(patterns, [&](const auto& pattern) { return names(pattern, name); });
}

}  // namespace unireplk
