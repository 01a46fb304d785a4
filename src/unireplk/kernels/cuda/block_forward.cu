#include "unireplk/kernels/cuda/block.h"
#include "unireplk/kernels/cuda/block_algebra.cuh"
#include "unireplk/kernels/cuda/block_layout.h"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/convolve_planes.h"
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

/// What is added up to merge the moments of thread blocks. Means are taken as they differ from those of the first
/// thread block: then little cancels.
__device__ __forceinline__ void add_moments(const TeamMember& me, const float* partial, int blocks, int channels,
                                            double (&sums)[kMomentRows]) {
  const float* mine = partial + me.channel;
  float shift[kBranches];
#pragma unroll
  for (int b = 0; b < kBranches; ++b) shift[b] = mine[int64_t{1 + b} * channels];
  for (int block = me.team; block < blocks; block += kTeams) {
    const float* row = mine + block * int64_t{1 + kMomentRows} * channels;
    const double count = *row;
    double delta[kBranches];
#pragma unroll
    for (int b = 0; b < kBranches; ++b) delta[b] = static_cast<double>(row[int64_t{1 + b} * channels]) - shift[b];
#pragma unroll
    for (int b = 0; b < kBranches; ++b) {
      const double weighted = count * delta[b];
      sums[b] += weighted;
#pragma unroll
      for (int d = b; d < kBranches; ++d) {
        const int of_pair = kBranches + pair_of(b, d);
        sums[of_pair] += row[int64_t{1 + of_pair} * channels] + weighted * delta[d];
      }
    }
  }
}

/// From the moments of all thread blocks. All threads of a block call it, and may read what they come to then.
__device__ __forceinline__ void merge_moments_of(const TeamMember& me, const float* partial, int blocks, int channels,
                                                 double pixels, TeamMoments& moments) {
  __shared__ double totals[kMomentRows][kTeamChannels];
  double sums[kMomentRows] = {};
  if (me.is_channel) add_moments(me, partial, blocks, channels, sums);
  add_teams(sums, totals);
  const int row = me.team;
  if (me.is_channel && row < kBranches) {
    const float shift = partial[int64_t{1 + row} * channels + me.channel];
    moments[row][me.column] = static_cast<float>(shift + totals[row][me.column] / pixels);
  } else if (me.is_channel && row < kMomentRows) {
    const auto [b, d] = OrderedPair(row - kBranches, kBranches);
    const double products = totals[row][me.column] - totals[b][me.column] * totals[d][me.column] / pixels;
    moments[row][me.column] = static_cast<float>(b == d && products < 0 ? 0 : products / pixels);
  }
  __syncthreads();
}

/// Running statistics, or null pointers.
struct Running {
  float *mean[kBranches], *variance[kBranches];
  float *outer_mean, *outer_variance;
  int64_t *batches[kBranches], *outer_batches;  // each may be null
  double momentum;
};

__device__ __forceinline__ void move(float* value, double momentum, double to) {
  *value = static_cast<float>((1 - momentum) * *value + momentum * to);
}

/// A team moves those of one norm.
__device__ __forceinline__ void move_running(const TeamMember& me, const Running& running,
                                             const BlockParameters& parameters, const TeamMoments& moments,
                                             const Slopes& slopes, double pixels) {
  const int c = me.channel, b = me.team;
  if (!running.outer_mean || !me.is_channel || b > kBranches) return;
  const double unbiased = pixels / (pixels - 1);
  if (b < kBranches) {
    move(at_branch(running.mean, b) + c, running.momentum, moments[b][me.column]);
    const double variance = moments[kBranches + pair_of(b, b)][me.column];
    move(at_branch(running.variance, b) + c, running.momentum, variance * unbiased);
  } else {
    double mean = 0;
#pragma unroll
    for (const float* beta : parameters.beta) mean += beta[c];
    move(running.outer_mean + c, running.momentum, mean);
    move(running.outer_variance + c, running.momentum, slopes.outer_variance[me.column] * unbiased);
  }
  if (c != 0) return;
  int64_t* const batches = b < kBranches ? at_branch(running.batches, b) : running.outer_batches;
  if (batches) ++*batches;
}

/// A tap of the merged kernel.
__device__ __forceinline__ float merge_tap(const TeamMember& me, const Slopes& slopes, const float* packed,
                                           int channels, int tap) {
  double sum = 0;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int of_branch = branch_tap(b, tap);
    if (of_branch < 0) continue;
    sum += slopes.slope[b][me.column] * packed[int64_t{first_of_branch(b) + of_branch} * channels + me.channel];
  }
  return static_cast<float>(slopes.outer_slope[me.column] * sum);
}

/// As a map of this type holds it.
__device__ __forceinline__ float rounded_to(Element element, float value) {
  if (element == Element::kFloat) return value;
  return element == Element::kHalf ? to_float(from_float<Half>(value)) : to_float(from_float<BFloat16>(value));
}

/// Sums of x at all taps, and the type that weights are rounded to before they meet x.
struct TapSums {
  const float* values;  // [kLargeTaps][channels], or null: not known
  Element element;
};

/// moments[kMomentRows][channels], merged[kLargeTaps][channels] and bias[channels]: the one convolution that branches
/// and norms come to. Where sums are known the bias takes away the mean of what rounded weights make of x: a mean of x
/// far from zero, times what rounding has changed a weight by, would be more than the rest of y.
__global__ void __launch_bounds__(kTeamThreads)
    merge_branches_kernel(BlockParameters parameters, const float* packed, const float* partial, int blocks,
                          int channels, double eps, double pixels, Running running, TapSums tap_sums, float* moments,
                          float* merged, float* bias) {
  __shared__ TeamMoments of_team;
  __shared__ Slopes slopes;
  __shared__ double totals[1][kTeamChannels];
  const TeamMember me(channels);
  const int c = me.channel;
  merge_moments_of(me, partial, blocks, channels, pixels, of_team);
  find_slopes(me, parameters, of_team, eps, slopes);
  move_running(me, running, parameters, of_team, slopes, pixels);
  double sums[1] = {};  // of what the merged kernel makes of x
  if (me.is_channel) {
    if (me.team < kMomentRows) moments[int64_t{me.team} * channels + c] = of_team[me.team][me.column];
    for (int tap = me.team; tap < kLargeTaps; tap += kTeams) {
      const int64_t at = int64_t{tap} * channels + c;
      const float weight = rounded_to(tap_sums.element, merge_tap(me, slopes, packed, channels, tap));
      merged[at] = weight;
      if (tap_sums.values) sums[0] += static_cast<double>(weight) * tap_sums.values[at];
    }
  }
  add_teams(sums, totals);
  if (!me.is_channel || me.team != 0) return;
  double shift = 0;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) shift += slopes.slope[b][me.column] * of_team[b][me.column];
  const double mean = tap_sums.values ? totals[0][me.column] / pixels : slopes.outer_slope[me.column] * shift;
  bias[c] = static_cast<float>(parameters.outer_beta[c] - mean);
}

/// \return thread blocks, each with its partial moments.
template <class T>
int launch_moments(const Map& map, const T* x, const ForwardWorkspace& workspace, Stream stream) {
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
  running.outer_batches = statistics->outer.batches;
  running.momentum = statistics->momentum;
  return running;
}

}  // namespace

void block_forward(const BlockPlan& plan, Element element, const BlockShape& shape, const BlockWeights& weights,
                   const RunningStatistics* running, const void* x, void* y, float* moments, void* memory,
                   Stream stream) {
  const auto map = map_of(shape.map);
  const ForwardWorkspace workspace(plan.has_second_moments, map, memory);
  const auto parameters = parameters_of(weights);
  pack_branches(parameters, map.channels, workspace.packed, nullptr, stream);
  int blocks = 1;
  TapSums tap_sums{.values = nullptr, .element = Element::kFloat};
  if (plan.has_second_moments) {
    write_row_planes(element, map, x, workspace.planes, stream);
    float* const products = moments + int64_t{kMomentRows} * map.channels;
    second_moments(element, map, workspace.planes, workspace.packed, workspace.partial, products, workspace.pairs,
                   stream);
    tap_sums = {.values = products + (product_rows() - kLargeTaps) * map.channels, .element = element};
  } else {
    with_type(element, [&]<class T>(T) { blocks = launch_moments(map, static_cast<const T*>(x), workspace, stream); });
  }
  const double pixels = static_cast<double>(map.images) * map.height * map.width;
  merge_branches_kernel<<<ceil_div(map.channels, kTeamChannels), kTeamThreads, 0, stream>>>(
      parameters, workspace.packed, workspace.partial, blocks, map.channels, shape.eps, pixels, pointers_of(running),
      tap_sums, moments, workspace.merged, workspace.bias);
  if (plan.has_second_moments) {
    convolve_planes(element, map, workspace.planes, workspace.merged, workspace.bias, y, workspace.pairs, stream);
  } else {
    convolve(element, map, {.size = kLargeSize, .dilation = 1}, x, workspace.merged, workspace.bias, y, stream);
  }
}

}  // namespace unireplk::kernels::cuda
