#include "unireplk/kernels/cuda/weight_gradients.cuh"

#include "unireplk/kernels/cuda/block_coefficients.h"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kGradientThreads = 256;

__global__ void __launch_bounds__(kGradientThreads)
    weight_gradients_kernel(int channels, const float* correlation, const float* coefficients, const float* products,
                            WeightGradients gradients) {
  const int i = blockIdx.x * kGradientThreads + threadIdx.x, c = i % channels, tap = i / channels;
  if (tap >= kLargeTaps) return;
  const auto coefficient = [&](int row) { return coefficients[int64_t{row} * channels + c]; };
  const auto product = [&](int row) { return products[(int64_t{row} * kLargeTaps + tap) * channels + c]; };
  const float sum = product(kBranches);  // X
  float centred[kBranches], of_all = 0.F;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    centred[b] = product(b) - coefficient(row_of_mean(b)) * sum;
    of_all = fmaf(coefficient(row_of_slope(b)), centred[b], of_all);
  }
  const float of_h = coefficient(kOuterSlope) * (correlation[int64_t{tap} * channels + c] -
                                                 coefficient(kMeanOfGradient) * sum - coefficient(kKappa) * of_all);
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int of_branch = branch_tap(b, tap), taps = branch_size(b) * branch_size(b);
    if (of_branch < 0) continue;
    gradients.weight[b][int64_t{c} * taps + of_branch] =
        coefficient(row_of_slope(b)) * of_h - coefficient(row_of_pull(b)) * centred[b];
  }
}

}  // namespace

void weight_gradients(const Map& map, const float* correlation, const float* coefficients, const float* products,
                      const WeightGradients& gradients, Stream stream) {
  weight_gradients_kernel<<<ceil_div(int64_t{kLargeTaps} * map.channels, kGradientThreads), kGradientThreads, 0,
                            stream>>>(map.channels, correlation, coefficients, products, gradients);
}

}  // namespace unireplk::kernels::cuda
