#pragma once

#include <algorithm>
#include <type_traits>

#include "unireplk/kernels/cuda/gelu.h"
#include "unireplk/kernels/cuda/instructions.cuh"
#include "unireplk/kernels/cuda/row_plan.h"
#include "unireplk/kernels/cuda/values.cuh"

/// What passes over maps have in common: vectors of channels in and out of memory, sums of thread blocks, GELU.
namespace unireplk::kernels::cuda {

/// A thread's channels of a pixel, as they lie in memory.
template <int kVector, class T>
struct Packed {
  static constexpr int kParts = kVector * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(uint4));
  uint4 parts[kParts];
};

template <class T>
struct Packed<1, T> {
  static constexpr int kParts = 1;
  T value;
};

template <int kVector, class T>
__device__ __forceinline__ Packed<kVector, T> fetch(const T* from) {
  Packed<kVector, T> packed;
  if constexpr (kVector == 1) {
    packed.value = *from;
  } else {
#pragma unroll
    for (int i = 0; i < packed.kParts; ++i) packed.parts[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  return packed;
}

template <int kVector, class T>
__device__ __forceinline__ void unpack(const Packed<kVector, T>& packed, float (&to)[kVector]) {
  if constexpr (kVector == 1) {
    to[0] = to_float(packed.value);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const auto* pairs = reinterpret_cast<const uint32_t*>(packed.parts);
#pragma unroll
    for (int i = 0; i < kVector; i += 2) {  // one instruction for each value
      to[i] = __uint_as_float(pairs[i / 2] << 16);
      to[i + 1] = __uint_as_float(pairs[i / 2] & 0xFFFF0000U);
    }
  } else {
    const T* values = reinterpret_cast<const T*>(packed.parts);
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = to_float(values[i]);
  }
}

template <int kVector, class T>
__device__ __forceinline__ void load(const T* from, float (&to)[kVector]) {
  unpack(fetch<kVector>(from), to);
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

/// Call visit(at, values) for each pixel of a thread, with the offset of its channels in a map and what fetch(at) gave.
/// Loads of kAhead pixels are on their way at once.
template <int kAhead, class Fetch, class Visit>
__device__ __forceinline__ void each_pixel(const RowPlan& plan, const RowWalk& walk, Fetch fetch, Visit visit) {
  const int64_t step = int64_t{plan.rows} * plan.channels;
  int64_t at = plan.offset(walk, walk.first);
  // a chunk's pixels fit an int, whatever memory a device has
  for (auto left = static_cast<int>(walk.last - walk.first); left > 0; left -= kAhead * plan.rows) {
    decltype(fetch(at)) values[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i * plan.rows < left) values[i] = fetch(at + i * step);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i, at += step) {
      if (i * plan.rows < left) visit(at, values[i]);
    }
  }
}

/// Pixels of so many maps that a thread has on their way at once: four loads, or one pixel.
template <int kVector, class T>
constexpr int pixels_ahead(int maps) {
  return std::max(1, 4 / (maps * Packed<kVector, T>::kParts));
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

struct Gelu {
  float value, slope;  ///< slope: the derivative
};

/// At x, for values of a map of type T: exact, or as gelu.h has it. What is not asked for costs nothing.
template <class T>
__device__ __forceinline__ Gelu gelu_with_slope(float x) {
  if constexpr (std::is_same_v<T, float>) {
    const float cdf = normal_cdf(x);
    return {x * cdf, fmaf(x * 0.39894228040143268F, __expf(-0.5F * x * x), cdf)};
  } else {
    const float size = fminf(fabsf(x), kGeluEnd), tail = power_of_two(log2_tail(size));
    return {gelu_from(positive_part(x), size, tail), gelu_slope_from(x, size, tail, power_of_two(log2_density(x)))};
  }
}

template <class T>
__device__ __forceinline__ float gelu(float x) {
  return gelu_with_slope<T>(x).value;
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
