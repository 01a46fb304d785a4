#include "unireplk/data/class_names.h"

#include <algorithm>
#include <cstdint>

#include "unireplk/core/whole_number.h"

namespace unireplk::data {

std::vector<std::string> sorted_classes(const std::set<std::string>& names) {
  std::vector<std::string> sorted(names.begin(), names.end());
  if (std::ranges::all_of(sorted, [](const auto& name) { return whole_number(name).has_value(); })) {
    std::ranges::stable_sort(sorted, {}, [](const auto& name) { return *whole_number(name); });
  }
  return sorted;
}

std::map<std::string, int64_t> labels_of(const std::vector<std::string>& classes, const std::string& place) {
  std::map<std::string, int64_t> labels;
  for (const auto& name : classes) {
    if (!labels.emplace(name, static_cast<int64_t>(labels.size())).second) {
      throw UserError({place, format("the class \"{}\" comes twice in `classes`", name), "Name it once."});
    }
  }
  return labels;
}

}  // namespace unireplk::data
