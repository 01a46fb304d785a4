#pragma once

/// Rows of what a block's backward pass takes per pixel: dz_b = slope_b h - pull_b (z_b - mean_b) with
/// h = outer slope (dy - mean of dy - kappa sum_b slope_b (z_b - mean_b)). Source: kernel specification, section 3.
namespace unireplk::kernels::cuda {

inline constexpr int kMeanOfGradient = 0;
inline constexpr int kKappa = 1;
inline constexpr int kOuterSlope = 2;

constexpr int row_of_slope(int branch) { return 3 + 3 * branch; }
constexpr int row_of_pull(int branch) { return 4 + 3 * branch; }
constexpr int row_of_mean(int branch) { return 5 + 3 * branch; }

inline constexpr int kCoefficients = 3 + 3 * 6;

}  // namespace unireplk::kernels::cuda
