#pragma once

#include "unireplk/kernels/cuda/row_plan.h"
#include "unireplk/kernels/cuda/values.cuh"

/// What passes over maps have in common: vectors of channels in and out of memory, sums of thread blocks, GELU.
namespace unireplk::kernels::cuda {

template <int kVector, class T>
__device__ __forceinline__ void load(const T* from, float (&to)[kVector]) {
  if constexpr (kVector == 1) {
    to[0] = to_float(*from);
  } else {
    constexpr int kParts = kVector * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(uint4));
    uint4 parts[kParts];
#pragma unroll
    for (int i = 0; i < kParts; ++i) parts[i] = reinterpret_cast<const uint4*>(from)[i];
    const T* values = reinterpret_cast<const T*>(parts);
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = to_float(values[i]);
  }
}

template <int kVector, class T>
__device__ __forceinline__ void store(const float (&from)[kVector], T* to) {
  if constexpr (kVector == 1) {
    *to = from_float<T>(from[0]);
  } else {
    constexpr int kParts = kVector * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(uint4));
    uint4 parts[kParts];
    T* values = reinterpret_cast<T*>(parts);
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[i] = from_float<T>(from[i]);
#pragma unroll
    for (int i = 0; i < kParts; ++i) reinterpret_cast<uint4*>(to)[i] = parts[i];
  }
}

/// Coefficients of a thread's channels, or one value for all of them where there are none.
template <int kVector>
__device__ __forceinline__ void load_or(const float* from, int64_t offset, float otherwise, float (&to)[kVector]) {
  if (from) return load(from + offset, to);
#pragma unroll
  for (auto& value : to) value = otherwise;
}

/// partial[thread block][kSums][channels]: the sums of all threads of a block, row after row.
template <int kSums, int kVector>
__device__ __forceinline__ void write_sums(const RowPlan& plan, const float (&sums)[kSums][kVector], float* partial) {
  __shared__ float shared[kVector][kRowThreads + 1];
  float* out = partial + int64_t{blockIdx.x} * kSums * plan.channels;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    if (s > 0) __syncthreads();
#pragma unroll
    for (int i = 0; i < kVector; ++i) shared[i][threadIdx.x] = sums[s][i];
    __syncthreads();
    for (int at = threadIdx.x; at < plan.columns * kVector; at += kRowThreads) {
      const int c = static_cast<int>(blockIdx.y) * plan.columns * kVector + at;
      if (c >= plan.channels) break;
      float sum = 0.F;
      for (int row = 0; row < plan.rows; ++row) sum += shared[at % kVector][row * plan.columns + at / kVector];
      out[int64_t{s} * plan.channels + c] = sum;
    }
  }
}

/// Where a sum over thread blocks goes, if it is wanted.
struct SumTarget {
  float* values = nullptr;
  bool is_of_images = false;  ///< [images, channels], of an image's thread blocks; otherwise [channels], of all
};

inline SumTarget of_images(float* table) { return {.values = table, .is_of_images = true}; }
inline SumTarget of_all(float* vector) { return {.values = vector, .is_of_images = false}; }

/// Sums over thread blocks of partial[thread block][sums][channels]: where the first of `sums` goes, and the second.
void add_partial(const RowPlan& plan, const float* partial, int sums, SumTarget first, SumTarget second, Stream stream);

/// Floats of partial sums of a pass, with whatever vectors.
int64_t partial_sums(const RowsShape& shape, int sums);

/// The standard normal distribution's function.
__device__ __forceinline__ float normal_cdf(float x) { return fmaf(0.5F, erff(x * 0.70710678118654752F), 0.5F); }

__device__ __forceinline__ float gelu(float x) { return x * normal_cdf(x); }

/// The derivative of gelu(), with cdf = normal_cdf(x).
__device__ __forceinline__ float gelu_slope(float x, float cdf) {
  return fmaf(x * 0.39894228040143268F, __expf(-0.5F * x * x), cdf);
}

inline bool is_empty(const RowsShape& shape) { return shape.images * shape.pixels * shape.channels == 0; }

inline void set_zero(float* values, int64_t count, Stream stream) {
  if (values && count > 0) cudaMemsetAsync(values, 0, sizeof(float) * count, stream);
}

/// Call `run` with the number of channels that a thread takes at once. Null pointers count as aligned.
template <class Run, class... Pointers>
void with_vector(const RowsShape& shape, Run run, const Pointers*... pointers) {
  if (shape.channels % kRowVector == 0 && are_aligned(pointers...)) return run.template operator()<kRowVector>();
  run.template operator()<1>();
}

inline dim3 grid_of(const RowPlan& plan) {
  return {static_cast<unsigned>(plan.blocks()), static_cast<unsigned>(plan.pieces)};
}

}  // namespace unireplk::kernels::cuda
