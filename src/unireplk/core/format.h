#pragma once

#include <fmt/format.h>

namespace unireplk {

/// Format text; the one place that knows which library does it (g++ 12 has no std::format).
using fmt::format;

}  // namespace unireplk
