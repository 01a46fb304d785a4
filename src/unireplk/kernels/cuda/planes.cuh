#pragma once

#include "unireplk/kernels/cuda/values.cuh"

/// Between maps, in which the channels of a pixel lie together, and planes of one channel in shared memory. Values of
/// 16 bits; eight channels of two neighbouring pixels at a time.
namespace unireplk::kernels::cuda {

inline constexpr int kGroup = 8;  ///< channels of 16 bytes

/// \param planes  at the first of the two pixels in the first channel's plane, 4-byte aligned.
/// \param stride  values from plane to plane.
__device__ __forceinline__ void split_channels(const uint4& first, const uint4& second, uint16_t* planes, int stride) {
  const uint32_t a[4] = {first.x, first.y, first.z, first.w}, b[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    *reinterpret_cast<uint32_t*>(planes + 2 * i * stride) = __byte_perm(a[i], b[i], 0x5410);
    *reinterpret_cast<uint32_t*>(planes + (2 * i + 1) * stride) = __byte_perm(a[i], b[i], 0x7632);
  }
}

/// The way back.
__device__ __forceinline__ void join_channels(const uint16_t* planes, int stride, uint4& first, uint4& second) {
  uint32_t v[kGroup];
#pragma unroll
  for (int i = 0; i < kGroup; ++i) v[i] = *reinterpret_cast<const uint32_t*>(planes + i * stride);
  first = {__byte_perm(v[0], v[1], 0x5410), __byte_perm(v[2], v[3], 0x5410), __byte_perm(v[4], v[5], 0x5410),
           __byte_perm(v[6], v[7], 0x5410)};
  second = {__byte_perm(v[0], v[1], 0x7632), __byte_perm(v[2], v[3], 0x7632), __byte_perm(v[4], v[5], 0x7632),
            __byte_perm(v[6], v[7], 0x7632)};
}

}  // namespace unireplk::kernels::cuda
