#pragma once

#include <cmath>

namespace unireplk::kernels {

inline double normal_below(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }
inline double gelu(double x) { return x * normal_below(x); }
inline double gelu_slope(double x) {
  return normal_below(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
}

}  // namespace unireplk::kernels
