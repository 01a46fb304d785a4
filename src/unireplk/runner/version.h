#pragma once

#include <string>

namespace unireplk::runner {

/// "unireplk 0.1.0 (LibTorch 2.11.0, g++ 12.2.0)"
std::string version_line();

}  // namespace unireplk::runner
