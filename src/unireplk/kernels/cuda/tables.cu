#include "unireplk/kernels/cuda/tables.h"

#include <algorithm>

#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float grn_divisor(double sum_of_norms, int channels) {
  return static_cast<float>(sum_of_norms / channels + kGrnEps);
}

__device__ __forceinline__ void move(float* running, double momentum, double value) {
  *running = static_cast<float>((1 - momentum) * *running + momentum * value);
}

__device__ __forceinline__ float value_or_one(const float* values, int64_t i) { return values ? values[i] : 1.F; }

/// A thread block takes an image.
__global__ void __launch_bounds__(kThreads)
    grn_factors_kernel(int channels, const float* __restrict__ gamma, float* norms, float* __restrict__ factor) {
  const int64_t row = int64_t{blockIdx.x} * channels;
  double sum = 0;
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    const float norm = sqrtf(norms[row + c]);
    norms[row + c] = norm;
    sum += norm;
  }
  const float divisor = grn_divisor(sum_of_block<kThreads>(sum), channels);
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    factor[row + c] = fmaf(gamma[c], norms[row + c] / divisor, 1.F);
  }
}

/// The same.
/// \param divisors  [images], written
__global__ void __launch_bounds__(kThreads)
    grn_gradients_kernel(int channels, const float* __restrict__ gamma, const float* __restrict__ norms,
                         const float* __restrict__ products, float* __restrict__ factor, float* __restrict__ slope,
                         float* __restrict__ divisors) {
  const int64_t row = int64_t{blockIdx.x} * channels;
  double sum = 0;
  for (int c = threadIdx.x; c < channels; c += kThreads) sum += norms[row + c];
  const float divisor = grn_divisor(sum_of_block<kThreads>(sum), channels);
  if (threadIdx.x == 0) divisors[blockIdx.x] = divisor;
  sum = 0;
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    sum += products[row + c] * gamma[c] * (norms[row + c] / divisor);
  }
  const auto mean = static_cast<float>(sum_of_block<kThreads>(sum) / channels);
  for (int c = threadIdx.x; c < channels; c += kThreads) {
    const float norm = norms[row + c];
    factor[row + c] = fmaf(gamma[c], norm / divisor, 1.F);
    slope[row + c] = norm > 0.F ? (products[row + c] * gamma[c] - mean) / (divisor * norm) : 0.F;
  }
}

__global__ void __launch_bounds__(kSumThreads)
    grn_gamma_kernel(SumPlan plan, const float* __restrict__ norms, const float* __restrict__ products,
                     const float* __restrict__ divisors, float* __restrict__ to) {
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = plan.walk(blockIdx.x, thread);
  const auto add = [&](int64_t image, double(&sums)[1]) {
    const int64_t i = image * plan.channels + walk.channel;
    sums[0] += norms[i] / divisors[image] * products[i];
  };
  double sum[1];
  sum_rows_of(plan, walk, add, sum);
  if (plan.has_sum(walk, thread)) to[walk.channel] = static_cast<float>(sum[0]);
}

/// A thread takes a value of the tables; those of the first image (or of none) take the vectors too.
__global__ void __launch_bounds__(kThreads) tail_factors_kernel(TableShape shape, TailNorm norm, TailMoments moments,
                                                                double eps, MovingNorm moving, TailFactors to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t image = i / shape.channels, c = i % shape.channels;
  if (image > 0 && image >= shape.images) return;
  const auto inverse = static_cast<float>(1 / sqrt(moments.variance[c] + eps));
  if (image == 0) {
    to.inverse[c] = inverse;
    if (moving.norm.mean) {
      move(moving.norm.mean + c, moving.momentum, moments.mean[c]);
      move(moving.norm.variance + c, moving.momentum, moments.variance[c] * (moments.pixels / (moments.pixels - 1)));
      if (c == 0 && moving.norm.batches) ++*moving.norm.batches;
    }
  }
  if (image >= shape.images) return;
  const float scale = value_or_one(norm.scale, c), mask = value_or_one(norm.mask, image);
  to.slope[i] = norm.weight[c] * inverse * scale * mask;
  to.shift[i] = norm.bias[c] * scale * mask;
}

__global__ void __launch_bounds__(kSumThreads)
    tail_sums_kernel(SumPlan plan, const float* __restrict__ sums, const float* __restrict__ products,
                     const float* __restrict__ mask, const float* __restrict__ inverse, float* __restrict__ totals) {
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = plan.walk(blockIdx.x, thread);
  const auto add = [&](int64_t image, double(&of)[2]) {
    const int64_t i = image * plan.channels + walk.channel;
    const float factor = value_or_one(mask, image);
    of[0] += sums[i] * factor;
    of[1] += products[i] * factor;
  };
  double of[2];
  sum_rows_of(plan, walk, add, of);
  if (!plan.has_sum(walk, thread)) return;
  totals[walk.channel] = static_cast<float>(of[0]);
  totals[plan.channels + walk.channel] = static_cast<float>(of[1] * inverse[walk.channel]);
}

/// As tail_factors_kernel().
__global__ void __launch_bounds__(kThreads)
    tail_gradients_kernel(TableShape shape, TailNorm norm, const float* __restrict__ inverse,
                          const float* __restrict__ totals, float pixels, float ranks, TailGradients to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t image = i / shape.channels, c = i % shape.channels;
  if (image > 0 && image >= shape.images) return;
  const float sum = totals[c], of_normal = totals[shape.channels + c], scale = value_or_one(norm.scale, c);
  const float weight = norm.weight[c];
  if (image == 0) {
    to.weight[c] = scale * of_normal / ranks;
    to.bias[c] = scale * sum / ranks;
    if (to.scale) to.scale[c] = (weight * of_normal + norm.bias[c] * sum) / ranks;
  }
  if (image >= shape.images) return;
  const float slope = weight * inverse[c] * scale, share = slope / pixels;
  to.factor[i] = slope * value_or_one(norm.mask, image);
  to.slope[i] = -(share * inverse[c] * of_normal);
  to.shift[i] = -(share * sum);
}

/// Thread blocks for the values of a table, or for the vectors where there are no images.
unsigned blocks_of(const TableShape& shape) {
  return static_cast<unsigned>((std::max<int64_t>(shape.images, 1) * shape.channels + kThreads - 1) / kThreads);
}

}  // namespace

void grn_factors(const TableShape& shape, const float* gamma, float* norms, float* factor, Stream stream) {
  if (shape.images * shape.channels == 0) return;
  grn_factors_kernel<<<static_cast<unsigned>(shape.images), kThreads, 0, stream>>>(static_cast<int>(shape.channels),
                                                                                   gamma, norms, factor);
}

void grn_gradients(const TableShape& shape, const float* gamma, const float* norms, const float* products,
                   const GrnGradients& to, float* workspace, Stream stream) {
  if (shape.channels == 0) return;
  if (shape.images > 0) {
    grn_gradients_kernel<<<static_cast<unsigned>(shape.images), kThreads, 0, stream>>>(
        static_cast<int>(shape.channels), gamma, norms, products, to.factor, to.slope, workspace);
  }
  const SumPlan plan(1, shape.images, shape.channels);
  grn_gamma_kernel<<<static_cast<unsigned>(plan.blocks()), plan.threads(), 0, stream>>>(plan, norms, products,
                                                                                        workspace, to.gamma);
}

void tail_factors(const TableShape& shape, const TailNorm& norm, const TailMoments& moments, double eps,
                  const MovingNorm& moving, const TailFactors& to, Stream stream) {
  if (shape.channels == 0) return;
  tail_factors_kernel<<<blocks_of(shape), kThreads, 0, stream>>>(shape, norm, moments, eps, moving, to);
}

void tail_sums(const TableShape& shape, const float* sums, const float* products, const float* mask,
               const float* inverse, float* totals, Stream stream) {
  if (shape.channels == 0) return;
  const SumPlan plan(1, shape.images, shape.channels);
  tail_sums_kernel<<<static_cast<unsigned>(plan.blocks()), plan.threads(), 0, stream>>>(plan, sums, products, mask,
                                                                                        inverse, totals);
}

void tail_gradients(const TableShape& shape, const TailNorm& norm, const float* inverse, const float* totals,
                    double pixels, double ranks, const TailGradients& to, Stream stream) {
  if (shape.channels == 0) return;
  tail_gradients_kernel<<<blocks_of(shape), kThreads, 0, stream>>>(
      shape, norm, inverse, totals, static_cast<float>(pixels), static_cast<float>(ranks), to);
}

}  // namespace unireplk::kernels::cuda
