#include "unireplk/kernels/cuda/layer_norm.h"

#include <algorithm>

#include "unireplk/kernels/cuda/rows.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int64_t kMostBlocks = 32 * 132;
constexpr int kNarrow = 8;  // lanes of a pixel with few channels

/// The same in all kTeam neighbouring lanes, which all call it.
template <int kTeam>
__device__ __forceinline__ float sum_of_team(float value) {
#pragma unroll
  for (int distance = kTeam / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0U, value, distance);
  return value;
}

/// Call visit(pixel, lane, is_own) with every pixel of this thread's team. All teams of a warp go round equally often,
/// as their lanes shuffle together: those beyond the end come to the last pixel again, which is not their own to write.
template <int kTeam, class Visit>
__device__ __forceinline__ void each_pixel(int64_t pixels, Visit visit) {
  constexpr int kTeams = kRowThreads / kTeam;
  const int lane = static_cast<int>(threadIdx.x) % kTeam, team = static_cast<int>(threadIdx.x) / kTeam;
  for (int64_t first = int64_t{blockIdx.x} * kTeams; first < pixels; first += int64_t{gridDim.x} * kTeams) {
    visit(min(first + team, pixels - 1), lane, first + team < pixels);
  }
}

template <int kTeam, int kVector, class T>
__global__ void __launch_bounds__(kRowThreads)
    forward_kernel(int64_t pixels, int channels, const T* __restrict__ x, LayerNorm norm, float* __restrict__ y,
                   float* __restrict__ mean, float* __restrict__ inverse) {
  each_pixel<kTeam>(pixels, [&](int64_t pixel, int lane, bool is_own) {
    const T* row = x + pixel * channels;
    const int first = lane * kVector;
    float sum = 0.F, values[kVector];
    for (int c = first; c < channels; c += kTeam * kVector) {
      load(row + c, values);
#pragma unroll
      for (const float value : values) sum += value;
    }
    const float centre = sum_of_team<kTeam>(sum) / static_cast<float>(channels);
    sum = 0.F;
    for (int c = first; c < channels; c += kTeam * kVector) {
      load(row + c, values);
#pragma unroll
      for (const float value : values) sum = fmaf(value - centre, value - centre, sum);
    }
    const float scale = rsqrtf(sum_of_team<kTeam>(sum) / static_cast<float>(channels) + norm.eps);
    if (!is_own) return;
    for (int c = first; c < channels; c += kTeam * kVector) {
      float weight[kVector], bias[kVector];
      load(row + c, values);
      load(norm.weight + c, weight);
      load(norm.bias + c, bias);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        values[i] = fmaf((values[i] - centre) * scale, weight[i], bias[i]);
        if (norm.then_gelu) values[i] = gelu<float>(values[i]);
      }
      store(values, y + pixel * channels + c);
    }
    if (lane == 0) {
      mean[pixel] = centre;
      inverse[pixel] = scale;
    }
  });
}

/// normal = (x - mean) * inverse, and g = the gradient of normal * weight + bias.
template <int kVector, class T>
__device__ __forceinline__ void load_gradient(const float* dy, const T* x, const LayerNorm& norm, float mean,
                                              float inverse, const float (&weight)[kVector],
                                              const float (&bias)[kVector], float (&normal)[kVector],
                                              float (&g)[kVector]) {
  load(x, normal);
  load(dy, g);
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    normal[i] = (normal[i] - mean) * inverse;
    if (!norm.then_gelu) continue;
    g[i] *= gelu_with_slope<float>(fmaf(normal[i], weight[i], bias[i])).slope;
  }
}

template <int kTeam, int kVector, class T>
__global__ void __launch_bounds__(kRowThreads)
    backward_data_kernel(int64_t pixels, int channels, const float* __restrict__ dy, const T* __restrict__ x,
                         LayerNorm norm, const float* __restrict__ mean, const float* __restrict__ inverse,
                         T* __restrict__ dx) {
  each_pixel<kTeam>(pixels, [&](int64_t pixel, int lane, bool is_own) {
    const int64_t row = pixel * channels;
    const float centre = mean[pixel], scale = inverse[pixel];
    float weight[kVector], bias[kVector], normal[kVector], g[kVector];
    float sum = 0.F, product = 0.F;
    for (int c = lane * kVector; c < channels; c += kTeam * kVector) {
      load(norm.weight + c, weight);
      load(norm.bias + c, bias);
      load_gradient(dy + row + c, x + row + c, norm, centre, scale, weight, bias, normal, g);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        sum = fmaf(g[i], weight[i], sum);
        product = fmaf(g[i] * weight[i], normal[i], product);
      }
    }
    sum = sum_of_team<kTeam>(sum) / static_cast<float>(channels);
    product = sum_of_team<kTeam>(product) / static_cast<float>(channels);
    if (!is_own) return;
    for (int c = lane * kVector; c < channels; c += kTeam * kVector) {
      load(norm.weight + c, weight);
      load(norm.bias + c, bias);
      load_gradient(dy + row + c, x + row + c, norm, centre, scale, weight, bias, normal, g);
#pragma unroll
      for (int i = 0; i < kVector; ++i) g[i] = scale * (fmaf(g[i], weight[i], -sum) - normal[i] * product);
      store(g, dx + row + c);
    }
  });
}

/// partial[thread block][2][channels]: gradients of weight and bias.
template <int kVector, class T>
__global__ void __launch_bounds__(kRowThreads)
    backward_weights_kernel(RowPlan plan, const float* __restrict__ dy, const T* __restrict__ x, LayerNorm norm,
                            const float* __restrict__ mean, const float* __restrict__ inverse, float* partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float weight[kVector], bias[kVector], sums[2][kVector] = {};
  load(norm.weight + walk.channel, weight);
  load(norm.bias + walk.channel, bias);
#pragma unroll 2
  for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows) {
    const int64_t at = plan.offset(walk, pixel), of_pixel = walk.image * plan.pixels + pixel;
    float normal[kVector], g[kVector];
    load_gradient(dy + at, x + at, norm, mean[of_pixel], inverse[of_pixel], weight, bias, normal, g);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      sums[0][i] = fmaf(g[i], normal[i], sums[0][i]);
      sums[1][i] += g[i];
    }
  }
  write_sums(plan, sums, partial);
}

/// Call `run` with the lanes that share a pixel.
template <int kVector, class Run>
void with_team(const RowsShape& shape, Run run) {
  const int64_t pixels = shape.images * shape.pixels;
  const auto grid_for = [&](int team) {
    return static_cast<unsigned>(std::min<int64_t>(kMostBlocks, (pixels * team + kRowThreads - 1) / kRowThreads));
  };
  if (shape.channels <= 2 * kNarrow * kVector) return run.template operator()<kNarrow>(grid_for(kNarrow));
  run.template operator()<kLanes>(grid_for(kLanes));
}

}  // namespace

int64_t layer_norm_workspace(const RowsShape& shape) { return partial_sums(shape, 2); }

void layer_norm(Element element, const RowsShape& shape, const void* x, const LayerNorm& norm, float* y, float* mean,
                float* inverse, Stream stream) {
  if (is_empty(shape)) return;
  const auto run = [&]<int kVector>() {
    with_team<kVector>(shape, [&]<int kTeam>(unsigned blocks) {
      with_type(element, [&]<class T>(T) {
        forward_kernel<kTeam, kVector>
            <<<blocks, kRowThreads, 0, stream>>>(shape.images * shape.pixels, static_cast<int>(shape.channels),
                                                 static_cast<const T*>(x), norm, y, mean, inverse);
      });
    });
  };
  with_vector(shape, run, x, norm.weight, norm.bias, y);
}

void layer_norm_backward(Element element, const RowsShape& shape, const float* dy, const void* x, const LayerNorm& norm,
                         const float* mean, const float* inverse, void* dx, float* dweight, float* dbias,
                         float* workspace, Stream stream) {
  if (is_empty(shape)) {
    set_zero(dweight, shape.channels, stream);
    return set_zero(dbias, shape.channels, stream);
  }
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(element, [&]<class T>(T) {
      const auto* values = static_cast<const T*>(x);
      backward_weights_kernel<kVector>
          <<<grid_of(plan), kRowThreads, 0, stream>>>(plan, dy, values, norm, mean, inverse, workspace);
      if (!dx) return;
      with_team<kVector>(shape, [&]<int kTeam>(unsigned blocks) {
        backward_data_kernel<kTeam, kVector><<<blocks, kRowThreads, 0, stream>>>(
            shape.images * shape.pixels, plan.channels, dy, values, norm, mean, inverse, static_cast<T*>(dx));
      });
    });
    add_partial(plan, workspace, 2, of_all(dweight), of_all(dbias), stream);
  };
  with_vector(shape, run, dy, x, norm.weight, norm.bias, dx);
}

}  // namespace unireplk::kernels::cuda
