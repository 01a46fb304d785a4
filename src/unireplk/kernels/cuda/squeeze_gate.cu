#include "unireplk/kernels/cuda/squeeze_gate.h"

#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kLanes;
constexpr int kTogether = 4;  // rows of a weight that a warp reads at once

/// Call put(row, weight[row] * x) in one lane, for every row of a weight [out, in]. What x points to may have been
/// written by this thread block.
template <class Put>
__device__ __forceinline__ void multiply(const float* __restrict__ weight, const float* x, int out, int in, Put put) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  for (int row = warp * kTogether; row < out; row += kWarps * kTogether) {
    float sums[kTogether] = {};
    for (int c = lane; c < in; c += kLanes) {
      const float value = x[c];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        if (row + i < out) sums[i] = fmaf(weight[int64_t{row + i} * in + c], value, sums[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
#pragma unroll
      for (int distance = kLanes / 2; distance > 0; distance /= 2) {
        sums[i] += __shfl_xor_sync(~0U, sums[i], distance);
      }
      if (lane == i && row + i < out) put(row + i, sums[i]);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    gate_kernel(SqueezeGate gate, float pixels, float* all_means, float* all_inner, float* all_to) {
  const int channels = static_cast<int>(gate.channels), width = static_cast<int>(gate.inner);
  float* means = all_means + int64_t{blockIdx.x} * channels;
  float* inner = all_inner + int64_t{blockIdx.x} * width;
  float* to = all_to + int64_t{blockIdx.x} * channels;
  for (int c = threadIdx.x; c < channels; c += kThreads) means[c] /= pixels;
  __syncthreads();
  multiply(gate.down_weight, means, width, channels, [&](int i, float sum) {
    const float value = sum + gate.down_bias[i];
    inner[i] = value < 0.F ? 0.F : value;  // not-a-number stays
  });
  __syncthreads();
  multiply(gate.up_weight, inner, channels, width,
           [&](int c, float sum) { to[c] = 1.F / (1.F + expf(-(sum + gate.up_bias[c]))); });
}

__global__ void __launch_bounds__(kThreads)
    gate_backward_kernel(SqueezeGate gate, float pixels, SqueezeValues values, const float* __restrict__ products,
                         SqueezeGradients to) {
  __shared__ float of_warps[kWarps][kLanes];
  const int channels = static_cast<int>(gate.channels), width = static_cast<int>(gate.inner);
  const int64_t row = int64_t{blockIdx.x} * channels, inner_row = int64_t{blockIdx.x} * width;
  float *up = to.up + row, *down = to.down + inner_row;
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    const float value = values.gate[row + c];
    up[c] = products[row + c] * value * (1.F - value);
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kLanes, warp = static_cast<int>(threadIdx.x) / kLanes;
  for (int first = 0; first < width; first += kLanes) {
    const int i = first + lane;
    float sum = 0.F;
    if (i < width) {
#pragma unroll 8
      for (int c = warp; c < channels; c += kWarps) sum = fmaf(gate.up_weight[int64_t{c} * width + i], up[c], sum);
    }
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && i < width) {
      sum = 0.F;
#pragma unroll
      for (const auto& of_warp : of_warps) sum += of_warp[lane];
      down[i] = sum * (values.inner[inner_row + i] > 0.F ? 1.F : 0.F);
    }
    __syncthreads();
  }
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    float sum = 0.F;
#pragma unroll 8
    for (int i = 0; i < width; ++i) sum = fmaf(gate.down_weight[int64_t{i} * channels + c], down[i], sum);
    to.shift[row + c] = sum / pixels;
  }
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

}  // namespace

void squeeze_gate(const SqueezeGate& gate, int64_t images, int64_t pixels, float* means, float* inner, float* to,
                  Stream stream) {
  if (images * gate.channels == 0) return;
  gate_kernel<<<static_cast<unsigned>(images), kThreads, 0, stream>>>(gate, static_cast<float>(pixels), means, inner,
                                                                      to);
}

void squeeze_gate_backward(const SqueezeGate& gate, int64_t images, int64_t pixels, const SqueezeValues& values,
                           const float* products, const SqueezeGradients& to, Stream stream) {
  if (gate.channels == 0) return;
  if (images > 0) {
    gate_backward_kernel<<<static_cast<unsigned>(images), kThreads, 0, stream>>>(gate, static_cast<float>(pixels),
                                                                                 values, products, to);
  }
  const SumPlan plan(1, images, gate.inner + gate.channels);
  biases_kernel<<<static_cast<unsigned>(plan.blocks()), plan.threads(), 0, stream>>>(
      plan, static_cast<int>(gate.inner), to.down, to.up, to.down_bias, to.up_bias);
}

}  // namespace unireplk::kernels::cuda
