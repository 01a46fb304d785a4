#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/direct.cuh"

/// Convolution by register tiles; sums in float32. Source: kernel specification, sections 5.3 and 6.2.
namespace unireplk::kernels::cuda {
namespace {

constexpr int kSize = kTunedSize;
constexpr int kReach = kSize / 2;
constexpr int kTaps = kSize * kSize;
constexpr int kRows = 2;  // of a tile; they share the rows that both read

template <int kTile, int kLow, int kHigh, bool kChecked, class T>
__device__ __forceinline__ void convolve_tile(const Map& map, const T* x, const float* weights, int y0, int x0,
                                              float bias, T* y) {
  float sums[kRows][kTile];
#pragma unroll
  for (auto& row : sums) {
#pragma unroll
    for (auto& sum : row) sum = bias;
  }
  const int last = min(y0 + kRows - 1 + kReach, map.height - 1);
#pragma unroll 1
  for (int iy = max(y0 - kReach, 0); iy <= last; ++iy) {
    float window[kTile + kSize - 1];
    load_window<kTile + kSize - 1, kLow, kHigh, kChecked>(x + (int64_t{iy} * map.width + x0 - kReach) * map.channels,
                                                          x0 - kReach, map, window);
    const int ky = iy - y0 + kReach;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (static_cast<unsigned>(ky - r) >= static_cast<unsigned>(kSize)) continue;
      add_row<kSize, 1, 0, kLow, kHigh>(window, weights + (ky - r) * kSize * kLanes, sums[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (y0 + r >= map.height) break;
    T* out = y + (int64_t{y0 + r} * map.width + x0) * map.channels;
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      if (!kChecked || x0 + j < map.width) out[j * map.channels] = from_float<T>(sums[r][j]);
    }
  }
}

template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kWarps* kLanes)
    convolve_tiles_kernel(Map map, const T* x, const float* packed, const float* bias, T* y) {
  __shared__ float weights[kTaps * kLanes];
  stage_weights(packed, kTaps, map.channels, weights);
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const float start = bias ? bias[c] : 0.F;
  Tiles<kColumns, kTile, kRows>(map).each([&](int64_t image, int y0, int x0) {
    const int64_t offset = image * map.plane() + c;
    with_columns<kColumns, kTile, kReach>(x0, [&]<int kLow, int kHigh, bool kChecked>() {
      convolve_tile<kTile, kLow, kHigh, kChecked>(map, x + offset, weights + threadIdx.x, y0, x0, start, y + offset);
    });
  });
}

constexpr int kSide = 7;
static_assert(kSide <= kReach + 1, "every input pixel has to meet every output pixel");

/// Maps of 7 x 7: a thread holds the whole plane of an image.
template <class T>
__global__ void __launch_bounds__(kWarps* kLanes)
    convolve_planes_kernel(Map map, const T* x, const float* packed, const float* bias, T* y) {
  __shared__ float weights[kTaps * kLanes];
  stage_weights(packed, kTaps, map.channels, weights);
  const int c = blockIdx.y * kLanes + threadIdx.x;
  const int image = blockIdx.x * kWarps + threadIdx.y;
  if (c >= map.channels || image >= map.images) return;
  x += image * map.plane() + c;
  y += image * map.plane() + c;
  const float start = bias ? bias[c] : 0.F;
  float sums[kSide][kSide];
#pragma unroll
  for (auto& row : sums) {
#pragma unroll
    for (auto& sum : row) sum = start;
  }
#pragma unroll 1
  for (int iy = 0; iy < kSide; ++iy) {
    float row[kSide];
#pragma unroll
    for (int j = 0; j < kSide; ++j) row[j] = to_float(x[(iy * kSide + j) * map.channels]);
    const float* of_row = weights + threadIdx.x + (iy + kReach) * kSize * kLanes;
#pragma unroll
    for (int r = 0; r < kSide; ++r) {
#pragma unroll
      for (int shift = 1 - kSide; shift < kSide; ++shift) {
        const float weight = of_row[(shift + kReach - r * kSize) * kLanes];
#pragma unroll
        for (int j = 0; j < kSide; ++j) {
          if (j + shift >= 0 && j + shift < kSide) sums[r][j] = fmaf(weight, row[j + shift], sums[r][j]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kSide; ++r) {
#pragma unroll
    for (int j = 0; j < kSide; ++j) y[(r * kSide + j) * map.channels] = from_float<T>(sums[r][j]);
  }
}

template <class T>
void launch(const Map& map, const T* x, const float* packed, const float* bias, T* y, Stream stream) {
  const dim3 block(kLanes, kWarps);
  if (map.width == kSide && map.height == kSide) {
    const dim3 grid(ceil_div(map.images, kWarps), ceil_div(map.channels, kLanes));
    convolve_planes_kernel<<<grid, block, 0, stream>>>(map, x, packed, bias, y);
    return;
  }
  with_tile<14>(map, [&]<int kTile, Columns kColumns>() {
    const auto grid = Tiles<kColumns, kTile, kRows>(map).grid(map, 3 * kResidentBlocks / 2);
    convolve_tiles_kernel<kTile, kColumns><<<grid, block, 0, stream>>>(map, x, packed, bias, y);
  });
}

}  // namespace

void convolve_tiles(Element element, const Map& map, const void* x, const float* packed, const float* bias, void* y,
                    Stream stream) {
  with_type(element,
            [&]<class T>(T) { launch(map, static_cast<const T*>(x), packed, bias, static_cast<T*>(y), stream); });
}

}  // namespace unireplk::kernels::cuda
