#pragma once

#include <ostream>

#include "unireplk/nn/branches.h"

namespace unireplk::nn {

/// Lets a failing comparison show its branches.
inline std::ostream& operator<<(std::ostream& out, const Branch& branch) {
  return out << '[' << branch.kernel << ", " << branch.dilation << ']';
}

}  // namespace unireplk::nn
