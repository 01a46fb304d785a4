#pragma once

#include <string>
#include <vector>

namespace unireplk {

/// The first of many names, for a message: "a, b, c, d, e and 7 more".
std::string some_of(const std::vector<std::string>& names);

}  // namespace unireplk
