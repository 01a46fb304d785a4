#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/correlation.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kSize = kTunedSize;
constexpr int kTaps = kSize * kSize;
constexpr int kJobs = kSize / 2 + 2;     // pairs of tap rows, and the sum of dy
constexpr int kChunksTimesGroups = 640;  // thread blocks to aim at; part of what the result is

template <class T>
__device__ __forceinline__ float sum_images(const Map& map, const T* dy, const Chunk& chunk) {
  constexpr int kParts = 4;
  const int pixels = map.height * map.width;
  float total = 0.F;
  for (int image = chunk.first; image < chunk.last; ++image) {
    const T* plane = dy + image * map.plane();
    float parts[kParts] = {};
    int pixel = 0;
    for (; pixel + kParts <= pixels; pixel += kParts) {
#pragma unroll
      for (int i = 0; i < kParts; ++i) parts[i] += to_float(plane[int64_t{pixel + i} * map.channels]);
    }
    for (; pixel < pixels; ++pixel) parts[0] += to_float(plane[int64_t{pixel} * map.channels]);
    total += (parts[0] + parts[1]) + (parts[2] + parts[3]);
  }
  return total;
}

template <int kTile, Columns kColumns, class T>
__global__ void __launch_bounds__(kJobs* kLanes)
    correlate_kernel(Map map, int images, const T* x, const T* dy, float* partial) {
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const Chunk chunk(map, images);
  float* out = partial + int64_t{blockIdx.x} * (kTaps + 1) * map.channels + c;
  if (threadIdx.y + 1 == kJobs) {
    out[int64_t{kTaps} * map.channels] = sum_images(map, dy + c, chunk);
  } else {
    correlate_rows<kSize, 1, kTile, kColumns>(map, x + c, dy + c, chunk.first, chunk.last, 2 * threadIdx.y, out);
  }
}

/// Any odd size and dilation; a thread computes taps one by one.
template <class T>
__global__ void __launch_bounds__(kWarps* kLanes)
    correlate_any_kernel(Map map, int size, int dilation, int images, const T* x, const T* dy, float* partial) {
  const int c = blockIdx.y * kLanes + threadIdx.x;
  const int taps = size * size, reach = dilation * (size / 2), tap = blockIdx.z * kWarps + threadIdx.y;
  if (c >= map.channels || tap > taps) return;
  const Chunk chunk(map, images);
  float* out = partial + (int64_t{blockIdx.x} * (taps + 1) + tap) * map.channels + c;
  if (tap == taps) {
    *out = sum_images(map, dy + c, chunk);
    return;
  }
  const int down = tap / size * dilation - reach, right = tap % size * dilation - reach;
  float total = 0.F;
  for (int image = chunk.first; image < chunk.last; ++image) {
    for (int y = max(0, -down); y < min(map.height, map.height - down); ++y) {
      const int64_t row = image * map.plane() + int64_t{y} * map.width * map.channels + c;
      const T* of_x = x + row + (int64_t{down} * map.width + right) * map.channels;
      float sum = 0.F;
      for (int i = max(0, -right); i < min(map.width, map.width - right); ++i) {
        sum = fmaf(to_float(dy[row + int64_t{i} * map.channels]), to_float(of_x[int64_t{i} * map.channels]), sum);
      }
      total += sum;
    }
  }
  *out = total;
}

__global__ void __launch_bounds__(kWarps* kLanes)
    add_chunks_kernel(const float* partial, int chunks, int64_t columns, float* sums) {
  const int64_t i = int64_t{blockIdx.x} * kLanes + threadIdx.x;
  const float sum = sum_chunks(partial, chunks, columns, i);
  if (threadIdx.y == 0 && i < columns) sums[i] = sum;
}

}  // namespace

int chunk_images(const Map& map) {
  return ceil_div(int64_t{map.images} * ceil_div(map.channels, kLanes), kChunksTimesGroups);
}

void correlate(Element element, const Map& map, const KernelShape& kernel, const void* x, const void* dy,
               float* partial, Stream stream) {
  const int images = chunk_images(map), size = static_cast<int>(kernel.size);
  const dim3 grid(ceil_div(map.images, images), ceil_div(map.channels, kLanes));
  with_type(element, [&]<class T>(T) {
    const auto *of_x = static_cast<const T*>(x), *of_dy = static_cast<const T*>(dy);
    if (kernel.size == kSize && kernel.dilation == 1) {
      with_tile<14>(map, [&]<int kTile, Columns kColumns>() {
        correlate_kernel<kTile, kColumns><<<grid, dim3(kLanes, kJobs), 0, stream>>>(map, images, of_x, of_dy, partial);
      });
    } else {
      const dim3 with_taps(grid.x, grid.y, ceil_div(size * size + 1, kWarps));
      correlate_any_kernel<<<with_taps, dim3(kLanes, kWarps), 0, stream>>>(map, size, static_cast<int>(kernel.dilation),
                                                                           images, of_x, of_dy, partial);
    }
  });
}

void add_chunks(const float* partial, int chunks, int taps, int channels, float* sums, Stream stream) {
  const int64_t columns = int64_t{taps} * channels;
  add_chunks_kernel<<<ceil_div(columns, kLanes), dim3(kLanes, kWarps), 0, stream>>>(partial, chunks, columns, sums);
}

}  // namespace unireplk::kernels::cuda
