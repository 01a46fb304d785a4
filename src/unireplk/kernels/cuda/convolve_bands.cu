#include "unireplk/kernels/cuda/bands.h"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/direct.cuh"
#include "unireplk/kernels/cuda/mma.cuh"
#include "unireplk/kernels/cuda/planes.cuh"

/// Convolution on tensor cores, as bands.h has it.
namespace unireplk::kernels::cuda {
namespace {

constexpr int kSize = kTunedSize;
constexpr int kReach = kSize / 2;
static_assert(kReach <= kWidestReach);
constexpr int kThreads = kGroup * kLanes;  // a warp for each channel of a group
constexpr int kBlocksAtOnce = 2;           // on a processor
constexpr int kProcessors = 132;           // for which the images are dealt out

/// Weights in a lane's part of a band, for each row of the kernel: bands.h, first_tap().
struct Taps {
  uint32_t middle[kSize], lower[kSize], higher[kSize];
};

template <class T>
__device__ __forceinline__ void load_taps(const float* packed, int channels, int c, int lane, Taps& taps) {
  const int first = first_tap(lane, kReach);
#pragma unroll
  for (int ky = 0; ky < kSize; ++ky) {
    const auto at = [&](int i) {
      const bool is_tap = c < channels && i >= 0 && i < kSize;
      return is_tap ? packed[int64_t{ky * kSize + i} * channels + c] : 0.F;
    };
    taps.middle[ky] = pack_pair<T>(at(first), at(first + 1));
    taps.lower[ky] = pack_pair<T>(at(first - 8), at(first - 7));
    taps.higher[ky] = pack_pair<T>(at(first + 8), at(first + 9));
  }
}

template <class T, int kTiles>
__device__ __forceinline__ void convolve_plane(const uint16_t* plane, int lane, const Taps& taps,
                                               float (&sums)[2][kTiles][4]) {
  using Plane = BandedPlane<kSize, 2, kTiles>;
  constexpr auto kPitch = Plane::kPitch;
  const Place from = Plane::fetched(lane);
  plane += from.row * kPitch + from.column;
#pragma unroll
  for (int start = 0; start < Plane::kStarts; ++start) {
    uint32_t b[4];
    fetch_matrices(b, plane + start * kPitch);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int ky = Plane::kernel_row(start, tile);
      if (ky < 0 || ky >= kSize) continue;
      const uint32_t middle = taps.middle[ky], lower = taps.lower[ky], higher = taps.higher[ky];
      add_product<T>(sums[0][tile], middle, lower, higher, middle, b[0], b[1]);
      add_product<T>(sums[1][tile], middle, lower, higher, middle, b[2], b[3]);
      add_product<T>(sums[0][tile], 0U, higher, b[2]);  // the corner of the band to the right
      add_product<T>(sums[1][tile], lower, 0U, b[1]);   // and to the left
    }
  }
}

template <class T, int kTiles>
__device__ __forceinline__ void convolve_plane(const uint16_t* plane, int lane, const Taps& taps,
                                               float (&sums)[1][kTiles][4]) {
  using Plane = BandedPlane<kSize, 1, kTiles>;
  constexpr auto kPitch = Plane::kPitch;
  const Place from = Plane::fetched(lane);
  plane += from.row * kPitch + from.column;
#pragma unroll
  for (int start = 0; start < Plane::kStarts; start += 2) {
    uint32_t b[4];
    fetch_matrices(b, plane + start * kPitch);
#pragma unroll
    for (int second = 0; second < 2; ++second) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const int ky = Plane::kernel_row(start + second, tile);
        if (ky < 0 || ky >= kSize) continue;
        const uint32_t middle = taps.middle[ky];
        add_product<T>(sums[0][tile], middle, taps.lower[ky], taps.higher[ky], middle, b[2 * second],
                       b[2 * second + 1]);
      }
    }
  }
}

/// Two neighbouring pixels of a row, of eight channels of an image.
struct PixelPair {
  int image, row, column;

  __device__ PixelPair(int i, int pairs_of_row, int pairs) : image(i / pairs) {
    const int pair = i - image * pairs;
    row = pair / pairs_of_row;
    column = 2 * (pair - row * pairs_of_row);
  }
};

/// A thread block: eight channels, kImages images at a time. Results take the place of the planes they come of.
template <class T, int kBands, int kTiles, int kImages>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce)
    convolve_bands_kernel(Map map, const T* x, const float* packed, const float* bias, T* y) {
  using Plane = BandedPlane<kSize, kBands, kTiles>;
  extern __shared__ __align__(16) uint16_t planes[];  // [image][channel][Plane]
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const int c0 = blockIdx.y * kGroup, c = c0 + warp;
  for (int i = threadIdx.x; i < kImages * kGroup * Plane::kValues / 2; i += kThreads) {
    reinterpret_cast<uint32_t*>(planes)[i] = 0;
  }
  Taps taps;
  load_taps<T>(packed, map.channels, c, lane, taps);
  const float start = bias ? bias[c] : 0.F;
  const int pairs_of_row = (map.width + 1) / 2, pairs = pairs_of_row * map.height;
  const auto pixel_of = [&](const PixelPair& at, int n0) {
    return (n0 + at.image) * map.plane() + (int64_t{at.row} * map.width + at.column) * map.channels + c0;
  };
  const auto plane_of = [&](const PixelPair& at) {
    return planes + at.image * kGroup * Plane::kValues + (at.row + kReach) * Plane::kPitch + at.column;
  };
  for (int n0 = blockIdx.x * kImages; n0 < map.images; n0 += gridDim.x * kImages) {
    __syncthreads();
    for (int i = threadIdx.x; i < pairs * kImages; i += kThreads) {
      const PixelPair at(i, pairs_of_row, pairs);
      uint4 first = {0, 0, 0, 0}, second = {0, 0, 0, 0};
      if (n0 + at.image < map.images) {
        const T* pixel = x + pixel_of(at, n0);
        first = *reinterpret_cast<const uint4*>(pixel);
        if (at.column + 1 < map.width) second = *reinterpret_cast<const uint4*>(pixel + map.channels);
      }
      split_channels(first, second, plane_of(at), Plane::kValues);
    }
    __syncthreads();
#pragma unroll
    for (int image = 0; image < kImages; ++image) {
      uint16_t* plane = planes + (image * kGroup + warp) * Plane::kValues;
      float sums[kBands][kTiles][4];
#pragma unroll
      for (auto& band : sums) {
#pragma unroll
        for (auto& tile : band) {
#pragma unroll
          for (auto& sum : tile) sum = start;
        }
      }
      convolve_plane<T>(plane, lane, taps, sums);
      __syncwarp();
#pragma unroll
      for (int band = 0; band < kBands; ++band) {
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const Place in_tile = place_of_sum(lane, i);
            const int column = kBand * band + in_tile.column, row = kTileRows * tile + in_tile.row;
            if (column < map.width && row < map.height) {
              plane[(row + kReach) * Plane::kPitch + column] = bits_of<T>(sums[band][tile][i]);
            }
          }
        }
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < pairs * kImages; i += kThreads) {
      const PixelPair at(i, pairs_of_row, pairs);
      if (n0 + at.image >= map.images) continue;
      uint4 first, second;
      join_channels(plane_of(at), Plane::kValues, first, second);
      T* pixel = y + pixel_of(at, n0);
      *reinterpret_cast<uint4*>(pixel) = first;
      if (at.column + 1 < map.width) *reinterpret_cast<uint4*>(pixel + map.channels) = second;
    }
  }
}

template <int kBands, int kTiles, int kImages, class T>
void launch(const Map& map, const T* x, const float* packed, const float* bias, T* y, Stream stream) {
  auto* kernel = convolve_bands_kernel<T, kBands, kTiles, kImages>;
  const size_t bytes = sizeof(uint16_t) * kImages * kGroup * BandedPlane<kSize, kBands, kTiles>::kValues;
  allow_shared(kernel, bytes);
  const int groups = map.channels / kGroup, sets = ceil_div(map.images, kImages);
  const int wanted = kProcessors * kBlocksAtOnce / groups;
  const int rounds = ceil_div(sets, wanted < 1 ? 1 : wanted);
  kernel<<<dim3(ceil_div(sets, rounds), groups), kThreads, bytes, stream>>>(map, x, packed, bias, y);
}

template <class T>
void launch_for(const Map& map, const T* x, const float* packed, const float* bias, T* y, Stream stream) {
  if (map.width <= kBand && map.height <= 2 * kTileRows) return launch<1, 2, 2>(map, x, packed, bias, y, stream);
  launch<2, 4, 1>(map, x, packed, bias, y, stream);
}

}  // namespace

bool can_convolve_bands(Element element, const Map& map, const KernelShape& kernel) {
  const bool is_small = map.width <= kTileRows && map.height <= kTileRows;  // register tiles are faster
  return element != Element::kFloat && kernel.size == kSize && kernel.dilation == 1 && map.channels % kGroup == 0 &&
         map.width <= 2 * kBand && map.height <= 4 * kTileRows && !is_small;
}

void convolve_bands(Element element, const Map& map, const void* x, const float* packed, const float* bias, void* y,
                    Stream stream) {
  if (element == Element::kBFloat16) {
    return launch_for(map, static_cast<const BFloat16*>(x), packed, bias, static_cast<BFloat16*>(y), stream);
  }
  launch_for(map, static_cast<const Half*>(x), packed, bias, static_cast<Half*>(y), stream);
}

}  // namespace unireplk::kernels::cuda
