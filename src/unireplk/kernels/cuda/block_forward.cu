#include "unireplk/kernels/cuda/block.h"
#include "unireplk/kernels/cuda/block_algebra.cuh"
#include "unireplk/kernels/cuda/block_layout.h"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/row_planes.h"
#include "unireplk/kernels/cuda/second_moments.h"

namespace unireplk::kernels::cuda {
namespace {

/// Moments of some pixels, each `kStride` floats behind the one before: means, then sums of centred products.
constexpr int kStride = kWarps * kLanes;

/// Take in the moments of other pixels. Source: Chan, Golub and LeVeque.
__device__ __forceinline__ void merge_moments(float* into, float count, const float (&mean)[kBranches],
                                              const float (&products)[kPairs], float other_count) {
  const float share = other_count / (count + other_count), factor = count * share;
  float delta[kBranches];
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    delta[b] = mean[b] - into[b * kStride];
    into[b * kStride] += delta[b] * share;
  }
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
#pragma unroll
    for (int d = b; d < kBranches; ++d) {
      into[(kBranches + pair_of(b, d)) * kStride] += products[pair_of(b, d)] + delta[b] * delta[d] * factor;
    }
  }
}

/// Means and sums of centred products of the first `valid` values of each branch, which are centred on the way.
template <int kTile>
__device__ __forceinline__ void moments_of(float (&z)[kBranches][kTile], int valid, float (&mean)[kBranches],
                                           float (&products)[kPairs]) {
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    float sum = 0.F;
#pragma unroll
    for (int j = 0; j < kTile; ++j) sum += j < valid ? z[b][j] : 0.F;
    mean[b] = sum / static_cast<float>(valid);
#pragma unroll
    for (int j = 0; j < kTile; ++j) z[b][j] = j < valid ? z[b][j] - mean[b] : 0.F;
  }
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
#pragma unroll
    for (int d = b; d < kBranches; ++d) {
      float sum = 0.F;
#pragma unroll
      for (int j = 0; j < kTile; ++j) sum = fmaf(z[b][j], z[d][j], sum);
      products[pair_of(b, d)] = sum;
    }
  }
}

/// partial[thread block][1 + kMomentRows][channels]: count, means, sums of centred products of the block's pixels.
template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kWarps* kLanes, 2)
    moments_kernel(Map map, const T* x, const float* packed, float* partial) {
  extern __shared__ float shared[];  // weights [kAllTaps][32], moments [kMomentRows][kWarps][32]
  __shared__ float counts[kWarps];
  stage_weights(packed, kAllTaps, map.channels, shared);
  const int c = blockIdx.y * kLanes + threadIdx.x;
  float* mine = shared + kAllTaps * kLanes + threadIdx.y * kLanes + threadIdx.x;
#pragma unroll
  for (int row = 0; row < kMomentRows; ++row) mine[row * kStride] = 0.F;
  float count = 0.F, mean[kBranches], products[kPairs];
  if (c < map.channels) {
    Tiles<kColumns, kTile, 1>(map).each([&](int64_t image, int y, int x0) {
      float z[kBranches][kTile];
      compute_branches<kColumns>(map, x + image * map.plane() + c, shared + threadIdx.x, y, x0, z);
      const int valid = kColumns == Columns::kAny ? min(kTile, map.width - x0) : kTile;
      moments_of(z, valid, mean, products);
      merge_moments(mine, count, mean, products, static_cast<float>(valid));
      count += static_cast<float>(valid);
    });
  }
  if (threadIdx.x == 0) counts[threadIdx.y] = count;
  __syncthreads();
  if (threadIdx.y != 0 || c >= map.channels) return;
  for (int warp = 1; warp < kWarps; ++warp) {
    if (counts[warp] == 0.F) continue;
    const float* other = mine + warp * kLanes;
#pragma unroll
    for (int b = 0; b < kBranches; ++b) mean[b] = other[b * kStride];
#pragma unroll
    for (int i = 0; i < kPairs; ++i) products[i] = other[(kBranches + i) * kStride];
    merge_moments(mine, count, mean, products, counts[warp]);
    count += counts[warp];
  }
  float* out = partial + int64_t{blockIdx.x} * (1 + kMomentRows) * map.channels + c;
  *out = count;
  for (int row = 0; row < kMomentRows; ++row) out[int64_t{1 + row} * map.channels] = mine[row * kStride];
}

/// moments[kMomentRows][channels], means and covariance, from those of thread blocks. A warp for each row.
__global__ void __launch_bounds__(kMomentRows* kLanes)
    merge_moments_kernel(const float* partial, int blocks, int channels, float* moments) {
  __shared__ double means[kBranches][kLanes];
  const int c = blockIdx.x * kLanes + threadIdx.x, row = threadIdx.y;
  const bool is_channel = c < channels;
  const int64_t step = int64_t{1 + kMomentRows} * channels;
  const auto at = [&](int block, int of_row) {
    return static_cast<double>(partial[block * step + of_row * channels + c]);
  };
  double pixels = 0, sum = 0;
  if (is_channel && row < kBranches) {
#pragma unroll 8
    for (int block = 0; block < blocks; ++block) {
      pixels += at(block, 0);
      sum += at(block, 0) * at(block, 1 + row);
    }
    means[row][threadIdx.x] = sum / pixels;
    moments[int64_t{row} * channels + c] = static_cast<float>(sum / pixels);
  }
  __syncthreads();
  if (!is_channel || row < kBranches) return;
  int b = 0, d = row - kBranches;
  while (d >= kBranches - b) d -= kBranches - b++;
  d += b;
  const double mean_b = means[b][threadIdx.x], mean_d = means[d][threadIdx.x];
#pragma unroll 8
  for (int block = 0; block < blocks; ++block) {
    pixels += at(block, 0);
    sum += at(block, 1 + row) + at(block, 0) * (at(block, 1 + b) - mean_b) * (at(block, 1 + d) - mean_d);
  }
  moments[int64_t{row} * channels + c] = static_cast<float>(sum / pixels);
}

/// Running statistics, or null pointers.
struct Running {
  float *mean[kBranches], *variance[kBranches];
  float *outer_mean, *outer_variance;
  int64_t* batches[kBranches + 1];  // the outer norm's last; or null
  double momentum;
};

__device__ __forceinline__ void move(float* value, double momentum, double to) {
  *value = static_cast<float>((1 - momentum) * *value + momentum * to);
}

__device__ __forceinline__ void move_running(const Running& running, const BlockParameters& parameters,
                                             const float* moments, const Slopes& slopes, double pixels, int channels,
                                             int c) {
  const double unbiased = pixels / (pixels - 1);
  double mean = 0;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    mean += parameters.beta[b][c];
    move(running.mean[b] + c, running.momentum, slopes.mean[b]);
    const double variance = moments[int64_t{kBranches + pair_of(b, b)} * channels + c];
    move(running.variance[b] + c, running.momentum, variance * unbiased);
  }
  move(running.outer_mean + c, running.momentum, mean);
  move(running.outer_variance + c, running.momentum, slopes.outer_variance * unbiased);
  if (c != 0) return;
#pragma unroll
  for (int b = 0; b <= kBranches; ++b) {
    if (running.batches[b]) ++*running.batches[b];
  }
}

/// merged[kLargeTaps][channels] and bias[channels]: the one convolution that branches and norms come to.
__global__ void merge_branches_kernel(BlockParameters parameters, const float* packed, const float* moments,
                                      int channels, double eps, double pixels, Running running, float* merged,
                                      float* bias) {
  const int c = blockIdx.x * kLanes + threadIdx.x;
  if (c >= channels) return;
  const auto slopes = slopes_of(parameters, moments, channels, c, eps);
  for (int tap = threadIdx.y; tap < kLargeTaps; tap += blockDim.y) {
    const int down = tap / kLargeSize - kLargeReach, right = tap % kLargeSize - kLargeReach;
    double sum = 0;
#pragma unroll
    for (int b = 0; b < kBranches; ++b) {
      const int reach = branch_reach(b), dilation = branch_dilation(b), y = down + reach, x = right + reach;
      const bool meets = y >= 0 && y <= 2 * reach && x >= 0 && x <= 2 * reach && y % dilation == 0 && x % dilation == 0;
      if (!meets) continue;
      const int of_branch = first_of_branch(b) + y / dilation * branch_size(b) + x / dilation;
      sum += slopes.slope[b] * packed[int64_t{of_branch} * channels + c];
    }
    merged[int64_t{tap} * channels + c] = static_cast<float>(slopes.outer_slope * sum);
  }
  if (threadIdx.y != 0) return;
  double shift = 0;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) shift += slopes.slope[b] * slopes.mean[b];
  bias[c] = static_cast<float>(parameters.outer_beta[c] - slopes.outer_slope * shift);
  if (running.outer_mean) move_running(running, parameters, moments, slopes, pixels, channels, c);
}

/// \return thread blocks, each with its partial moments.
template <class T>
int launch_moments(const Map& map, const T* x, const BlockWorkspace& workspace, Stream stream) {
  int blocks = 0;
  with_tile<7>(map, [&]<int kTile, Columns kColumns>() {
    auto* kernel = moments_kernel<kTile, kColumns, T>;
    const size_t bytes = sizeof(float) * (kAllTaps * kLanes + kMomentRows * kStride);
    allow_shared(kernel, bytes);
    const dim3 grid = Tiles<kColumns, kTile, 1>(map).grid(map);
    kernel<<<grid, dim3(kLanes, kWarps), bytes, stream>>>(map, x, workspace.packed, workspace.partial);
    blocks = static_cast<int>(grid.x);
  });
  return blocks;
}

Running pointers_of(const RunningStatistics* statistics) {
  Running running{};
  if (!statistics) return running;
  for (int b = 0; b < kBranches; ++b) {
    running.mean[b] = statistics->branches[b].mean;
    running.variance[b] = statistics->branches[b].variance;
    running.batches[b] = statistics->branches[b].batches;
  }
  running.outer_mean = statistics->outer.mean;
  running.outer_variance = statistics->outer.variance;
  running.batches[kBranches] = statistics->outer.batches;
  running.momentum = statistics->momentum;
  return running;
}

}  // namespace

void block_forward(Element element, const BlockShape& shape, const BlockWeights& weights,
                   const RunningStatistics* running, const void* x, void* y, float* moments, void* memory,
                   Stream stream) {
  const auto map = map_of(shape.map);
  const auto workspace = divide_workspace(element, shape.map, memory);
  const auto parameters = parameters_of(weights);
  pack_branches(parameters, map.channels, false, workspace.packed, stream);
  const int groups = ceil_div(map.channels, kLanes);
  if (has_row_planes(element, map)) {
    write_row_planes(element, map, x, workspace.planes, stream);
    second_moments(element, map, workspace.planes, workspace.packed, moments,
                   moments + int64_t{kMomentRows} * map.channels, workspace.pairs, stream);
  } else {
    int blocks = 0;
    with_type(element, [&]<class T>(T) { blocks = launch_moments(map, static_cast<const T*>(x), workspace, stream); });
    merge_moments_kernel<<<groups, dim3(kLanes, kMomentRows), 0, stream>>>(workspace.partial, blocks, map.channels,
                                                                           moments);
  }
  const double pixels = static_cast<double>(map.images) * map.height * map.width;
  merge_branches_kernel<<<groups, dim3(kLanes, kWarps), 0, stream>>>(
      parameters, workspace.packed, moments, map.channels, shape.eps, pixels, pointers_of(running), workspace.merged,
      workspace.bias);
  convolve(element, map, {.size = kLargeSize, .dilation = 1}, x, workspace.merged, workspace.bias, y, stream);
}

}  // namespace unireplk::kernels::cuda
