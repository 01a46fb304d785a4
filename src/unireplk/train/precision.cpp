#include "unireplk/train/precision.h"

#include <algorithm>
#include <iterator>

#include "unireplk/core/error.h"

namespace unireplk::train {

using Names = config::EnumNames<Precision>;

std::string_view name_of(Precision precision) {
  const auto found = std::ranges::find(Names::values, precision, &std::pair<std::string_view, Precision>::second);
  UNIREPLK_CHECK(found != std::end(Names::values), "a precision without a name: {}", static_cast<int>(precision));
  return found->first;
}

std::vector<std::string> precision_names() {
  std::vector<std::string> names;
  for (const auto& [name, value] : Names::values) names.emplace_back(name);
  return names;
}

Precision precision_named(std::string_view name) {
  const auto found = std::ranges::find(Names::values, name, &std::pair<std::string_view, Precision>::first);
  UNIREPLK_CHECK(found != std::end(Names::values), "no precision is called {}", name);
  return found->second;
}

AutocastSettings autocast_for(Precision precision, at::Device device) {
  return {.device = device.type(),
          .enabled = precision != Precision::kFp32,
          .dtype = precision == Precision::kFp16 ? at::kHalf : at::kBFloat16};
}

}  // namespace unireplk::train
