#include "unireplk/core/some_of.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "unireplk/core/format.h"

namespace unireplk {

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  const std::span shown(names.data(), std::min(names.size(), kShown));
  auto text = format("{}", fmt::join(shown, ", "));
  if (names.size() > kShown) text += format(" and {} more", names.size() - kShown);
  return text;
}

}  // namespace unireplk
