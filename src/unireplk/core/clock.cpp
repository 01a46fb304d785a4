#include "unireplk/core/clock.h"

#include <cmath>

#include "unireplk/core/format.h"

namespace unireplk {

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const int64_t hours = total / 3600;
  const int64_t minutes = total / 60 % 60;
  if (hours > 0) return format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return format("{}:{:02}", minutes, total % 60);
}

}  // namespace unireplk
