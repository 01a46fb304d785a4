#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace unireplk {

/// Whether a pattern of a config names `name` or a part that `name` lies in: "stages.0" names
/// "stages.0.1.norm.weight", but not "stages.01". Between two dots of a pattern `*` stands for any text, `?` for a
/// character and `[...]` for one of several, as in a shell: "stages.[0-2]", "stages.*.*.norm".
bool names(const std::string& pattern, std::string_view name);

/// Whether one of the patterns does.
bool any_names(const std::vector<std::string>& patterns, std::string_view name);

}  // namespace unireplk
