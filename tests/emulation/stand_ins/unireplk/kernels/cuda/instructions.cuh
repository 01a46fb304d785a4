#pragma once

#include <cmath>
#include <limits>

/// Stands for the header of this name in src: the same functions without instructions of a GPU.
namespace unireplk::kernels::cuda {

inline float power_of_two(float x) {
  const float power = std::exp2(x);
  return power < std::numeric_limits<float>::min() ? 0.F : power;
}

inline float positive_part(float x) { return x < 0.F ? 0.F : x; }

}  // namespace unireplk::kernels::cuda
