#include "unireplk/kernels/cuda/squeeze_gate.h"

#include <algorithm>

#include "unireplk/kernels/cuda/rows.cuh"
#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kImages = 8;  // of a thread block: each weight that is read serves them all
constexpr int kRowWarps = 8;
constexpr int kThreadsAlongRows = kRowWarps * kLanes;
constexpr int kTile = 640;  // rows of a weight that the images' factors lie ready for
constexpr int kLoads = 8;   // that a thread waits for at once

/// Which of kImages a thread block takes.
struct ImageGroup {
  explicit __device__ ImageGroup(int64_t images)
      : first(int64_t{blockIdx.x} * kImages), count(static_cast<int>(min(int64_t{kImages}, images - first))) {}

  int64_t first;
  int count;
};

/// The sum over 2 kDistance lanes, a warp's at first, of one of so many values: number lane / (kLanes / kCount) of
/// them, kCount being a power of two.
template <int kDistance = kLanes / 2, int kCount>
__device__ __forceinline__ float sum_of_lanes(const float (&values)[kCount]) {
  if constexpr (kDistance == 0) {
    return values[0];
  } else if constexpr (kCount == 1) {
    const float sum[] = {values[0] + __shfl_xor_sync(~0U, values[0], kDistance)};
    return sum_of_lanes<kDistance / 2>(sum);
  } else {
    constexpr int kHalf = kCount / 2;
    const bool is_upper = (threadIdx.x & kDistance) != 0;
    float kept[kHalf];
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float sent = is_upper ? values[i] : values[kHalf + i];
      kept[i] = (is_upper ? values[kHalf + i] : values[i]) + __shfl_xor_sync(~0U, sent, kDistance);
    }
    return sum_of_lanes<kDistance / 2>(kept);
  }
}

/// Call put(image, row, weight[row] * x[image]) in one thread, for every row of a weight [out, in] and every image. A
/// warp takes kRows of them, along which its lanes lie.
template <int kRows, int kVector, class Put>
__device__ __forceinline__ void multiply_rows(const float* __restrict__ weight, const float* __restrict__ x, int out,
                                              int in, int64_t images, Put put) {
  constexpr int kSums = kRows * kImages;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  const int row = (static_cast<int>(blockIdx.y) * kRowWarps + warp) * kRows;
  if (row >= out) return;
  const ImageGroup group(images);
  const float *of_row[kRows], *of_image[kImages];  // of one that exists
#pragma unroll
  for (int i = 0; i < kRows; ++i) of_row[i] = weight + int64_t{min(row + i, out - 1)} * in;
#pragma unroll
  for (int n = 0; n < kImages; ++n) of_image[n] = x + (group.first + min(n, group.count - 1)) * in;
  float sums[kSums] = {};
#pragma unroll(4 / kRows)
  for (int c = lane * kVector; c < in; c += kLanes * kVector) {
    float weights[kRows][kVector], values[kImages][kVector];
#pragma unroll
    for (int i = 0; i < kRows; ++i) load(of_row[i] + c, weights[i]);
#pragma unroll
    for (int n = 0; n < kImages; ++n) load(of_image[n] + c, values[n]);
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
#pragma unroll
      for (int v = 0; v < kVector; ++v) sums[s] = fmaf(weights[s / kImages][v], values[s % kImages][v], sums[s]);
    }
  }
  const float sum = sum_of_lanes(sums);
  constexpr int kShare = kLanes / kSums;  // lanes with the same sum
  const int i = lane / kShare / kImages, n = lane / kShare % kImages;
  if (lane % kShare == 0 && row + i < out && n < group.count) put(group.first + n, row + i, sum);
}

/// Shared memory of the factors of a thread block's images, for kTile rows of a weight.
using Factors = float[kTile][kImages];

/// factors[r][n] = factor(offset of row first + r of image n in a table [images, in]) for `rows` rows and the images of
/// a group; 0 for rows up to `end` and for images that the group lacks.
///
/// \param copy  [images, in]: where they go too, or null
template <int kThreads, class Factor>
__device__ __forceinline__ void fill_factors(const ImageGroup& group, int first, int rows, int end, int in,
                                             Factor factor, float* __restrict__ copy, Factors& factors) {
  constexpr int kAtOnce = kThreads / kImages;  // rows
  const int n = static_cast<int>(threadIdx.x) % kImages;
  const int64_t offset = (group.first + min(n, group.count - 1)) * in + first;
  const int there = n < group.count ? rows : 0;
  for (int start = static_cast<int>(threadIdx.x) / kImages; start < end; start += kLoads * kAtOnce) {
    float values[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {  // of one that exists, without a branch: all are on their way at once
      values[i] = factor(offset + min(start + i * kAtOnce, rows - 1));
    }
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int r = start + i * kAtOnce;
      if (r < end) factors[r][n] = r < there ? values[i] : 0.F;
      if (copy && r < there) copy[offset + r] = values[i];
    }
  }
}

/// Call put(image, column, product) in one thread, for every column of a weight [in, out] and every image: the sum over
/// rows r of the weight's times factor(offset of r in a table [images, in]). The lanes of a warp lie along a strip of
/// columns, and kWarps of them share the rows.
///
/// \param copy  [images, in]: where the factors go, or null
template <int kWarps, class Factor, class Put>
__device__ __forceinline__ void multiply_columns(const float* __restrict__ weight, int in, int out, int64_t images,
                                                 Factor factor, float* __restrict__ copy, Put put) {
  constexpr int kStep = kWarps * kLoads;  // rows
  static_assert(kTile % kStep == 0 && kWarps >= kImages);
  __shared__ __align__(sizeof(float4)) Factors factors;
  __shared__ float of_warps[kWarps][kImages][kLanes];
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  const int column = static_cast<int>(blockIdx.y) * kLanes + lane;
  const ImageGroup group(images);
  float sums[kImages] = {};
  for (int tile = 0; tile < in; tile += kTile) {
    const int rows = min(kTile, in - tile), whole = (rows + kStep - 1) / kStep * kStep;
    fill_factors<kWarps * kLanes>(group, tile, rows, whole, in, factor, blockIdx.y == 0 ? copy : nullptr, factors);
    __syncthreads();
    const int last = column < out ? rows : 0;
    const int64_t step = int64_t{kWarps} * out;
    const float* from = weight + int64_t{tile + warp} * out + column;
    for (int first = warp; first < last; first += kStep) {
      float weights[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; ++i, from += step) weights[i] = first + i * kWarps < last ? *from : 0.F;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
#pragma unroll
        for (int n = 0; n < kImages; n += 4) {
          const auto four = *reinterpret_cast<const float4*>(&factors[first + i * kWarps][n]);
          sums[n] = fmaf(four.x, weights[i], sums[n]);
          sums[n + 1] = fmaf(four.y, weights[i], sums[n + 1]);
          sums[n + 2] = fmaf(four.z, weights[i], sums[n + 2]);
          sums[n + 3] = fmaf(four.w, weights[i], sums[n + 3]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int n = 0; n < kImages; ++n) of_warps[warp][n][lane] = sums[n];
  __syncthreads();
  if (warp >= group.count || column >= out) return;
  float sum = 0.F;
#pragma unroll
  for (const auto& of_warp : of_warps) sum += of_warp[warp][lane];
  put(group.first + warp, column, sum);
}

constexpr int kRowsOfInner = 2, kRowsOfGate = 4;

/// inner = relu(sums / pixels * down_weight^T + down_bias)
template <int kVector>
__global__ void __launch_bounds__(kThreadsAlongRows)
    inner_kernel(SqueezeGate gate, int64_t images, float pixels, const float* __restrict__ sums,
                 float* __restrict__ inner) {
  const int width = static_cast<int>(gate.inner);
  const auto put = [&](int64_t image, int i, float sum) {
    const float value = sum / pixels + gate.down_bias[i];
    inner[image * width + i] = value < 0.F ? 0.F : value;  // not-a-number stays
  };
  multiply_rows<kRowsOfInner, kVector>(gate.down_weight, sums, width, static_cast<int>(gate.channels), images, put);
}

/// to = sigmoid(inner * up_weight^T + up_bias); sums over pixels become means.
template <int kVector>
__global__ void __launch_bounds__(kThreadsAlongRows)
    gate_kernel(SqueezeGate gate, int64_t images, float pixels, float* __restrict__ means,
                const float* __restrict__ inner, float* __restrict__ to) {
  const int channels = static_cast<int>(gate.channels);
  const auto put = [&](int64_t image, int c, float sum) {
    const int64_t at = image * channels + c;
    means[at] /= pixels;
    to[at] = 1.F / (1.F + expf(-(sum + gate.up_bias[c])));
  };
  multiply_rows<kRowsOfGate, kVector>(gate.up_weight, inner, channels, static_cast<int>(gate.inner), images, put);
}

constexpr int kWarpsOfDown = 16, kWarpsOfShift = 8;

/// up = products * of_gate * (1 - of_gate), down = up * weight where the inner value is above 0
__global__ void __launch_bounds__(kWarpsOfDown* kLanes)
    down_kernel(int64_t images, int channels, int width, const float* __restrict__ weight,
                const float* __restrict__ of_gate, const float* __restrict__ inner, const float* __restrict__ products,
                float* __restrict__ up, float* __restrict__ down) {
  const auto factor = [&](int64_t at) { return products[at] * of_gate[at] * (1.F - of_gate[at]); };
  const auto put = [&](int64_t image, int i, float sum) {
    const int64_t at = image * width + i;
    down[at] = sum * (inner[at] > 0.F ? 1.F : 0.F);
  };
  multiply_columns<kWarpsOfDown>(weight, channels, width, images, factor, up, put);
}

/// shift = down * weight / pixels
__global__ void __launch_bounds__(kWarpsOfShift* kLanes)
    shift_kernel(int64_t images, int channels, int width, float pixels, const float* __restrict__ weight,
                 const float* __restrict__ down, float* __restrict__ shift) {
  const auto factor = [&](int64_t at) { return down[at]; };
  const auto put = [&](int64_t image, int c, float sum) { shift[image * channels + c] = sum / pixels; };
  multiply_columns<kWarpsOfShift>(weight, width, channels, images, factor, nullptr, put);
}

/// Sums over images: of `down` for the plan's first channels, of `up` for those behind them.
__global__ void __launch_bounds__(kSumThreads)
    biases_kernel(SumPlan plan, int inner, const float* __restrict__ down, const float* __restrict__ up,
                  float* __restrict__ down_bias, float* __restrict__ up_bias) {
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = plan.walk(blockIdx.x, thread);
  const bool is_down = walk.channel < inner;
  const int width = is_down ? inner : plan.channels - inner, c = is_down ? walk.channel : walk.channel - inner;
  const float* from = (is_down ? down : up) + c;
  double sum[1];
  sum_rows_of(
      plan, walk, [&](int64_t image, double(&all)[1]) { all[0] += from[image * width]; }, sum);
  if (plan.has_sum(walk, thread)) (is_down ? down_bias : up_bias)[c] = static_cast<float>(sum[0]);
}

/// Thread blocks that take `each` of `count` for each group of images.
dim3 grid_for(int64_t images, int64_t count, int each) {
  return {static_cast<unsigned>(ceil_div(images, kImages)), static_cast<unsigned>(std::max(1, ceil_div(count, each)))};
}

/// Call `run` with how many values of rows of `length` a thread reads at once.
template <class Run>
void with_row_vector(int64_t length, const float* weight, const float* x, Run run) {
  constexpr int kFour = 4;
  if (length % kFour == 0 && are_aligned(weight, x)) return run.template operator()<kFour>();
  run.template operator()<1>();
}

}  // namespace

void squeeze_gate(const SqueezeGate& gate, int64_t images, int64_t pixels, float* means, float* inner, float* to,
                  Stream stream) {
  if (images * gate.channels == 0) return;
  const auto count = static_cast<float>(pixels);
  if (gate.inner > 0) {
    with_row_vector(gate.channels, gate.down_weight, means, [&]<int kVector>() {
      const dim3 grid = grid_for(images, gate.inner, kRowWarps * kRowsOfInner);
      inner_kernel<kVector><<<grid, kThreadsAlongRows, 0, stream>>>(gate, images, count, means, inner);
    });
  }
  with_row_vector(gate.inner, gate.up_weight, inner, [&]<int kVector>() {
    const dim3 grid = grid_for(images, gate.channels, kRowWarps * kRowsOfGate);
    gate_kernel<kVector><<<grid, kThreadsAlongRows, 0, stream>>>(gate, images, count, means, inner, to);
  });
}

void squeeze_gate_backward(const SqueezeGate& gate, int64_t images, int64_t pixels, const SqueezeValues& values,
                           const float* products, const SqueezeGradients& to, Stream stream) {
  if (gate.channels == 0) return;
  const int channels = static_cast<int>(gate.channels), width = static_cast<int>(gate.inner);
  if (images > 0) {
    down_kernel<<<grid_for(images, width, kLanes), kWarpsOfDown * kLanes, 0, stream>>>(
        images, channels, width, gate.up_weight, values.gate, values.inner, products, to.up, to.down);
    shift_kernel<<<grid_for(images, channels, kLanes), kWarpsOfShift * kLanes, 0, stream>>>(
        images, channels, width, static_cast<float>(pixels), gate.down_weight, to.down, to.shift);
  }
  const SumPlan plan(1, images, gate.inner + gate.channels);
  biases_kernel<<<static_cast<unsigned>(plan.blocks()), plan.threads(), 0, stream>>>(plan, width, to.down, to.up,
                                                                                     to.down_bias, to.up_bias);
}

}  // namespace unireplk::kernels::cuda
