#include "unireplk/kernels/cuda/gelu_grn.h"

#include "unireplk/kernels/cuda/rows.cuh"

namespace unireplk::kernels::cuda {
namespace {

/// A thread's channels of a pixel of both maps.
template <int kVector, class T>
struct TwoPacked {
  Packed<kVector, T> z, dy;
};

template <int kVector, class T>
__device__ __forceinline__ TwoPacked<kVector, T> fetch_two(const T* z, const T* dy) {
  return {fetch<kVector>(z), fetch<kVector>(dy)};
}

template <int kVector, class T>
__global__ void __launch_bounds__(kRowThreads, 4)
    squares_kernel(RowPlan plan, const T* __restrict__ z, const float* __restrict__ bias, float* partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float of_bias[kVector], sums[1][kVector] = {};
  load(bias + walk.channel, of_bias);
  const auto visit = [&](int64_t, const Packed<kVector, T>& packed) {
    float x[kVector];
    unpack(packed, x);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const float h = gelu<T>(x[i] + of_bias[i]);
      sums[0][i] = fmaf(h, h, sums[0][i]);
    }
  };
  each_pixel<pixels_ahead<kVector, T>(1)>(
      plan, walk, [&](int64_t at) { return fetch<kVector>(z + at); }, visit);
  write_sums(plan, sums, partial);
}

template <int kVector, class T>
__global__ void __launch_bounds__(kRowThreads, 4)
    scale_kernel(RowPlan plan, const T* __restrict__ z, const float* __restrict__ bias,
                 const float* __restrict__ factor, const float* __restrict__ shift, T* __restrict__ to) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float of_bias[kVector], factors[kVector], shifts[kVector];
  load(bias + walk.channel, of_bias);
  load(factor + walk.image * plan.channels + walk.channel, factors);
  load_or(shift, walk.channel, 0.F, shifts);
  const auto visit = [&](int64_t at, const Packed<kVector, T>& packed) {
    float x[kVector];
    unpack(packed, x);
#pragma unroll
    for (int i = 0; i < kVector; ++i) x[i] = fmaf(gelu<T>(x[i] + of_bias[i]), factors[i], shifts[i]);
    store(x, to + at);
  };
  each_pixel<pixels_ahead<kVector, T>(1)>(
      plan, walk, [&](int64_t at) { return fetch<kVector>(z + at); }, visit);
}

template <int kVector, class T>
__global__ void __launch_bounds__(kRowThreads, 4)
    products_kernel(RowPlan plan, const T* __restrict__ dy, const T* __restrict__ z, const float* __restrict__ bias,
                    float* partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float of_bias[kVector], sums[2][kVector] = {};
  load(bias + walk.channel, of_bias);
  const auto visit = [&](int64_t, const TwoPacked<kVector, T>& packed) {
    float x[kVector], g[kVector];
    unpack(packed.z, x);
    unpack(packed.dy, g);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      sums[0][i] = fmaf(g[i], gelu<T>(x[i] + of_bias[i]), sums[0][i]);
      sums[1][i] += g[i];
    }
  };
  each_pixel<pixels_ahead<kVector, T>(2)>(
      plan, walk, [&](int64_t at) { return fetch_two<kVector>(z + at, dy + at); }, visit);
  write_sums(plan, sums, partial);
}

template <int kVector, class T>
__global__ void __launch_bounds__(kRowThreads, 4)
    combine_kernel(RowPlan plan, const T* __restrict__ dy, const float* __restrict__ factor, const T* __restrict__ z,
                   const float* __restrict__ bias, const float* __restrict__ slope, T* __restrict__ dz,
                   float* __restrict__ partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float of_bias[kVector], factors[kVector], slopes[kVector], sums[1][kVector] = {};
  load(bias + walk.channel, of_bias);
  load(factor + walk.image * plan.channels + walk.channel, factors);
  load(slope + walk.image * plan.channels + walk.channel, slopes);
  const auto visit = [&](int64_t at, const TwoPacked<kVector, T>& packed) {
    float x[kVector], g[kVector];
    unpack(packed.z, x);
    unpack(packed.dy, g);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const Gelu h = gelu_with_slope<T>(x[i] + of_bias[i]);
      g[i] = fmaf(g[i], factors[i], h.value * slopes[i]) * h.slope;
      sums[0][i] += g[i];
    }
    store(g, dz + at);
  };
  each_pixel<pixels_ahead<kVector, T>(2)>(
      plan, walk, [&](int64_t at) { return fetch_two<kVector>(z + at, dy + at); }, visit);
  write_sums(plan, sums, partial);
}

}  // namespace

int64_t gelu_workspace(const RowsShape& shape) { return partial_sums(shape, 2); }

void gelu_squares(Element element, const RowsShape& shape, const void* z, const float* bias, float* squares,
                  float* workspace, Stream stream) {
  if (is_empty(shape)) return set_zero(squares, shape.images * shape.channels, stream);
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(element, [&]<class T>(T) {
      squares_kernel<kVector>
          <<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(z), bias, workspace);
    });
    add_partial(plan, workspace, 1, of_images(squares), {}, stream);
  };
  with_vector(shape, run, z, bias);
}

void gelu_scale(Element element, const RowsShape& shape, const void* z, const float* bias, const float* factor,
                const float* shift, void* to, Stream stream) {
  if (is_empty(shape)) return;
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(element, [&]<class T>(T) {
      scale_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(z), bias, factor,
                                                                       shift, static_cast<T*>(to));
    });
  };
  with_vector(shape, run, z, bias, factor, shift, to);
}

void gelu_products(Element element, const RowsShape& shape, const void* dy, const void* z, const float* bias,
                   float* products, float* sums, float* workspace, Stream stream) {
  if (is_empty(shape)) {
    set_zero(products, shape.images * shape.channels, stream);
    return set_zero(sums, shape.channels, stream);
  }
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(element, [&]<class T>(T) {
      products_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(dy),
                                                                          static_cast<const T*>(z), bias, workspace);
    });
    add_partial(plan, workspace, 2, of_images(products), of_all(sums), stream);
  };
  with_vector(shape, run, dy, z, bias);
}

void gelu_combine(Element element, const RowsShape& shape, const void* dy, const float* factor, const void* z,
                  const float* bias, const float* slope, void* dz, float* dbias, float* workspace, Stream stream) {
  if (is_empty(shape)) return set_zero(dbias, shape.channels, stream);
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(element, [&]<class T>(T) {
      combine_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(dy), factor,
                                                                         static_cast<const T*>(z), bias, slope,
                                                                         static_cast<T*>(dz), workspace);
    });
    add_partial(plan, workspace, 1, of_all(dbias), {}, stream);
  };
  with_vector(shape, run, dy, factor, z, bias, slope, dz);
}

}  // namespace unireplk::kernels::cuda
