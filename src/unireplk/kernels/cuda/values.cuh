#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

namespace unireplk::kernels::cuda {

using BFloat16 = __nv_bfloat16;
using Half = __half;

inline constexpr int kLanes = 32;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(BFloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(Half value) { return __half2float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    return T(value);  // to the nearest, ties to even
  }
}

/// The sum of all lanes' values, for all of them.
template <class Value>
__device__ __forceinline__ Value sum_of_warp(Value value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0U, value, distance);
  return value;
}

/// A map's counts as kernels take them.
struct Map {
  int images, height, width, channels;

  __host__ __device__ int64_t plane() const { return int64_t{height} * width * channels; }
};

constexpr int ceil_div(int64_t count, int64_t size) { return static_cast<int>((count + size - 1) / size); }

/// Whether 16 bytes at a time may be read from or written to each.
template <class... Pointers>
bool are_aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % sizeof(uint4) == 0) && ...);
}

/// Call `run` with a value of the type that `element` names.
template <class Run>
void with_type(Element element, Run run) {
  if (element == Element::kFloat) return run(float{});
  if (element == Element::kBFloat16) return run(BFloat16{});
  run(Half{});
}

/// The same of types of 16 bits.
template <class Run>
void with_narrow_type(Element element, Run run) {
  element == Element::kBFloat16 ? run(BFloat16{}) : run(Half{});
}

}  // namespace unireplk::kernels::cuda
