#pragma once

#include <math.h>
#include <string.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "emulation/emulator.h"

/// What kernels find without an #include, for translated sources (translate.py). Included first, before all else.

#undef __constant__
#undef __device__
#undef __forceinline__
#undef __global__
#undef __host__
#undef __launch_bounds__
#define __constant__ static
#define __device__
#define __forceinline__ inline
#define __global__
#define __host__
#define __launch_bounds__(...)

#define threadIdx ::unireplk::emulation::here.thread
#define blockIdx ::unireplk::emulation::here.block
#define blockDim ::unireplk::emulation::here.block_size
#define gridDim ::unireplk::emulation::here.grid_size

using std::max;
using std::min;

inline void __syncthreads() { unireplk::emulation::meet_block(); }

inline void __syncwarp(unsigned mask = ~0U) { unireplk::emulation::sync_warp(mask); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  struct Lane {
    T value, from_other;
    int distance;
  } of_lane{value, value, distance};
  unireplk::emulation::meet_warp(mask, &of_lane, [](const unireplk::emulation::Handed& lanes) {
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      auto* to = static_cast<Lane*>(lanes[lane]);
      if (!to) continue;
      const auto* from = static_cast<const Lane*>(lanes[lane ^ static_cast<size_t>(to->distance)]);
      if (!from) unireplk::emulation::fail("a lane shuffles with one that is not there");
      to->from_other = from->value;
    }
  });
  return of_lane.from_other;
}

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline float __expf(float x) { return std::exp(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }

/// Byte i of the result is the one of y, x (x the lower four) that digit i of `selector` names.
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t which = selector >> 4 * i & 7;
    result |= static_cast<uint32_t>(bytes >> 8 * which & 0xff) << 8 * i;
  }
  return result;
}
