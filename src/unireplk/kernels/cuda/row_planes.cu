#include "unireplk/kernels/cuda/row_planes.h"

#include "unireplk/kernels/cuda/planes.cuh"
#include "unireplk/kernels/cuda/row_products.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kChannels = kLanes;  // of a thread block
constexpr int kGroups = kChannels / kGroup;
constexpr int kThreads = 256;

/// Channels of `kGroup` in both halves of each word: ones.
template <class T>
__device__ __forceinline__ uint4 ones() {
  const T pair[2] = {from_float<T>(1.F), from_float<T>(1.F)};
  uint32_t word;
  memcpy(&word, pair, sizeof word);
  return {word, word, word, word};
}

/// A thread block: an image of 32 channels, by way of shared memory [channel][row][pitch], each channel 16 bytes apart
/// from the end of the one before.
template <class T>
__global__ void __launch_bounds__(kThreads) row_planes_kernel(Map map, RowPlanes planes, const T* x, T* to) {
  extern __shared__ __align__(16) uint16_t shared[];
  const int values = static_cast<int>(planes.image()), stride = values + kGroup;
  const int image = blockIdx.x, c0 = blockIdx.y * kChannels;
  const int channels = min(kChannels, map.channels - c0), pairs_of_row = planes.pitch / 2;
  const bool is_image = image < map.images;
  const uint4 zeros{0, 0, 0, 0};
  for (int i = threadIdx.x; i < map.height * pairs_of_row * kGroups; i += kThreads) {
    const int group = i % kGroups, pair = i / kGroups, row = pair / pairs_of_row, column = 2 * (pair % pairs_of_row);
    if (group * kGroup >= channels) continue;
    const auto pixel = [&](int at) {
      if (!is_image || at > map.width) return zeros;
      if (at == map.width) return ones<T>();
      const T* from = x + image * map.plane() + (int64_t{row} * map.width + at) * map.channels + c0 + group * kGroup;
      return *reinterpret_cast<const uint4*>(from);
    };
    split_channels(pixel(column), pixel(column + 1), shared + group * kGroup * stride + row * planes.pitch + column,
                   stride);
  }
  __syncthreads();
  const int pieces = values / kGroup;  // of 16 bytes
  for (int i = threadIdx.x; i < channels * pieces; i += kThreads) {
    const int c = i / pieces, at = i % pieces * kGroup;
    T* out = to + (c0 + c) * planes.channel() + image * planes.image() + at;
    *reinterpret_cast<uint4*>(out) = *reinterpret_cast<const uint4*>(shared + c * stride + at);
  }
}

}  // namespace

int64_t row_planes_bytes(const Map& map) {
  return map.channels * planes_of(map).channel() * static_cast<int64_t>(sizeof(uint16_t));
}

void write_row_planes(Element element, const Map& map, const void* x, void* planes, Stream stream) {
  const auto of = planes_of(map);
  const size_t bytes = sizeof(uint16_t) * kChannels * (of.image() + kGroup);
  with_narrow_type(element, [&]<class T>(T) {
    auto* kernel = row_planes_kernel<T>;
    allow_shared(kernel, bytes);
    const dim3 grid(of.images, ceil_div(map.channels, kChannels));
    kernel<<<grid, kThreads, bytes, stream>>>(map, of, static_cast<const T*>(x), static_cast<T*>(planes));
  });
}

}  // namespace unireplk::kernels::cuda
