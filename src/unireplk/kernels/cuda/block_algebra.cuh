#pragma once

#include "unireplk/kernels/cuda/branches.cuh"

/// What follows from a block's moments, for each channel. Source: kernel specification, sections 2 and 3.
///
/// Thread blocks of these kernels take kTeamChannels neighbouring channels. Their threads lie in teams, a thread for
/// each channel, which share rows, taps or branches.
namespace unireplk::kernels::cuda {

inline constexpr int kTeamChannels = 8;  ///< a sector of memory
inline constexpr int kTeams = 64;
inline constexpr int kTeamThreads = kTeams * kTeamChannels;

/// Parameters of a block, on the device.
struct BlockParameters {
  const float* weight[kBranches];  ///< [channels][taps]
  const float* gamma[kBranches];
  const float* beta[kBranches];
  const float* outer_gamma;
  const float* outer_beta;
};

/// A thread's part in a thread block.
struct TeamMember {
  int team, column;
  int channel;
  bool is_channel;  ///< or one behind the last

  __device__ __forceinline__ explicit TeamMember(int channels)
      : team(static_cast<int>(threadIdx.x) / kTeamChannels),
        column(static_cast<int>(threadIdx.x) % kTeamChannels),
        channel(static_cast<int>(blockIdx.x) * kTeamChannels + column),
        is_channel(channel < channels) {}
};

/// totals[sum][column] over all teams, in a fixed order. All threads of a block call it, and may read the totals then.
template <int kSums>
__device__ __forceinline__ void add_teams(double (&sums)[kSums], double (&totals)[kSums][kTeamChannels]) {
  constexpr int kWarpsOfBlock = kTeamThreads / kLanes;
  static_assert(kSums * kTeamChannels <= kTeamThreads);
  __shared__ double of_warps[kSums][kWarpsOfBlock][kTeamChannels];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
#pragma unroll
    for (int distance = kLanes / 2; distance >= kTeamChannels; distance /= 2) {
      sums[s] += __shfl_xor_sync(~0U, sums[s], distance);
    }
    if (lane < kTeamChannels) of_warps[s][thread / kLanes][lane] = sums[s];
  }
  __syncthreads();
  if (thread < kSums * kTeamChannels) {
    double total = 0;
#pragma unroll
    for (const auto& of_warp : of_warps[thread / kTeamChannels]) total += of_warp[thread % kTeamChannels];
    totals[thread / kTeamChannels][thread % kTeamChannels] = total;
  }
  __syncthreads();
}

/// Of a thread block's channels: means of the branches, upper triangle of their covariance.
using TeamMoments = float[kMomentRows][kTeamChannels];

/// How branches z enter the output: y = outer_slope sum_b slope_b (z_b - mean_b) + outer beta.
struct Slopes {
  double slope[kBranches][kTeamChannels], inverse[kBranches][kTeamChannels];  ///< what norms multiply by, without gamma
  double outer_slope[kTeamChannels], outer_inverse[kTeamChannels], outer_variance[kTeamChannels];
};

/// values[branch], which by an index that is no constant would take memory.
template <class T>
__device__ __forceinline__ T at_branch(T const (&values)[kBranches], int branch) {
  T value = values[0];
#pragma unroll
  for (int b = 1; b < kBranches; ++b) value = b == branch ? values[b] : value;
  return value;
}

/// All threads of a block call it, once the moments are there, and may read the slopes then.
__device__ __forceinline__ void find_slopes(const TeamMember& me, const BlockParameters& parameters,
                                            const TeamMoments& moments, double eps, Slopes& of) {
  if (me.is_channel && me.team < kBranches) {
    const int b = me.team;
    const double variance = moments[kBranches + pair_of(b, b)][me.column];
    const double inverse = 1 / sqrt(variance + eps);
    of.inverse[b][me.column] = inverse;
    of.slope[b][me.column] = at_branch(parameters.gamma, b)[me.channel] * inverse;
  }
  __syncthreads();
  if (me.is_channel && me.team == 0) {
    double variance = 0;
#pragma unroll
    for (int b = 0; b < kBranches; ++b) {
#pragma unroll
      for (int d = b; d < kBranches; ++d) {
        const double covariance = moments[kBranches + pair_of(b, d)][me.column];
        variance += (b == d ? 1 : 2) * of.slope[b][me.column] * of.slope[d][me.column] * covariance;
      }
    }
    variance = variance < 0 ? 0 : variance;  // not-a-number stays
    const double inverse = 1 / sqrt(variance + eps);
    of.outer_variance[me.column] = variance;
    of.outer_inverse[me.column] = inverse;
    of.outer_slope[me.column] = parameters.outer_gamma[me.channel] * inverse;
  }
  __syncthreads();
}

}  // namespace unireplk::kernels::cuda
