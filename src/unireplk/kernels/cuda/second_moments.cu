#include "unireplk/kernels/cuda/second_moments.h"

#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/data_gradient.h"
#include "unireplk/kernels/cuda/row_pair_products.h"
#include "unireplk/kernels/cuda/row_pairs.h"

namespace unireplk::kernels::cuda {
namespace {

static_assert(kPairReach == kLargeReach);

constexpr int kRowsOfProducts = kBranches + 1;  // each of kLargeTaps

constexpr int kTapThreads = 704;  // one for each share of a tap, and at most a warp more
constexpr int kTapWarps = kTapThreads / kLanes;
constexpr int kSharesOfTap = 4;  // of the rows of a branch
constexpr int kShares = kSharesOfTap * kLargeTaps;
static_assert(kShares <= kTapThreads);

/// What a thread block holds of its channel. Taps count from 0.
struct Channel {
  float sums[kTapKinds][kColumnSums];  ///< that pairs of taps meet in
  union {
    float of_pairs[kMostRowPairs * kColumnSums];                 ///< [row_pairs()][kColumnSums]
    float of_shares[kSharesOfTap][kRowsOfProducts][kLargeTaps];  ///< when those have been used
  };
  float of_taps[kRowsOfProducts][kLargeTaps];
  float weights[kAllTaps];                    ///< of all branches
  uint8_t large_taps[kAllTaps];               ///< large_tap() of these
  int first_taps[kBranches + 1];              ///< first_of_branch()
  uint8_t in_order[kLargeSize][kLargeSize];   ///< [j][k]: column_sum_of_taps(j, k); of rows j <= k a kind
  uint8_t exchanged[kLargeSize][kLargeSize];  ///< [j][k]: column_sum_of_taps(k, j)
};
static_assert(kLargeTaps <= 256 && kColumnSums <= 256);

/// Sums over all parts. Loads of some values are under way at once.
__device__ __forceinline__ void load_pairs(int values, int parts, const float* partial, Channel& channel) {
  constexpr int kAtOnce = 5;
  for (int first = threadIdx.x; first < values; first += kAtOnce * kTapThreads) {
    double sums[kAtOnce] = {};
    for (int part = 0; part < parts; ++part) {
      const float* from = partial + (int64_t{part} * gridDim.x + blockIdx.x) * values;
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (first + n * kTapThreads < values) sums[n] += from[first + n * kTapThreads];
      }
    }
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      const int i = first + n * kTapThreads;
      if (i < values) channel.of_pairs[i] = static_cast<float>(sums[n]);
    }
  }
}

/// Weights, and tables of numbers.
__device__ __forceinline__ void load_taps(const float* packed, Channel& channel) {
  static_assert(kAllTaps <= kTapThreads);
  const int tap = threadIdx.x;
  if (tap >= kAllTaps) return;
  if (tap <= kBranches) channel.first_taps[tap] = first_of_branch(tap);
  channel.weights[tap] = packed[int64_t{tap} * gridDim.x + blockIdx.x];
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int of_branch = tap - first_of_branch(b);
    if (of_branch < 0 || tap >= first_of_branch(b + 1)) continue;
    channel.large_taps[tap] = static_cast<uint8_t>(large_tap(b, of_branch));
  }
  if (tap >= kLargeTaps) return;
  const int j = tap / kLargeSize, k = tap % kLargeSize;
  channel.in_order[j][k] = static_cast<uint8_t>(column_sum_of_taps(j - kLargeReach, k - kLargeReach));
  channel.exchanged[j][k] = static_cast<uint8_t>(column_sum_of_taps(k - kLargeReach, j - kLargeReach));
}

/// From sums of pairs of rows to those of kinds of pairs: each column sum by itself.
__device__ __forceinline__ void add_rows_up(int height, Channel& channel) {
  for (int i = threadIdx.x; i < kRowDistances * kColumnSums; i += kTapThreads) {
    const int distance = i / kColumnSums, column = i % kColumnSums;
    add_up_kinds<float>(
        distance, matrices_of(distance, height),
        [&](int at) { return channel.of_pairs[matrix_of(distance, at, height) * kColumnSums + column]; },
        [&](int kind, float sum) { channel.sums[kind][column] = sum; });
  }
}

/// A share of Z_b[k] = sum_j w_b[j] R[j, k]: every kSharesOfTap-th row of taps.
template <int kBranch>
__device__ __forceinline__ float product_with_branch(const Channel& channel, int ky, int kx, int share) {
  constexpr int kSize = branch_size(kBranch), kDilation = branch_dilation(kBranch);
  constexpr int kFirst = kLargeReach - branch_reach(kBranch);
  float product = 0.F;
#pragma unroll 1
  for (int row = share; row < kSize; row += kSharesOfTap) {
    const int jy = kFirst + row * kDilation;
    const auto& numbers = jy <= ky ? channel.in_order : channel.exchanged;
    const float* sums = channel.sums[numbers[jy][ky]];
    const float* weights = channel.weights + first_of_branch(kBranch) + row * kSize;
#pragma unroll
    for (int column = 0; column < kSize; ++column) {
      product = fmaf(weights[column], sums[numbers[kFirst + column * kDilation][kx]], product);
    }
  }
  return product;
}

/// The same of branches kBranch, kBranch + 1, ...
template <int kBranch>
__device__ __forceinline__ void multiply_branches(Channel& channel, int tap, int share) {
  if constexpr (kBranch < kBranches) {
    channel.of_shares[share][kBranch][tap] =
        product_with_branch<kBranch>(channel, tap / kLargeSize, tap % kLargeSize, share);
    multiply_branches<kBranch + 1>(channel, tap, share);
  }
}

/// X[k] = sum_p x[p + k]
__device__ __forceinline__ float sum_at_tap(const Channel& channel, int tap) {
  const int ky = tap / kLargeSize - kLargeReach, kx = tap % kLargeSize - kLargeReach;
  return channel.sums[kind_of_taps(ky, ky)][column_sum_of_tap(kx)];
}

/// Products of x with the branches, and with 1, at all taps.
__device__ __forceinline__ void multiply_taps(Channel& channel, float* products) {
  if (threadIdx.x < kShares) multiply_branches<0>(channel, threadIdx.x % kLargeTaps, threadIdx.x / kLargeTaps);
  __syncthreads();
  for (int i = threadIdx.x; i < kRowsOfProducts * kLargeTaps; i += kTapThreads) {
    const int row = i / kLargeTaps, tap = i % kLargeTaps;
    const auto share = [&](int number) { return channel.of_shares[number][row][tap]; };
    static_assert(kSharesOfTap == 4);
    const float product = row < kBranches ? (share(0) + share(2)) + (share(1) + share(3)) : sum_at_tap(channel, tap);
    channel.of_taps[row][tap] = product;
    products[int64_t{i} * gridDim.x + blockIdx.x] = product;
  }
}

/// sum_k w_b[k] of_taps[k] over the taps of branch b, for all lanes of a warp.
__device__ __forceinline__ double sum_over_taps(const Channel& channel, int b, const float (&of_taps)[kLargeTaps]) {
  double sum = 0;
  for (int tap = channel.first_taps[b] + threadIdx.x % kLanes; tap < channel.first_taps[b + 1]; tap += kLanes) {
    sum += static_cast<double>(channel.weights[tap]) * of_taps[channel.large_taps[tap]];
  }
  return sum_of_warp(sum);
}

/// A warp for each branch, then for each pair of them.
__device__ __forceinline__ void write_moments(const Channel& channel, double pixels, float* moments) {
  __shared__ double means[kBranches];
  const int warp = threadIdx.x / kLanes;
  const bool is_first = threadIdx.x % kLanes == 0;
  const auto set = [&](int row, double value) {
    if (is_first) moments[int64_t{row} * gridDim.x + blockIdx.x] = static_cast<float>(value);
  };
  if (warp == 0) set(0, pixels);
  if (warp < kBranches) {
    const double mean = sum_over_taps(channel, warp, channel.of_taps[kBranches]) / pixels;
    if (is_first) means[warp] = mean;
    set(1 + warp, mean);
  }
  __syncthreads();
  for (int pair = warp; pair < kPairs; pair += kTapWarps) {
    const auto [b, d] = OrderedPair(pair, kBranches);
    const double product = sum_over_taps(channel, d, channel.of_taps[b]);
    set(1 + kBranches + pair, product - pixels * means[b] * means[d]);
  }
}

/// A thread block: a channel. Products with all taps, and of these the moments.
__global__ void __launch_bounds__(kTapThreads, 2)
    second_moments_kernel(int height, int parts, const float* partial, const float* packed, double pixels,
                          float* moments, float* products) {
  extern __shared__ __align__(16) Channel channel[];
  load_pairs(row_pairs(height) * kColumnSums, parts, partial, *channel);
  load_taps(packed, *channel);
  __syncthreads();
  add_rows_up(height, *channel);
  __syncthreads();
  multiply_taps(*channel, products);
  __syncthreads();
  write_moments(*channel, pixels, moments);
}

}  // namespace

bool has_second_moments(Element element, const Map& map) {
  const int64_t bytes = most_shared_bytes();
  return has_data_gradient(element, map, bytes) && can_correlate_planes(map, bytes) &&
         static_cast<int64_t>(sizeof(Channel)) <= bytes;
}

int64_t product_rows() { return int64_t{kRowsOfProducts} * kLargeTaps; }

int64_t second_moments_bytes(const Map& map) {
  const int64_t values = int64_t{row_pair_parts(map)} * map.channels * row_pairs(map.height) * kColumnSums;
  return values * static_cast<int64_t>(sizeof(float));
}

void second_moments(Element element, const Map& map, const void* planes, const float* packed, float* moments,
                    float* products, void* workspace, Stream stream) {
  auto* partial = static_cast<float*>(workspace);
  multiply_row_pairs(element, map, planes, partial, stream);
  allow_shared(second_moments_kernel, sizeof(Channel));
  const double pixels = static_cast<double>(map.images) * map.height * map.width;
  second_moments_kernel<<<map.channels, kTapThreads, sizeof(Channel), stream>>>(
      map.height, row_pair_parts(map), partial, packed, pixels, moments, products);
}

}  // namespace unireplk::kernels::cuda
