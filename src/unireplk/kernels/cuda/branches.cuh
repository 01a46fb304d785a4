#pragma once

#include "unireplk/kernels/cuda/direct.cuh"
#include "unireplk/kernels/cuda/line_pairs.h"

/// The branches of a block with a large kernel 13, computed at once: one reading of x serves all.
namespace unireplk::kernels::cuda {

inline constexpr int kBranches = 6;
inline constexpr int kLargeSize = 13;
inline constexpr int kLargeReach = kLargeSize / 2;
inline constexpr int kLargeTaps = kLargeSize * kLargeSize;
inline constexpr int kPairs = ordered_pairs(kBranches);
inline constexpr int kMomentRows = kBranches + kPairs;

constexpr int branch_size(int branch) {
  constexpr int kSizes[] = {13, 5, 7, 3, 3, 3};
  return kSizes[branch];
}

constexpr int branch_dilation(int branch) {
  constexpr int kDilations[] = {1, 1, 2, 3, 4, 5};
  return kDilations[branch];
}

constexpr int branch_reach(int branch) { return branch_dilation(branch) * (branch_size(branch) / 2); }

/// The branch's first tap among those of all branches, one behind the other; with kBranches, their count.
constexpr int first_of_branch(int branch) {
  int taps = 0;
  for (int b = 0; b < branch; ++b) taps += branch_size(b) * branch_size(b);
  return taps;
}

inline constexpr int kAllTaps = first_of_branch(kBranches);

/// The tap of the large kernel that lies where a branch's tap does.
constexpr int large_tap(int branch, int tap) {
  const int start = kLargeReach - branch_reach(branch), size = branch_size(branch), dilation = branch_dilation(branch);
  return (start + tap / size * dilation) * kLargeSize + start + tap % size * dilation;
}

/// The branch's tap that lies on a tap of the large kernel, or -1.
constexpr int branch_tap(int branch, int large) {
  const int start = kLargeReach - branch_reach(branch), size = branch_size(branch), dilation = branch_dilation(branch);
  const int y = large / kLargeSize - start, x = large % kLargeSize - start, span = dilation * size;
  const bool meets = y >= 0 && y < span && x >= 0 && x < span && y % dilation == 0 && x % dilation == 0;
  return meets ? y / dilation * size + x / dilation : -1;
}

/// Where covariance (b, d), b <= d, stands in the upper triangle.
constexpr int pair_of(int b, int d) { return ordered_pair(b, d, kBranches); }

/// Add what the window of input row y + down gives output row y of the branches.
template <int kBranch, int kLow, int kHigh, int kTile>
__device__ __forceinline__ void add_branches(const float (&window)[kTile + 2 * kLargeReach], const float* weights,
                                             int down, float (&z)[kBranches][kTile]) {
  if constexpr (kBranch < kBranches) {
    constexpr int kSize = branch_size(kBranch), kDilation = branch_dilation(kBranch), kReach = branch_reach(kBranch);
    const int from_top = down + kReach;
    if (from_top >= 0 && from_top <= 2 * kReach && from_top % kDilation == 0) {
      const float* row = weights + (first_of_branch(kBranch) + from_top / kDilation * kSize) * kLanes;
      add_row<kSize, kDilation, kLargeReach - kReach, kLow, kHigh>(window, row, z[kBranch]);
    }
    add_branches<kBranch + 1, kLow, kHigh>(window, weights, down, z);
  }
}

/// All branches of a row of a tile.
/// \param x        at the lane's channel of the image's first pixel.
/// \param weights  [kAllTaps][32], at the lane's channel.
template <Columns kColumns, int kTile, class T>
__device__ __forceinline__ void compute_branches(const Map& map, const T* x, const float* weights, int y, int x0,
                                                 float (&z)[kBranches][kTile]) {
#pragma unroll
  for (auto& branch : z) {
#pragma unroll
    for (auto& value : branch) value = 0.F;
  }
  with_columns<kColumns, kTile, kLargeReach>(x0, [&]<int kLow, int kHigh, bool kChecked>() {
    const int last = min(y + kLargeReach, map.height - 1);
#pragma unroll 1
    for (int iy = max(y - kLargeReach, 0); iy <= last; ++iy) {
      float window[kTile + 2 * kLargeReach];
      load_window<kTile + 2 * kLargeReach, kLow, kHigh, kChecked>(
          x + (int64_t{iy} * map.width + x0 - kLargeReach) * map.channels, x0 - kLargeReach, map, window);
      add_branches<0, kLow, kHigh>(window, weights, iy - y, z);
    }
  });
}

}  // namespace unireplk::kernels::cuda
