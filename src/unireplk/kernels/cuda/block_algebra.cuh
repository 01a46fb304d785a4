#pragma once

#include "unireplk/kernels/cuda/branches.cuh"

/// What follows from a block's moments, for each channel. Source: kernel specification, sections 2 and 3.
namespace unireplk::kernels::cuda {

/// Parameters of a block, on the device.
struct BlockParameters {
  const float* weight[kBranches];  ///< [channels][taps]
  const float* gamma[kBranches];
  const float* beta[kBranches];
  const float* outer_gamma;
  const float* outer_beta;
};

/// How branches z enter the output: y = outer_slope sum_b slope_b (z_b - mean_b) + outer beta.
struct Slopes {
  double slope[kBranches], deviation[kBranches], mean[kBranches];  ///< deviation: with eps, as norms divide by it
  double outer_slope, outer_deviation, outer_variance;
};

/// \param moments  [kMomentRows][channels]
__device__ __forceinline__ Slopes slopes_of(const BlockParameters& parameters, const float* moments, int channels,
                                            int c, double eps) {
  Slopes of;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    of.mean[b] = moments[int64_t{b} * channels + c];
    of.deviation[b] = sqrt(moments[int64_t{kBranches + pair_of(b, b)} * channels + c] + eps);
    of.slope[b] = parameters.gamma[b][c] / of.deviation[b];
  }
  double variance = 0;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
#pragma unroll
    for (int d = b; d < kBranches; ++d) {
      const double covariance = moments[int64_t{kBranches + pair_of(b, d)} * channels + c];
      variance += (b == d ? 1 : 2) * of.slope[b] * of.slope[d] * covariance;
    }
  }
  of.outer_variance = variance < 0 ? 0 : variance;  // not-a-number stays
  of.outer_deviation = sqrt(of.outer_variance + eps);
  of.outer_slope = parameters.outer_gamma[c] / of.outer_deviation;
  return of;
}

}  // namespace unireplk::kernels::cuda
