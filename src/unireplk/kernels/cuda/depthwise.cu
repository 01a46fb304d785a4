#include "unireplk/kernels/cuda/depthwise.h"

#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/direct.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kStrip = 4;  // columns of a thread
constexpr int kMostBlocks = 4096;

__global__ void pack_weights_kernel(const float* weight, int taps, int channels, bool is_flipped, float* packed) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= taps * channels) return;
  const int c = i % channels, tap = i / channels;
  packed[i] = weight[int64_t{c} * taps + (is_flipped ? taps - 1 - tap : tap)];
}

__global__ void unpack_weights_kernel(const float* packed, int taps, int channels, float* weight) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= taps * channels) return;
  const int c = i / taps, tap = i % taps;
  weight[i] = packed[int64_t{tap} * channels + c];
}

/// Any odd size and any dilation; a thread computes a strip of a row of one channel.
template <class T>
__global__ void __launch_bounds__(kThreads)
    convolve_any_kernel(Map map, int size, int dilation, const T* x, const float* packed, const float* bias, T* y) {
  const int c = blockIdx.y * kLanes + threadIdx.x;
  if (c >= map.channels) return;
  const int reach = dilation * (size / 2);
  Tiles<Columns::kAny, kStrip, 1>(map).each([&](int64_t image, int oy, int x0) {
    float sums[kStrip];
#pragma unroll
    for (auto& sum : sums) sum = bias ? bias[c] : 0.F;
    for (int ky = 0; ky < size; ++ky) {
      const int iy = oy + ky * dilation - reach;
      if (iy < 0 || iy >= map.height) continue;
      const T* row = x + image * map.plane() + int64_t{iy} * map.width * map.channels + c;
      for (int kx = 0; kx < size; ++kx) {
        const float weight = packed[int64_t{ky * size + kx} * map.channels + c];
#pragma unroll
        for (int j = 0; j < kStrip; ++j) {
          const int ix = x0 + j + kx * dilation - reach;
          if (ix >= 0 && ix < map.width) sums[j] = fmaf(weight, to_float(row[int64_t{ix} * map.channels]), sums[j]);
        }
      }
    }
    T* out = y + image * map.plane() + (int64_t{oy} * map.width + x0) * map.channels + c;
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      if (x0 + j < map.width) out[j * map.channels] = from_float<T>(sums[j]);
    }
  });
}

void convolve_any(Element element, const Map& map, const KernelShape& kernel, const void* x, const float* packed,
                  const float* bias, void* y, Stream stream) {
  const auto grid = Tiles<Columns::kAny, kStrip, 1>(map).grid(map, kMostBlocks);
  with_type(element, [&]<class T>(T) {
    convolve_any_kernel<<<grid, dim3(kLanes, kWarps), 0, stream>>>(
        map, static_cast<int>(kernel.size), static_cast<int>(kernel.dilation), static_cast<const T*>(x), packed, bias,
        static_cast<T*>(y));
  });
}

int64_t pixels_of(const MapShape& map) { return map.images * map.height * map.width; }

}  // namespace

Map map_of(const MapShape& shape) {
  return {static_cast<int>(shape.images), static_cast<int>(shape.height), static_cast<int>(shape.width),
          static_cast<int>(shape.channels)};
}

void convolve(Element element, const Map& map, const KernelShape& kernel, const void* x, const float* packed,
              const float* bias, void* y, Stream stream) {
  if (can_convolve_bands(element, map, kernel) && are_aligned(x, y)) {
    convolve_bands(element, map, x, packed, bias, y, stream);
  } else if (kernel.size == kTunedSize && kernel.dilation == 1) {
    convolve_tiles(element, map, x, packed, bias, y, stream);
  } else {
    convolve_any(element, map, kernel, x, packed, bias, y, stream);
  }
}

void pack_weights(const float* weight, int taps, int channels, bool is_flipped, float* packed, Stream stream) {
  pack_weights_kernel<<<ceil_div(int64_t{taps} * channels, kThreads), kThreads, 0, stream>>>(weight, taps, channels,
                                                                                             is_flipped, packed);
}

void unpack_weights(const float* packed, int taps, int channels, float* weight, Stream stream) {
  unpack_weights_kernel<<<ceil_div(int64_t{taps} * channels, kThreads), kThreads, 0, stream>>>(packed, taps, channels,
                                                                                               weight);
}

int64_t depthwise_workspace(const MapShape& shape, const KernelShape& kernel) {
  if (pixels_of(shape) * shape.channels == 0) return kernel.taps() * shape.channels + 1;
  const auto map = map_of(shape);
  const int64_t chunks = ceil_div(map.images, chunk_images(map));
  return (chunks + 1) * (kernel.taps() + 1) * shape.channels;  // partial sums, and all
}

void depthwise_forward(Element element, const MapShape& shape, const KernelShape& kernel, const void* x,
                       const float* weight, const float* bias, void* y, float* workspace, Stream stream) {
  if (pixels_of(shape) * shape.channels == 0) return;
  const auto map = map_of(shape);
  pack_weights(weight, static_cast<int>(kernel.taps()), map.channels, false, workspace, stream);
  convolve(element, map, kernel, x, workspace, bias, y, stream);
}

void depthwise_backward_data(Element element, const MapShape& shape, const KernelShape& kernel, const void* dy,
                             const float* weight, void* dx, float* workspace, Stream stream) {
  if (pixels_of(shape) * shape.channels == 0) return;
  const auto map = map_of(shape);
  pack_weights(weight, static_cast<int>(kernel.taps()), map.channels, true, workspace, stream);
  convolve(element, map, kernel, dy, workspace, nullptr, dx, stream);
}

void depthwise_backward_weights(Element element, const MapShape& shape, const KernelShape& kernel, const void* x,
                                const void* dy, float* dweight, float* dbias, float* workspace, Stream stream) {
  const int taps = static_cast<int>(kernel.taps());
  if (pixels_of(shape) * shape.channels == 0) {
    cudaMemsetAsync(dweight, 0, sizeof(float) * kernel.taps() * shape.channels, stream);
    if (dbias) cudaMemsetAsync(dbias, 0, sizeof(float) * shape.channels, stream);
    return;
  }
  const auto map = map_of(shape);
  float* sums = workspace;  // [taps + 1][channels]
  float* partial = sums + int64_t{taps + 1} * map.channels;
  correlate(element, map, kernel, x, dy, partial, stream);
  add_chunks(partial, ceil_div(map.images, chunk_images(map)), taps + 1, map.channels, sums, stream);
  unpack_weights(sums, taps, map.channels, dweight, stream);
  if (!dbias) return;
  cudaMemcpyAsync(dbias, sums + int64_t{taps} * map.channels, sizeof(float) * map.channels, cudaMemcpyDeviceToDevice,
                  stream);
}

}  // namespace unireplk::kernels::cuda
