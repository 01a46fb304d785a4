#pragma once

#include "unireplk/kernels/cuda/direct.cuh"

/// Correlation of two maps for rows of taps; sums in float32.
namespace unireplk::kernels::cuda {

/// Add one row of a tile. dy of row `y - r kDilation` meets x for tap row r of the rows that a warp has.
/// \param x   its row at column x0 - reach.
/// \param dy  at the image's first pixel.
template <int kDilation, int kTile, int kLow, int kHigh, bool kChecked, int kRows, int kTaps, class T>
__device__ __forceinline__ void correlate_tile(const Map& map, const T* x, const T* dy, int y, int x0,
                                               float (&sums)[kRows][kTaps]) {
  constexpr int kReach = kDilation * (kTaps / 2), kWindow = kTile + 2 * kReach;
  float window[kWindow];
  load_window<kWindow, kLow, kHigh, kChecked>(x, x0 - kReach, map, window);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int row = y - r * kDilation;
    if (static_cast<unsigned>(row) >= static_cast<unsigned>(map.height)) continue;
    const T* of_row = dy + (int64_t{row} * map.width + x0) * map.channels;
    float g[kTile];
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      g[j] = !kChecked || x0 + j < map.width ? to_float(of_row[j * map.channels]) : 0.F;
    }
#pragma unroll
    for (int kx = 0; kx < kTaps; ++kx) {
#pragma unroll
      for (int j = 0; j < kTile; ++j) {
        const int i = j + kx * kDilation;
        if (i >= kLow && i < kHigh) sums[r][kx] = fmaf(g[j], window[i], sums[r][kx]);
      }
    }
  }
}

/// Two rows of taps, `ky` and the next (if there is one), over images [first, last).
/// \param x, dy  at the lane's channel of image 0.
/// \param out    [taps][channels], at the lane's channel; written for these rows.
template <int kSize, int kDilation, int kTile, Columns kColumns, class T>
__device__ __forceinline__ void correlate_rows(const Map& map, const T* x, const T* dy, int first, int last, int ky,
                                               float* out) {
  constexpr int kRows = 2, kReach = kDilation * (kSize / 2);
  float sums[kRows][kSize] = {};
  const int tiles = Tiles<kColumns, kTile, 1>(map).columns;
  for (int image = first; image < last; ++image) {
    const T* of_image = dy + image * map.plane();
#pragma unroll 1
    for (int iy = 0; iy < map.height; ++iy) {
      const int y = iy - ky * kDilation + kReach;
      if (y < 0 || y - (kRows - 1) * kDilation >= map.height) continue;
      const T* row = x + image * map.plane() + (int64_t{iy} * map.width - kReach) * map.channels;
      const auto add = [&]<int kLow, int kHigh, bool kChecked>(int x0) {
        correlate_tile<kDilation, kTile, kLow, kHigh, kChecked>(map, row + int64_t{x0} * map.channels, of_image, y, x0,
                                                                sums);
      };
      if constexpr (kColumns == Columns::kAny) {
        for (int tile = 0; tile < tiles; ++tile) {
          add.template operator()<0, kTile + 2 * kReach, true>(tile * kTile);
        }
      } else if constexpr (kColumns == Columns::kOneTile) {
        add.template operator()<kReach, kReach + kTile, false>(0);
      } else {
        add.template operator()<kReach, kTile + 2 * kReach, false>(0);
        add.template operator()<0, kReach + kTile, false>(kTile);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (ky + r >= kSize) break;
#pragma unroll
    for (int kx = 0; kx < kSize; ++kx) out[int64_t{(ky + r) * kSize + kx} * map.channels] = sums[r][kx];
  }
}

/// The images of a thread block, the blockIdx.x-th chunk.
struct Chunk {
  int first, last;

  __device__ Chunk(const Map& map, int images) : first(blockIdx.x * images), last(min(first + images, map.images)) {}
};

/// The sum over chunks of partial[chunk][i], for the first of kWarps warps; all of a block call it. A warp adds every
/// kWarps-th chunk; then the first adds these sums in their order.
__device__ __forceinline__ float sum_chunks(const float* partial, int chunks, int64_t columns, int64_t i) {
  __shared__ double of_warps[kWarps][kLanes];
  double sum = 0;
  if (i < columns) {
#pragma unroll 8
    for (int chunk = threadIdx.y; chunk < chunks; chunk += kWarps) sum += partial[chunk * columns + i];
  }
  of_warps[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0) {
    for (int warp = 1; warp < kWarps; ++warp) sum += of_warps[warp][threadIdx.x];
  }
  return static_cast<float>(sum);
}

}  // namespace unireplk::kernels::cuda
