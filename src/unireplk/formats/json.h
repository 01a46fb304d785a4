#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "unireplk/core/result.h"

namespace unireplk::formats {

/// Parse JSON from an untrusted source: UTF-8 only, no comments, no key twice, at most `max_depth` levels.
/// \param place  named in the problem.
Result<nlohmann::json> parse_json(std::string_view text, const std::string& place, int max_depth = 32);

}  // namespace unireplk::formats
