#pragma once

#include "unireplk/kernels/cuda/sum_plan.h"
#include "unireplk/kernels/cuda/values.cuh"

/// Sums in float64 and in a fixed order.
namespace unireplk::kernels::cuda {

/// The sums of all rows of this thread's group and channel, for the threads that plan.has_sum() names. All threads of a
/// block of plan.threads() call it.
/// \param add  called as add(row, sums) to add what a row has
template <int kSums, class Add>
__device__ __forceinline__ void sum_rows_of(const SumPlan& plan, const SumWalk& walk, Add add, double (&sums)[kSums]) {
  __shared__ double shared[kSums][kSumThreads];
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (auto& sum : sums) sum = 0;
  int64_t row = walk.first;
  const int64_t step = int64_t{kRowsOfTeam} * plan.teams;
  for (; row + step - plan.teams < walk.last; row += step) {  // so many loads are on their way at once
#pragma unroll
    for (int i = 0; i < kRowsOfTeam; ++i) add(row + i * plan.teams, sums);
  }
  for (; row < walk.last; row += plan.teams) add(row, sums);
  for (int teams = plan.teams / 2; teams > 0; teams /= 2) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) shared[s][thread] = sums[s];
    __syncthreads();
    if (plan.team(thread) < teams) {
#pragma unroll
      for (int s = 0; s < kSums; ++s) sums[s] += shared[s][thread + teams * plan.columns];
    }
    __syncthreads();
  }
}

/// The sum of all threads of a block of kThreads, for all of them.
template <int kThreads>
__device__ __forceinline__ double sum_of_block(double value) {
  __shared__ double of_warps[kThreads / kLanes];
  value = sum_of_warp(value);
  __syncthreads();  // of an earlier call
  if (threadIdx.x % kLanes == 0) of_warps[threadIdx.x / kLanes] = value;
  __syncthreads();
  double sum = 0;
#pragma unroll
  for (const double of_warp : of_warps) sum += of_warp;
  return sum;
}

}  // namespace unireplk::kernels::cuda
