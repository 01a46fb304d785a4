#include <algorithm>

#include "unireplk/kernels/cuda/block.h"
#include "unireplk/kernels/cuda/block_algebra.cuh"
#include "unireplk/kernels/cuda/block_coefficients.h"
#include "unireplk/kernels/cuda/block_layout.h"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/correlation.cuh"
#include "unireplk/kernels/cuda/data_gradient.h"
#include "unireplk/kernels/cuda/row_planes.h"
#include "unireplk/kernels/cuda/second_moments.h"
#include "unireplk/kernels/cuda/weight_gradients.cuh"

namespace unireplk::kernels::cuda {
namespace {

static_assert(kCoefficients == 3 + 3 * kBranches);

constexpr int kRowsAtOnce = 2;  // of dx that a thread computes

/// Gradients of norms, on the device.
struct NormGradients {
  float* gamma[kBranches];
  float* outer_gamma;
  float* outer_beta;
};

/// sum_p dy z_b of each branch, by a thread's taps.
__device__ __forceinline__ void add_branches_of(const TeamMember& me, const float* packed, const float* correlation,
                                                int channels, double (&sums)[kBranches]) {
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int first = first_of_branch(b), taps = first_of_branch(b + 1) - first;
#pragma unroll
    for (int from = 0; from < taps; from += kTeams) {
      const int tap = from + me.team;
      if (tap >= taps) continue;
      sums[b] += static_cast<double>(packed[int64_t{first + tap} * channels + me.channel]) *
                 correlation[int64_t{large_tap(b, tap)} * channels + me.channel];
    }
  }
}

/// Gradients of all norms and the coefficients of what follows, from the correlation of x with dy.
__global__ void __launch_bounds__(kTeamThreads)
    norm_gradients_kernel(BlockParameters parameters, const float* packed, const float* moments,
                          const float* correlation, int channels, double eps, double pixels, NormGradients gradients,
                          float* coefficients) {
  __shared__ TeamMoments of_team;
  __shared__ Slopes slopes;
  __shared__ double totals[kBranches][kTeamChannels];   // sum_p dy z_b
  __shared__ double centred[kBranches][kTeamChannels];  // sum_p dy (z_b - mean_b)
  const TeamMember me(channels);
  const int c = me.channel, b = me.team, column = me.column;
  double sums[kBranches] = {}, sum = 0;
  if (me.is_channel) {
    if (b < kMomentRows) of_team[b][column] = moments[int64_t{b} * channels + c];
    if (b < kBranches) sum = correlation[int64_t{kLargeTaps} * channels + c];
    add_branches_of(me, packed, correlation, channels, sums);
  }
  add_teams(sums, totals);
  if (me.is_channel && b < kBranches) centred[b][column] = totals[b][column] - of_team[b][column] * sum;
  find_slopes(me, parameters, of_team, eps, slopes);
  if (!me.is_channel || b >= kBranches) return;
  const auto set = [&](int row, double value) {
    coefficients[int64_t{row} * channels + c] = static_cast<float>(value);
  };
  double outer = 0, with_sum = 0;  // covariance of z_b with the normalised sum
#pragma unroll
  for (int d = 0; d < kBranches; ++d) {
    outer += slopes.slope[d][column] * centred[d][column];
    const int pair = b < d ? pair_of(b, d) : pair_of(d, b);
    with_sum += of_team[kBranches + pair][column] * slopes.slope[d][column];
  }
  const double outer_inverse = slopes.outer_inverse[column], outer_slope = slopes.outer_slope[column];
  const double slope = slopes.slope[b][column], inverse = slopes.inverse[b][column], share = 1 / pixels;
  outer *= outer_inverse;
  const double gamma = outer_slope * inverse * (centred[b][column] - outer * outer_inverse * with_sum);
  at_branch(gradients.gamma, b)[c] = static_cast<float>(gamma);
  set(row_of_slope(b), slope);
  set(row_of_pull(b), slope * gamma * inverse * share);
  set(row_of_mean(b), of_team[b][column]);
  if (b != 0) return;
  gradients.outer_gamma[c] = static_cast<float>(outer);
  gradients.outer_beta[c] = static_cast<float>(sum);
  set(kMeanOfGradient, sum * share);
  set(kKappa, outer * outer_inverse * share);
  set(kOuterSlope, outer_slope);
}

/// dz[branch][image][pixel][channel]
template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kWarps* kLanes, 2)
    branch_gradients_kernel(Map map, const T* x, const T* dy, const float* packed, const float* coefficients, T* dz) {
  extern __shared__ float shared[];  // weights [kAllTaps][32], coefficients [kCoefficients][32]
  stage_weights(packed, kAllTaps, map.channels, shared);
  stage_weights(coefficients, kCoefficients, map.channels, shared + kAllTaps * kLanes);
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const int64_t all = map.images * map.plane();
  const auto coefficient = [&](int row) { return shared[(kAllTaps + row) * kLanes + threadIdx.x]; };
  Tiles<kColumns, kTile, 1>(map).each([&](int64_t image, int y, int x0) {
    float z[kBranches][kTile];
    compute_branches<kColumns>(map, x + image * map.plane() + c, shared + threadIdx.x, y, x0, z);
    const int64_t first = image * map.plane() + (int64_t{y} * map.width + x0) * map.channels + c;
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      if (kColumns == Columns::kAny && x0 + j >= map.width) break;
      const int64_t at = first + int64_t{j} * map.channels;
      float sum = 0.F;
#pragma unroll
      for (int b = 0; b < kBranches; ++b) {
        z[b][j] -= coefficient(row_of_mean(b));
        sum = fmaf(coefficient(row_of_slope(b)), z[b][j], sum);
      }
      const float centred = to_float(dy[at]) - coefficient(kMeanOfGradient) - coefficient(kKappa) * sum;
      const float h = coefficient(kOuterSlope) * centred;
#pragma unroll
      for (int b = 0; b < kBranches; ++b) {
        const float pulled = coefficient(row_of_slope(b)) * h - coefficient(row_of_pull(b)) * z[b][j];
        dz[b * all + at] = from_float<T>(pulled);
      }
    }
  });
}

/// Add the transposed convolutions of branches kBranch, kBranch + 1, ... of a tile.
/// \param dz       of branch kBranch, at the lane's channel of the image's first pixel; the next lies `all` on.
/// \param weights  flipped [kAllTaps][32], at the lane's channel.
template <int kBranch, int kLow, int kHigh, bool kChecked, int kTile, class T>
__device__ __forceinline__ void add_transposed(const Map& map, const T* dz, int64_t all, const float* weights, int y0,
                                               int x0, float (&sums)[kRowsAtOnce][kTile]) {
  if constexpr (kBranch < kBranches) {
    constexpr int kSize = branch_size(kBranch), kDilation = branch_dilation(kBranch), kReach = branch_reach(kBranch);
    constexpr int kWindow = kTile + 2 * kLargeReach, kSkip = kLargeReach - kReach;
    constexpr int kFrom = kLow > kSkip ? kLow : kSkip, kTo = kHigh < kWindow - kSkip ? kHigh : kWindow - kSkip;
    constexpr int kShared = kDilation == 1 ? kRowsAtOnce : 1;  // rows of dx that read the same rows of dz
#pragma unroll
    for (int first = 0; first < kRowsAtOnce; first += kShared) {
      const int y = y0 + first;
#pragma unroll 1
      for (int iy = y - kReach; iy < y + kReach + kShared; iy += kDilation) {
        if (static_cast<unsigned>(iy) >= static_cast<unsigned>(map.height)) continue;
        float window[kWindow];
        load_window<kWindow, kFrom, kTo, kChecked>(dz + (int64_t{iy} * map.width + x0 - kLargeReach) * map.channels,
                                                   x0 - kLargeReach, map, window);
#pragma unroll
        for (int r = 0; r < kShared; ++r) {
          const int from_top = iy - y - r + kReach;
          if (kShared > 1 && (from_top < 0 || from_top > 2 * kReach)) continue;
          const float* row = weights + (first_of_branch(kBranch) + from_top / kDilation * kSize) * kLanes;
          add_row<kSize, kDilation, kSkip, kFrom, kTo>(window, row, sums[first + r]);
        }
      }
    }
    add_transposed<kBranch + 1, kLow, kHigh, kChecked>(map, dz + all, all, weights, y0, x0, sums);
  }
}

/// dx = sum over the branches of their transposed convolutions.
template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kWarps* kLanes)
    transpose_branches_kernel(Map map, const T* dz, const float* flipped, T* dx) {
  __shared__ float weights[kAllTaps * kLanes];
  stage_weights(flipped, kAllTaps, map.channels, weights);
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const int64_t all = map.images * map.plane();
  Tiles<kColumns, kTile, kRowsAtOnce>(map).each([&](int64_t image, int y0, int x0) {
    const int64_t offset = image * map.plane() + c;
    float sums[kRowsAtOnce][kTile] = {};
    with_columns<kColumns, kTile, kLargeReach>(x0, [&]<int kLow, int kHigh, bool kChecked>() {
      add_transposed<0, kLow, kHigh, kChecked>(map, dz + offset, all, weights + threadIdx.x, y0, x0, sums);
    });
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      if (y0 + r >= map.height) break;
      T* out = dx + offset + (int64_t{y0 + r} * map.width + x0) * map.channels;
#pragma unroll
      for (int j = 0; j < kTile; ++j) {
        if (kColumns != Columns::kAny || x0 + j < map.width) out[j * map.channels] = from_float<T>(sums[r][j]);
      }
    }
  });
}

constexpr int jobs_of(int branch) { return (branch_size(branch) + 1) / 2; }  // pairs of tap rows

constexpr int all_jobs() {
  int jobs = 0;
  for (int b = 0; b < kBranches; ++b) jobs += jobs_of(b);
  return jobs;
}

constexpr int kJobParts = 2;  // thread blocks that share the jobs
constexpr int kJobsOfBlock = all_jobs() / kJobParts;
static_assert(kJobsOfBlock * kJobParts == all_jobs());

/// Job `job` of those of branches kBranch, kBranch + 1, ...
template <int kBranch, int kTile, Columns kColumns, class T>
__device__ __forceinline__ void correlate_branch(const Map& map, const T* x, const T* dz, int64_t all,
                                                 const Chunk& chunk, int job, float* out) {
  if constexpr (kBranch < kBranches) {
    if (job >= jobs_of(kBranch)) {
      return correlate_branch<kBranch + 1, kTile, kColumns>(map, x, dz + all, all, chunk, job - jobs_of(kBranch), out);
    }
    correlate_rows<branch_size(kBranch), branch_dilation(kBranch), kTile, kColumns>(
        map, x, dz, chunk.first, chunk.last, 2 * job, out + int64_t{first_of_branch(kBranch)} * map.channels);
  }
}

/// partial[chunk][kAllTaps][channels]: each branch's gradient correlated with x.
template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kJobsOfBlock* kLanes)
    correlate_branches_kernel(Map map, int images, const T* x, const T* dz, float* partial) {
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const Chunk chunk(map, images);
  float* out = partial + int64_t{blockIdx.x} * kAllTaps * map.channels + c;
  const int job = blockIdx.z * kJobsOfBlock + threadIdx.y;
  correlate_branch<0, kTile, kColumns>(map, x + c, dz + c, map.images * map.plane(), chunk, job, out);
}

/// The sums over chunks of partial[chunk][kAllTaps][channels], unpacked.
__global__ void __launch_bounds__(kWarps* kLanes)
    add_branches_kernel(const float* partial, int chunks, int channels, WeightGradients gradients) {
  const int columns = kAllTaps * channels, i = blockIdx.x * kLanes + threadIdx.x;
  const float sum = sum_chunks(partial, chunks, columns, i);
  if (threadIdx.y != 0 || i >= columns) return;
  const int c = i % channels, tap = i / channels;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int first = first_of_branch(b), taps = first_of_branch(b + 1) - first, of_branch = tap - first;
    if (of_branch >= 0 && of_branch < taps) gradients.weight[b][int64_t{c} * taps + of_branch] = sum;
  }
}

/// The passes over the pixels of some images, all of which `map` has.
/// \return chunks of which `partial` has sums now.
template <class T>
int launch_images(const Map& map, int chunk, const T* x, const T* dy, T* dx, const BackwardWorkspace& workspace,
                  float* partial, Stream stream) {
  const dim3 block(kLanes, kWarps);
  const int chunks = ceil_div(map.images, chunk);
  auto* dz = static_cast<T*>(workspace.gradients);
  with_tile<7>(map, [&]<int kTile, Columns kColumns>() {
    auto* kernel = branch_gradients_kernel<kTile, kColumns, T>;
    const size_t bytes = sizeof(float) * (kAllTaps + kCoefficients) * kLanes;
    allow_shared(kernel, bytes);
    kernel<<<Tiles<kColumns, kTile, 1>(map).grid(map), block, bytes, stream>>>(map, x, dy, workspace.packed,
                                                                               workspace.coefficients, dz);
    if (dx) {
      const auto grid = Tiles<kColumns, kTile, kRowsAtOnce>(map).grid(map, 2 * kResidentBlocks);
      transpose_branches_kernel<kTile, kColumns><<<grid, block, 0, stream>>>(map, dz, workspace.flipped, dx);
    }
    const dim3 grid(chunks, ceil_div(map.channels, kLanes), kJobParts);
    correlate_branches_kernel<kTile, kColumns>
        <<<grid, dim3(kLanes, kJobsOfBlock), 0, stream>>>(map, chunk, x, dz, partial);
  });
  return chunks;
}

/// \return as launch_images(), of all images.
template <class T>
int launch_pixels(Element element, const Map& map, const T* x, const T* dy, T* dx, const BackwardWorkspace& workspace,
                  Stream stream) {
  const int at_once = images_at_once(element, map), chunk = chunk_images(map);
  int chunks = 0;
  for (int first = 0; first < map.images; first += at_once) {
    Map some = map;
    some.images = std::min(at_once, map.images - first);
    const int64_t offset = first * map.plane();
    float* partial = workspace.partial + int64_t{chunks} * kAllTaps * map.channels;
    chunks +=
        launch_images(some, chunk, x + offset, dy + offset, dx ? dx + offset : nullptr, workspace, partial, stream);
  }
  return chunks;
}

/// workspace.correlation = that of x with dy.
void launch_correlation(bool has_second_moments, Element element, const Map& map, const void* x, const void* dy,
                        const BackwardWorkspace& workspace, Stream stream) {
  int chunks = 0;
  if (has_second_moments) {
    write_row_planes(element, map, x, workspace.planes, stream);
    write_row_planes(element, map, dy, workspace.planes_of_dy, stream);
    correlate_planes(element, map, workspace.planes, workspace.planes_of_dy, workspace.partial, stream);
    chunks = correlation_parts(map);
  } else {
    correlate(element, map, {.size = kLargeSize, .dilation = 1}, x, dy, workspace.partial, stream);
    chunks = ceil_div(map.images, chunk_images(map));
  }
  add_chunks(workspace.partial, chunks, kLargeTaps + 1, map.channels, workspace.correlation, stream);
}

void launch_norms(const BlockShape& shape, const BlockParameters& parameters, const float* moments,
                  const BlockGradients& gradients, const BackwardWorkspace& workspace, Stream stream) {
  const int channels = static_cast<int>(shape.map.channels);
  NormGradients norms{};
  for (int b = 0; b < kBranches; ++b) norms.gamma[b] = gradients.branches[b].gamma;
  norms.outer_gamma = gradients.gamma;
  norms.outer_beta = gradients.beta;
  const double pixels = static_cast<double>(shape.map.images * shape.map.height * shape.map.width);
  norm_gradients_kernel<<<ceil_div(channels, kTeamChannels), kTeamThreads, 0, stream>>>(
      parameters, workspace.packed, moments, workspace.correlation, channels, shape.eps, pixels, norms,
      workspace.coefficients);
}

}  // namespace

void block_backward(const BlockPlan& plan, Element element, const BlockShape& shape, const BlockWeights& weights,
                    const float* moments, const void* x, const void* dy, const BlockGradients& gradients, void* dx,
                    void* memory, Stream stream) {
  const auto map = map_of(shape.map);
  const bool has_moments = plan.has_second_moments;
  const BackwardWorkspace workspace(has_moments, element, map, memory);
  const auto parameters = parameters_of(weights);
  pack_branches(parameters, map.channels, workspace.packed, dx && !has_moments ? workspace.flipped : nullptr, stream);
  launch_correlation(has_moments, element, map, x, dy, workspace, stream);
  launch_norms(shape, parameters, moments, gradients, workspace, stream);
  WeightGradients of_weights{};
  for (int b = 0; b < kBranches; ++b) of_weights.weight[b] = gradients.branches[b].weight;
  if (has_moments) {
    const float* products = moments + int64_t{kMomentRows} * map.channels;
    weight_gradients(map, workspace.correlation, workspace.coefficients, products, of_weights, stream);
    if (!dx) return;
    return block_data_gradient(element, map, workspace.planes, workspace.planes_of_dy, workspace.packed,
                               workspace.coefficients, dx, workspace.pairs, stream);
  }
  int chunks = 0;
  with_type(element, [&]<class T>(T) {
    chunks = launch_pixels(element, map, static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx),
                           workspace, stream);
  });
  add_branches_kernel<<<ceil_div(int64_t{kAllTaps} * map.channels, kLanes), dim3(kLanes, kWarps), 0, stream>>>(
      workspace.partial, chunks, map.channels, of_weights);
}

}  // namespace unireplk::kernels::cuda
