#pragma once

/// Instructions that no function of CUDA stands for.
namespace unireplk::kernels::cuda {

/// 2^x; 0 below the normal numbers. Within 2 units of the last place.
__device__ __forceinline__ float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

/// max(x, 0); not-a-number stays.
__device__ __forceinline__ float positive_part(float x) {
  float positive;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(positive) : "f"(x));
  return positive;
}

}  // namespace unireplk::kernels::cuda
